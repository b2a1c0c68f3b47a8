"""Posthouse, the mail relay for Microsoft 365.

The folders tell the life of a message, from the words it is spoken of to the operator who asks for it:

``mail`` (values), ``wire`` (bytes), ``microsoft`` (what is known of Microsoft 365), ``store`` (what survives a
crash), ``net`` (sockets and TLS), ``receive`` (take in), ``decide`` (judge and route), ``queue`` (wait and choose),
``deliver`` (hand on), ``trace`` (say what happened), ``operate`` (the operator's side).

Imports only fall: ``service`` builds everything, ``mail`` imports nothing of ours. ``docs/flow.md`` walks through one
message, file by file.
"""

__version__ = "0.1.0"
