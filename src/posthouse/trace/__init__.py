"""What happened: statuses, timelines, exports, the SMTP protocol log, and how long all of it is kept.

Events are written by the store in the same transaction as the change they report (``mail.event`` spells them). This
package reads them back as words: ``status`` names a state as Exchange does, ``timeline`` tells the story of one
message, ``search`` writes rows as Exchange's message trace. ``protocol_log`` is a file beside the store: what was said
on each connection, without contents and without credentials, in Exchange's format.
"""
