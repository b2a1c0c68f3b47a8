"""SMTP in both directions, as machines without I/O.

The server: ``server`` is what a driver holds; ``dialogue`` reads one line, ``order`` says whether it may come now,
``obey`` does what it asks, ``intake`` and ``content`` take the message, ``events`` is what the driver gets to see. The
client: ``client`` and its ``client_*``; ``reply_parser`` reads what servers answer. Both share ``xtext``.
"""
