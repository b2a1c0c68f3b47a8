"""The commands. Each asks a desk (``operate.desk``) and shows the answer to a person, or as JSON to a program.

Modules are loaded when their command is used, so that ``posthouse --help`` and ``posthouse send`` start quickly. What a
command prints on standard output is its answer; everything else goes to standard error. Exit codes: 0 done, 1 found
wrong, 2 used wrong, 75 try again (EX_TEMPFAIL of sysexits.h).
"""
