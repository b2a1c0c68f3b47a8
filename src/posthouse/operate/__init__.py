"""The operator's side: commands, the control API, and the settings that only they read.

A command (``cli``) asks a ``desk``. When a node runs, the desk speaks to it over its control socket (``client`` to
``control``); when none runs, the desk works on the store itself. Both ways end in the same ``services``, so an answer
never depends on the way it took. ``port`` says what the layers above hand in: the queue's levers, local intake, the
reading of configuration. ``shapes`` are the values that cross the socket and that ``--json`` prints.
"""
