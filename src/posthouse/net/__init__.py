"""Octets in and out: the one asyncio driver of every SMTP connection, taken in or made by us.

``connection`` moves octets between a socket and a `Handler` (``handler``), a few callbacks instead of a task for each;
``tls`` is TLS as a pump of octets without a socket, so that it can begin at any moment of a session; ``connect`` opens
connections; ``certificates`` keeps the node's certificate and follows its files; ``contexts`` says what TLS is good
enough, on both sides; ``names`` compares names in certificates.

One receive buffer serves the whole process: the event loop reads and calls back before it reads from the next socket,
so a session that says nothing owns no buffer. Nothing here knows SMTP, and nothing here logs; whoever holds the
connection is told why it ended.
"""
