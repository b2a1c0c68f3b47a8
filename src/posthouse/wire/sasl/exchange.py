"""What a SASL server mechanism gives back at each step.

Source: RFC 4422 3 (exchange), RFC 4954 4 (SASL in SMTP).
Shape: ``step`` takes a decoded response (None at the start when AUTH came without one) and gives a `Step`: a challenge
to send, a question for the driver, or the end. A question that starts with ``Need`` is answered by ``supply``; a
question that starts with ``Check`` is the driver's to decide, and the exchange is over.
Failures: `Failure` as a value. Its reason is for the trace; the client hears the same words whatever it was.
Leaves to others: accounts and their secrets (``receive.login``); lines and base64 (``wire.smtp``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from posthouse.wire.sasl.scram import ScramKeys

MAX_NAME_OCTETS = 255
"""RFC 4616 2 gives authorisation and authentication identities this much."""
MAX_PASSWORD_OCTETS = 1024


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this (not yet encoded) and hand the response to `Mechanism.step`. It may hold a proof: never log it."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Is this the account's password?"""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NeedCramSecret:
    """Hand the account's recoverable password to `Mechanism.supply`, or None for an unknown account."""

    username: str


@dataclass(frozen=True, slots=True)
class NeedScramKeys:
    """Hand the account's keys to `Mechanism.supply`, or None for an unknown account."""

    username: str


@dataclass(frozen=True, slots=True)
class CheckCertificate:
    """Does the client's certificate name an account (that may be `authzid`, if that is not empty)?"""

    authzid: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The client proved that it knows this account's secret."""

    username: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange failed.

    Attributes:
        reason: For the trace; holds nothing the client sent.
        username: The account it was about, where that is known; for counting failures.
    """

    reason: str
    username: str = ""


Step = Challenge | CheckPassword | NeedCramSecret | NeedScramKeys | CheckCertificate | Verified | Failure


class Mechanism(ABC):
    """The server's side of one exchange."""

    @abstractmethod
    def step(self, response: bytes | None) -> Step:
        """Go on with what the client sent; None only at the start, when AUTH had no initial response."""

    def supply(self, secret: str | ScramKeys | None) -> Step:
        """Answer a question whose name starts with ``Need``.

        Args:
            secret: The password for `NeedCramSecret`, keys for `NeedScramKeys`, None where there is no such account.

        Raises:
            RuntimeError: Nothing was asked.
        """
        raise RuntimeError("the mechanism asked for nothing")


def read_text(octets: bytes) -> str:
    """Text of a client: UTF-8 as the RFCs say, or Latin-1 as devices that never heard of them send."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")
