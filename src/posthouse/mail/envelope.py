"""The envelope: who gets the message, decided by MAIL and RCPT and never by header fields.

Source: RFC 5321 2.3.1, RFC 3461 4 (NOTIFY, ORCPT, RET, ENVID), RFC 6152, RFC 3030, RFC 6531.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, StrEnum

from posthouse.mail.address import Address


class Notify(Flag):
    """NOTIFY of RFC 3461 4.1. ``DEFAULT`` (no parameter) means failure and delay for a relay that has the choice."""

    DEFAULT = 0
    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


class Body(StrEnum):
    """BODY parameter: RFC 6152 and RFC 3030."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT.

    Attributes:
        address: Where to.
        notify: What the sender wants to be told of.
        original: ORCPT as it came (``rfc822;user@example.com``, xtext decoded) or None.
    """

    address: Address
    notify: Notify = Notify.DEFAULT
    original: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One MAIL with its RCPTs.

    Attributes:
        sender: Reverse-path; None is the null sender ``<>``.
        recipients: In the order of the RCPT commands.
        body: Declared body type.
        smtputf8: SMTPUTF8 was given.
        ret: ``FULL`` or ``HDRS`` (RFC 3461 4.3) or None.
        envid: ENVID, xtext decoded, or None.
        declared_octets: SIZE of MAIL (RFC 1870) or None.
    """

    sender: Address | None
    recipients: tuple[Recipient, ...]
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    declared_octets: int | None = None
