"""Build everything, connect it, start, drain, stop: the only composition root.

``kept`` is what a command and a node share (store, keys, queue levers, local intake), ``node`` is a running node on top
of it, ``process`` is the process around the node: event loop, signals, ready line, lock.
"""
