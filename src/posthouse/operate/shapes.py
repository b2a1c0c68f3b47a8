"""The values that cross the control socket and that ``--json`` prints.

Shape: frozen dataclasses of plain types; the API turns them into JSON and OpenAPI, the client reads them back. Times
are aware UTC (ISO 8601 in JSON), sizes octets, message ids the 13 characters that people type.
Failures: `Refusal` is the answer to a request that cannot be done.
Leaves to others: making them (``operate.services``), showing them to people (``operate.cli``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from posthouse.operate.explanation_shapes import ReplyExplanation

Code = Literal["not_found", "invalid", "conflict", "forbidden", "unavailable", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request was not done.

    Attributes:
        code: ``unavailable`` means that trying again later may help.
        message: A sentence.
        details: Further sentences, for instance one for each problem of a flow.
    """

    code: Code
    message: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nothing:
    """A request without arguments, or an answer that says only that it was done."""


@dataclass(frozen=True, slots=True)
class Named:
    """A request about one thing by its name or id."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSelection:
    """Which waiting copies; conditions are joined by "and", an empty one means all.

    Attributes:
        sender, recipient: Full address or ``@domain``.
        hop: Waiting line; ``name`` also means ``name/...``.
        states: ``pending``, ``leased``, ``held``, ``unknown``; empty means all of them.
    """

    ids: tuple[str, ...] = ()
    sender: str | None = None
    recipient: str | None = None
    hop: str | None = None
    states: tuple[str, ...] = ()
    limit: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One waiting copy.

    Attributes:
        recipient_index: Position in the envelope.
        why: Last reply or reason; before the first attempt, what keeps the whole line.
        explanation: What that means, where it is a known reply of Microsoft 365.
    """

    id: str
    recipient_index: int
    sender: str
    recipient: str
    subject: str
    size_octets: int
    received_at: datetime
    expires_at: datetime
    state: str
    status: str
    hop: str
    next_at: datetime
    attempts: int
    why: str
    explanation: ReplyExplanation | None = None


@dataclass(frozen=True, slots=True)
class QueueRows:
    """Waiting copies, oldest first; `more` when the limit cut the list."""

    copies: tuple[QueueRow, ...]
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HopRow:
    """One waiting line."""

    hop: str
    pending: int
    leased: int
    held: int
    unknown: int
    oldest_at: datetime
    next_at: datetime | None
    why: str
    explanation: ReplyExplanation | None = None


@dataclass(frozen=True, slots=True)
class HopRows:
    """All waiting lines that hold something."""

    hops: tuple[HopRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAction:
    """Change what `selection` names."""

    action: Literal["hold", "release", "retry", "cancel"]
    selection: QueueSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChanged:
    """How much an action changed."""

    action: str
    messages: int
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSelection:
    """Search of the message trace; conditions are joined by "and".

    Attributes:
        sender, recipient: Address, ``@domain``, or a part with ``*``.
        message_id: Header Message-ID or our own id.
        connector: Connector, account or listener by name.
        statuses: ``Delivered``, ``Failed``, ``Pending``, ``Held``, ``Unknown``, ``Cancelled``, ``Discarded``.
        before: Cursor of an earlier answer: rows below it.
    """

    sender: str | None = None
    recipient: str | None = None
    subject: str | None = None
    message_id: str | None = None
    connector: str | None = None
    statuses: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """One recipient of one message, named after the fields of Exchange's message trace."""

    id: str
    recipient_index: int
    received_at: datetime
    sender: str
    recipient: str
    subject: str
    status: str
    state: str
    from_ip: str
    to_ip: str
    size_octets: int
    message_id: str
    principal: str
    connector: str
    last_reply: str


@dataclass(frozen=True, slots=True)
class TraceLines:
    """Newest first; `next` continues the search where there is more."""

    rows: tuple[TraceLine, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryStep:
    """One event of a message in words.

    Attributes:
        event: Kind, as stored.
        recipient: Address, or empty for the whole message.
        headline: A sentence.
        details: Further lines, most telling first.
        fields: All that was recorded, under its own names.
        explanation: What a refusal means, where it is a known reply of Microsoft 365.
    """

    at: datetime
    event: str
    recipient: str
    headline: str
    details: tuple[str, ...] = ()
    fields: dict[str, str | int | float | bool | list[str] | None] = field(default_factory=dict)
    explanation: ReplyExplanation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryView:
    """All that is known of one message.

    Attributes:
        origin: ``smtp``, ``local``, ``bounce``, ``delay_notice`` or ``success_notice``.
        parent: For notices: the message they speak of.
        notices: Messages that speak of this one.
        has_content: False after retention removed it.
    """

    id: str
    received_at: datetime
    expires_at: datetime
    origin: str
    sender: str
    subject: str
    header_message_id: str
    size_octets: int
    has_content: bool
    peer_ip: str
    helo: str
    protocol: str
    listener: str
    session: str
    principal: str
    tls: str
    parent: str | None
    notices: tuple[str, ...]
    repairs: tuple[str, ...]
    recipients: tuple[TraceLine, ...]
    timeline: tuple[StoryStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRequest:
    """Events after a cursor; None means "from now on"."""

    cursor: int | None = None
    limit: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSelection:
    """What happened at the door, without a message: refusals and log-ins.

    Attributes:
        since: Aware; None means the last day.
    """

    since: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorEvent:
    """One refusal or log-in."""

    at: datetime
    event: str
    text: str
    fields: dict[str, str | int | float | bool | list[str] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DoorEvents:
    """Newest first."""

    events: tuple[DoorEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedEvent:
    """One event as it is written."""

    number: int
    at: datetime
    event: str
    id: str | None
    recipient_index: int | None
    text: str
    fields: dict[str, str | int | float | bool | list[str] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FollowedEvents:
    """Events in the order of writing, and the cursor for the next request."""

    events: tuple[FollowedEvent, ...]
    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionEnvelope:
    """The head of a locally handed-in message; its octets follow.

    Attributes:
        sender: None is the null sender.
    """

    sender: str | None
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """The message is on disk."""

    id: str
