"""SASL in both directions: who somebody is, said in a few octets back and forth (RFC 4422).

``server`` begins an exchange and ``exchange`` says what its steps are; one file a mechanism, the simple ones together
in ``passwords``. ``client`` is the other side. ``scram`` is the arithmetic that both sides of SCRAM need.
"""
