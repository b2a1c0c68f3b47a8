"""Judge and route: pure functions over the mail flow that explain themselves.

``flow`` is what the operator writes, ``policy`` the compiled form that answers for each session and recipient,
``routing`` the choice of connectors, ``limits`` the arithmetic of rates, ``loops`` the search for one's own traces,
``openrelay`` the proof that strangers are not let in. Values in, values out: no I/O, no clock, no randomness.
"""
