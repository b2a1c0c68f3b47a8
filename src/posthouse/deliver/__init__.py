"""Hand messages on: the queue gives a job, this package gives a result for each recipient.

A job passes through one module after another. ``worker`` takes its connectors in order and moves a recipient on to the
next one only where the whole hop failed. ``carrier`` knows a connector's hosts, configured or from DNS (``resolve``).
``handover`` brings the message to one address: it takes a session from the ``pool``, which keeps what ``dial`` opened
(TLS, and a ``login`` with ``secrets`` or ``tokens``), makes the ``content`` fit what the server offers, and runs
transactions over ``smtp``, the driver of the client machine in ``wire``. What was answered, or not answered, goes to
``classify``, the only module that decides what it means. ``bounce`` composes notices.

Two rules hold everywhere. A failure whose meaning is unknown is temporary. And once the final dot is on its way, only
an answer can say what became of the message: without one the outcome is unknown, and no other host is tried.
"""
