"""The bench: Posthouse beside Postfix, aiosmtpd and smtp-sink, on one machine, in one run.

``make bench`` runs it and writes docs/benchmarks.md and docs/benchmarks.json. The files, in the order of the work:
``peers`` starts each program in a directory of its own, ``load`` drives it with smtp-source, ``probe`` measures the
time to the 250 meanwhile, ``relay`` measures the whole way to a next hop, ``idle`` holds ten thousand connections,
``processes`` reads memory and CPU time from /proc, ``plan`` says what is measured and how often, ``report`` compares
with the goals.

Absolute figures belong to one machine and one hour; ratios between peers of one run are what is worth comparing. Rounds
alternate between the peers, so that a slow minute of the machine falls on all of them.
"""
