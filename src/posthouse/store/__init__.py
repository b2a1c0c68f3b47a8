"""What survives a crash: messages, recipients, content, events, accounts, flow revisions, secrets.

``port`` is the interface that the rest of Posthouse knows; ``sqlite`` is the embedded store behind it. All SQL of the
product stands in this package, as named statements in ``.sql`` files. A second store has to pass the contract tests in
``tests/store``.
"""
