"""Microsoft's half of a story in the shapes of the control API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrosoftEvent:
    """One thing that Microsoft did."""

    at: datetime | None
    event: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrosoftRecipient:
    """One recipient in Microsoft's message trace.

    Attributes:
        status: ``delivered``, ``failed``, ``pending``, ``quarantined``, ``filteredAsSpam`` or ``expanded``.
    """

    recipient: str
    received_at: datetime | None
    status: str
    from_ip: str
    to_ip: str
    events: tuple[MicrosoftEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherHalf:
    """What the message trace says through one connector.

    Attributes:
        reason: Why it says nothing; empty where it says something.
    """

    connector: str
    recipients: tuple[MicrosoftRecipient, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OtherHalves:
    """One for each connector that carried a copy into Microsoft 365."""

    halves: tuple[OtherHalf, ...]
