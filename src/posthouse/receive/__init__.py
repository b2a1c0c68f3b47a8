"""Taking mail in: from a connection to the moment when a message is ours, and not a moment before.

The way of a connection: ``listener`` accepts it, ``admission`` lets it in or turns it away, ``connection`` drives the
SMTP machine over it, ``identity`` knows who it is, ``transaction`` judges what it wants to send, and ``accept`` takes
the content, hands the message to the intake and says 250 once the intake has it on disk. There is no other 250.

Beside the way stand ``login`` (with ``authentication``, ``passwords`` and ``bans``) for those who log in, ``accounts``
for those who keep the accounts, ``quota`` for how much is too much, ``patience`` and ``wheel`` for how long is too
long. ``reception`` is what all sessions share, ``port`` what they need from the layer below, ``server`` the whole of it
with start and stop.

A session is a handful of small objects and no task, so that ten thousand silent ones cost little; what may take long, a
password check or a message of 150 MB, is a task of its own, and the session's machine stands still meanwhile.
"""
