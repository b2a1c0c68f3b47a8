"""Begin a SASL exchange on the server's side.

Source: RFC 4422, RFC 4954.
Shape: ``begin(mechanism, ...)`` gives a `Mechanism`; what it asks and answers stands in ``wire.sasl.exchange``.
Failures: ``ValueError`` for a mechanism that is not spoken here; the driver offers only those of `MECHANISMS`.
Leaves to others: drawing the nonce, reading the clock, everything about accounts (``receive.login``).
"""

from __future__ import annotations

from datetime import datetime

from posthouse.wire.sasl.cram_server import CramMd5
from posthouse.wire.sasl.exchange import Mechanism
from posthouse.wire.sasl.passwords import External, Login, Plain
from posthouse.wire.sasl.scram import MIN_ITERATIONS
from posthouse.wire.sasl.scram_server import ScramSha256

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL")
NONCE_OCTETS = 18
"""Random octets that one exchange needs."""


def begin(
    mechanism: str,
    *,
    nonce: bytes,
    hostname: str,
    now: datetime,
    pretence_key: bytes = b"",
    pretence_iterations: int = MIN_ITERATIONS,
) -> Mechanism:
    """Start an exchange.

    Args:
        mechanism: Upper-case name, one of `MECHANISMS`.
        nonce: `NONCE_OCTETS` fresh random octets.
        hostname: Our name, as the client knows it.
        now: Aware time.
        pretence_key: Secret of the node that makes SCRAM salts for accounts that do not exist.
        pretence_iterations: SCRAM iterations that such accounts pretend to have; those of real accounts.

    Raises:
        ValueError: No such mechanism, or SCRAM without a key for pretences.
    """
    match mechanism:
        case "PLAIN":
            return Plain()
        case "LOGIN":
            return Login()
        case "CRAM-MD5":
            return CramMd5(nonce=nonce, hostname=hostname, now=now)
        case "SCRAM-SHA-256":
            if not pretence_key:
                raise ValueError("SCRAM needs a key for pretences, or unknown accounts could be told from known ones")
            return ScramSha256(nonce=nonce, pretence_key=pretence_key, pretence_iterations=pretence_iterations)
        case "EXTERNAL":
            return External()
        case _:
            raise ValueError(f"SASL mechanism {mechanism} is not spoken here")
