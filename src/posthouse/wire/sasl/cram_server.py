"""CRAM-MD5 on the server's side.

Source: RFC 2195.
Shape: challenge, then `NeedCramSecret`, then ``supply`` with the password.
Failures: `Failure`; an unknown account costs the same computation as a wrong password.
Leaves to others: keeping a recoverable password, which is why the mechanism is off by default (``receive.login``).
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime

from posthouse.wire.sasl.exchange import (
    MAX_NAME_OCTETS,
    Challenge,
    Failure,
    Mechanism,
    NeedCramSecret,
    Step,
    Verified,
    read_text,
)
from posthouse.wire.sasl.scram import ScramKeys

_RESPONSE = re.compile(rb"([^\0]{1,%d}) ([0-9a-fA-F]{32})" % MAX_NAME_OCTETS, re.DOTALL)


class CramMd5(Mechanism):
    """One challenge, one keyed digest.

    Args:
        nonce: Fresh random octets.
        hostname: Our name, part of the challenge.
        now: Aware time, part of the challenge.
    """

    __slots__ = ("_challenge", "_digest", "_username")

    def __init__(self, *, nonce: bytes, hostname: str, now: datetime) -> None:
        self._challenge = f"<{nonce.hex()}.{int(now.timestamp())}@{hostname}>".encode()
        self._username = ""
        self._digest = b""

    def step(self, response: bytes | None) -> Step:
        """The server speaks first, so an initial response is a mistake (RFC 4954 4)."""
        if response is None:
            return Challenge(self._challenge)
        match = _RESPONSE.fullmatch(response)
        if match is None:
            return Failure("CRAM-MD5 response is malformed")
        self._username = read_text(match[1])
        self._digest = match[2].lower()
        return NeedCramSecret(self._username)

    def supply(self, secret: str | ScramKeys | None) -> Step:
        """Compare the digest with that of the account's password."""
        if not self._username or isinstance(secret, ScramKeys):
            raise RuntimeError("CRAM-MD5 did not ask for that")
        key = (secret or "").encode()
        expected = hmac.new(key, self._challenge, "md5").hexdigest().encode()
        is_equal = hmac.compare_digest(expected, self._digest)
        if secret and is_equal:
            return Verified(self._username)
        return Failure("CRAM-MD5 digest is wrong", self._username)
