"""A message that Posthouse answers for: content, envelope, where it came from, and each recipient's state.

``Message`` is what was accepted and never changes. ``RecipientState`` is what becomes of it; ``docs/states.md`` has
the transitions. ``Settlement`` is one step of one message: new states, their events and the notices they cause, written
in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from posthouse.mail.envelope import Envelope, Recipient
from posthouse.mail.event import Event
from posthouse.mail.ids import MessageId
from posthouse.mail.session import SessionFacts


@dataclass(frozen=True, slots=True)
class InlineContent:
    """Octets of a message in memory (headers, blank line, body; CRLF line ends; not dot-stuffed)."""

    data: bytes

    @property
    def size_octets(self) -> int:
        """Length in octets."""
        return len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledContent:
    """Octets of a large message in a file of the store's spool, already on disk and synced.

    Attributes:
        path: The file; it belongs to the store from `Store.accept` on.
        size_octets: Length in octets, `prefix` not counted.
        sha256: Digest of the file.
        prefix: Header fields to be read before the file (Received and repairs), so that nothing is rewritten.
        skip_octets: Octets at the beginning of the file that `prefix` replaces.
    """

    path: Path
    size_octets: int
    sha256: bytes
    prefix: bytes = b""
    skip_octets: int = 0

    @property
    def whole_octets(self) -> int:
        """Length of the message, `prefix` included."""
        return len(self.prefix) + self.size_octets - self.skip_octets


Content = InlineContent | SpooledContent


class Origin(StrEnum):
    """Why the message exists."""

    SMTP = "smtp"
    LOCAL = "local"
    BOUNCE = "bounce"
    DELAY_NOTICE = "delay_notice"
    SUCCESS_NOTICE = "success_notice"


class RecipientState(StrEnum):
    """Where one recipient's copy stands (docs/states.md)."""

    PENDING = "pending"
    LEASED = "leased"
    HELD = "held"
    UNKNOWN = "unknown"
    """Outcome unknown and held until an operator decides."""
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """No further attempt will be made."""
        return self in FINAL_STATES


FINAL_STATES = frozenset(
    {
        RecipientState.DELIVERED,
        RecipientState.FAILED,
        RecipientState.EXPIRED,
        RecipientState.CANCELLED,
        RecipientState.DISCARDED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFacts:
    """Fields of the header that the trace is searched by (decoded, at most 998 characters each).

    Attributes:
        message_id: With angle brackets; empty where there is none.
        subject: Decoded to text.
        from_address: First address of From, as text; empty where there is none.
        received_count: Number of Received fields, ours not counted.
    """

    message_id: str = ""
    subject: str = ""
    from_address: str = ""
    received_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What was accepted.

    Attributes:
        id: Our name for it.
        received_at: When the last octet was in; aware UTC.
        expires_at: When attempts end and a bounce is sent.
        origin: Why it exists.
        envelope: Recipients in the order that `index` counts.
        session: Who brought it.
        content: Its octets, our Received field included.
        header: For the trace.
        parent: For notices: the message they speak of.
        repairs: Sentences, one for each thing that was mended on the way in.
    """

    id: MessageId
    received_at: datetime
    expires_at: datetime
    origin: Origin
    envelope: Envelope
    session: SessionFacts
    content: Content
    header: HeaderFacts
    parent: MessageId | None = None
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one recipient's copy waits when it is first written.

    Attributes:
        index: Position in `Envelope.recipients`.
        state: PENDING, LEASED (born leased to the node that took it in), HELD or DISCARDED.
        hop: Name of the waiting line: ``connector`` or ``connector/domain``.
        next_at: When it is due; aware UTC.
    """

    index: int
    state: RecipientState
    hop: str
    next_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """All that one accepting transaction writes.

    Attributes:
        lease_until: When born leases end by themselves; None where nothing is born leased.
    """

    message: Message
    placements: tuple[Placement, ...]
    events: tuple[Event, ...]
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient's copy inside a lease.

    Attributes:
        attempts: Attempts made before this one.
        delay_noticed: A delay notice has been sent already.
    """

    index: int
    recipient: Recipient
    attempts: int = 0
    delay_noticed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to attempt delivery of one message to some of its recipients, over one hop, until `until`."""

    message: Message
    hop: str
    waiting: tuple[Waiting, ...]
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientUpdate:
    """New state of one recipient after an attempt or an operator's action.

    Attributes:
        next_at: When it is due again (PENDING only); None keeps the time that was set.
        hop: New waiting line, or None to keep it.
        status: Enhanced status code of the last reply, or empty.
        last_reply: Last reply or reason as text, shown in the queue; at most 2,000 characters.
        remote: Server that answered, shown in the trace; empty keeps what was known.
        connector: Outbound connector used; empty keeps what was known.
        counts_as_attempt: Adds one to the number of attempts.
        delay_noticed: Set True when this settlement carries the delay notice.
        only_from: Applies only while the copy is in one of these states; empty means any. An operator's action must
            not overtake an attempt that began in the meantime.
    """

    index: int
    state: RecipientState
    next_at: datetime | None = None
    hop: str | None = None
    status: str = ""
    last_reply: str = ""
    remote: str = ""
    connector: str = ""
    counts_as_attempt: bool = True
    delay_noticed: bool = False
    only_from: tuple[RecipientState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One step of one message, written in one transaction: states, events and the notices that follow from them."""

    message_id: MessageId
    updates: tuple[RecipientUpdate, ...]
    events: tuple[Event, ...] = ()
    notices: tuple[NewMessage, ...] = field(default=())
