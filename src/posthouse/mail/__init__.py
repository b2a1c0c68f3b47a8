"""What Posthouse talks about: addresses, envelopes, sessions, messages, verdicts, routes, outcomes, events.

Frozen values without behaviour beyond their own meaning. Nothing here does I/O, reads a clock or draws randomness;
every other package may import this one, and it imports none of them.
"""
