"""The store as the rest of Posthouse sees it.

Shape: every method that changes something returns after the change is on disk; many changes waiting at the same moment
share one transaction and one sync (group commit). Methods are coroutines; a store may also offer `accept` and `settle`
as plain functions that return an ``asyncio.Future``, which costs less, so callers only ``await`` what they get.
Failures: `StoreUnavailable` (disk full, database broken or locked: nothing of this change was written; try again) — any
other exception is a broken promise. A change that fails never takes others of its group down with it.
Leaves to others: which state follows which (``queue``), what events say (``mail.event``), routing (``decide``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from posthouse.mail.event import Event
from posthouse.mail.ids import MessageId
from posthouse.mail.message import Content, Lease, Message, NewMessage, RecipientState, Settlement
from posthouse.store.budgeting import Budgeting


class StoreUnavailable(Exception):
    """The store cannot write or read just now. Nothing of the change was kept.

    Attributes:
        disk_full: The reason was a lack of space.
    """

    def __init__(self, reason: str, *, disk_full: bool = False) -> None:
        super().__init__(reason)
        self.disk_full = disk_full


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """Which waiting copies are meant; conditions are joined by "and", an empty filter means all.

    Attributes:
        message_ids: Only these messages.
        sender, recipient: Full address, or ``@domain`` for a whole domain; case does not matter.
        hop: Name of a waiting line; ``name`` also matches ``name/...``.
        states: Only these states; default all that are not final.
    """

    message_ids: tuple[MessageId, ...] = ()
    sender: str | None = None
    recipient: str | None = None
    hop: str | None = None
    states: tuple[RecipientState, ...] = (
        RecipientState.PENDING,
        RecipientState.LEASED,
        RecipientState.HELD,
        RecipientState.UNKNOWN,
    )
    limit: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """One waiting copy as the queue view shows it."""

    message_id: MessageId
    index: int
    sender: str
    recipient: str
    subject: str
    size_octets: int
    received_at: datetime
    expires_at: datetime
    state: RecipientState
    hop: str
    next_at: datetime
    attempts: int
    last_reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HopSummary:
    """One waiting line: counts by state, the oldest message, the next attempt, the last reply seen."""

    hop: str
    counts: dict[RecipientState, int]
    oldest_at: datetime
    next_at: datetime | None
    last_reply: str


@dataclass(frozen=True, slots=True)
class DueHop:
    """A waiting line that has copies due."""

    hop: str
    due: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Search of the message trace; conditions are joined by "and".

    Attributes:
        sender, recipient: Full address, ``@domain``, or part of an address with ``*`` (``scan*@example.com``).
        subject: Part of the subject, case does not matter.
        message_id: Header Message-ID, with or without brackets, or our own 13-character id.
        connector: Inbound connector, account, listener or outbound connector by name.
        statuses: Recipient states.
        since, until: Of acceptance; aware UTC.
        before: Continue below this row (message id and index of the last row seen).
    """

    sender: str | None = None
    recipient: str | None = None
    subject: str | None = None
    message_id: str | None = None
    connector: str | None = None
    states: tuple[RecipientState, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    before: tuple[MessageId, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One recipient of one message, newest first in a search (fields after Exchange's message trace)."""

    message_id: MessageId
    index: int
    received_at: datetime
    sender: str
    recipient: str
    subject: str
    state: RecipientState
    peer_ip: str
    remote: str
    size_octets: int
    header_message_id: str
    principal: str
    connector: str
    last_reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one message: the message, its rows and its events in order.

    Attributes:
        message: Content is left out: `Message.content` is an empty `InlineContent`.
        content_octets: Size of the content.
        has_content: False after retention removed it.
        notices: Messages that speak of this one.
    """

    message: Message
    content_octets: int
    has_content: bool
    rows: tuple[TraceRow, ...]
    events: tuple[Event, ...]
    notices: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPassword:
    """A password for one device. The hash never leaves ``receive``."""

    id: int
    label: str
    hash: str = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may log in.

    Attributes:
        name: Login name, compared without case.
        password_hash: argon2id, or empty where only app passwords are used.
        senders: Allowed senders: addresses, ``@domain`` or ``*``; empty means none but the name itself if it is an
            address.
        scram: Stored keys as text (``iterations$salt$stored$server``, base64), or empty.
        sealed_cram_secret: Encrypted secret for CRAM-MD5, or empty.
    """

    name: str
    password_hash: str = field(repr=False)
    senders: tuple[str, ...] = ()
    disabled: bool = False
    scram: str = field(default="", repr=False)
    sealed_cram_secret: bytes = field(default=b"", repr=False)
    app_passwords: tuple[AppPassword, ...] = ()
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRevision:
    """One applied version of the mail flow."""

    number: int
    at: datetime
    by: str
    comment: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """What a retention run removed."""

    messages: int
    contents: int
    door_events: int


class SpoolFile(Protocol):
    """A large message on its way to disk. Octets come in order; calls never block the event loop for long."""

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Take octets; None when they fit the buffer, else something to await before the next call."""

    async def finish(self) -> tuple[Path, int, bytes]:
        """Write, sync file and directory; return path, size in octets and SHA-256."""

    def discard(self) -> None:
        """Throw the file away."""


class Queueing(Protocol):
    """The part of the store that keeps mail."""

    inline_octets: int
    """Content up to this size is kept inside the database, larger content in the spool."""

    def accept(self, new: NewMessage) -> Awaitable[None]:
        """Write message, recipients, content and events. When it returns, they are on disk."""

    def accept_many(self, new: Sequence[NewMessage]) -> Awaitable[None]:
        """The same for several messages of one transaction (one RCPT list that splits)."""

    def settle(self, settlement: Settlement) -> Awaitable[None]:
        """Write new states, events and notices of one message in one transaction.

        Updates whose `only_from` no longer holds are left out, and so are their events (same recipient index).
        """

    def record(self, events: Sequence[Event]) -> Awaitable[None]:
        """Write events that change no state (refusals at the door, attempts begun, log-ins)."""

    def open_spool(self) -> SpoolFile:
        """Begin a large content."""

    async def lease(
        self, hop: str, *, now: datetime, until: datetime, limit: int, is_fair: bool = False
    ) -> list[Lease]:
        """Take due copies of one waiting line, oldest first, as leases of this node, their content loaded or named.

        Where the line is short of room (`is_fair`), the oldest of each sender come first, then the second of each.

        Copies of one message in one line come in one lease. `limit` counts messages.
        """

    async def due(self, now: datetime) -> list[DueHop]:
        """Waiting lines with pending copies that are due."""

    async def next_due_at(self) -> datetime | None:
        """When the next pending copy is due, or None when nothing is pending."""

    async def return_leases(self, *, owner: str | None, now: datetime) -> int:
        """Turn leases back into due copies: all of `owner` (a node that starts after a crash), or, with None, those
        whose time is over. Writes a LEASE_RETURNED event for each. Returns the number of copies."""

    async def renew_leases(self, messages: Collection[MessageId], *, below: datetime, until: datetime) -> int:
        """Keep the leases of this node on these messages until `until` where they would end before `below`, also those
        whose time is over already: it still has them in hand. Returns how many."""

    async def overdue(self, now: datetime, *, limit: int) -> list[Lease]:
        """Lease (as `lease` does, to this node) pending copies whose message expired before `now`, for the bounce."""

    async def undelayed(self, before: datetime, now: datetime, *, limit: int) -> list[Lease]:
        """Lease pending copies accepted before `before` whose sender has had no delay notice.

        Their `next_at` is kept: the settlement that notes the notice puts them back with ``next_at=None``.
        """

    async def rename_hops(self, changes: Sequence[tuple[MessageId, int, str]]) -> None:
        """Move pending or held copies (message, index) to other waiting lines after a change of the flow."""

    async def pending_copies(self, after: tuple[MessageId, int] | None, limit: int) -> list[Lease]:
        """Page through all pending and held copies with their messages (content empty), for re-routing."""

    async def open_count(self) -> int:
        """Number of copies that are not final."""

    async def entries(self, query: QueueFilter) -> list[QueueEntry]:
        """The queue view, oldest first."""

    async def hops(self) -> list[HopSummary]:
        """All waiting lines that hold something."""

    async def content(self, message_id: MessageId) -> Content | None:
        """The octets of a message, or None when they are gone."""

    async def recipients_since(self, since: datetime) -> dict[str, int]:
        """Number of recipients accepted since then, by principal (``account:name``)."""


class Tracing(Protocol):
    """The part of the store that answers questions."""

    async def search(self, query: TraceQuery) -> list[TraceRow]:
        """Rows, newest first."""

    async def story(self, message_id: MessageId) -> Story | None:
        """All that is known of one message."""

    async def door_events(self, since: datetime, limit: int) -> list[Event]:
        """Refusals and log-ins without a message, newest first."""

    async def events_after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """Events in the order of writing, for following; the number is a cursor."""

    async def retire(self, *, content_before: datetime, trace_before: datetime, limit: int) -> Retired:
        """Remove content of messages that were settled before `content_before`, and messages with their events from
        before `trace_before` (only settled ones), in small bites of at most `limit` messages."""

    async def seen_before(self, header_message_id: str, since: datetime) -> int:
        """How often a message with this Message-ID was accepted since then."""


class Keeping(Protocol):
    """The part of the store that keeps accounts, secrets and the flow."""

    async def accounts(self) -> list[Account]:
        """All accounts by name."""

    async def account(self, name: str) -> Account | None:
        """One account, name without case."""

    async def save_account(self, account: Account) -> None:
        """Insert or replace, app passwords excepted."""

    async def remove_account(self, name: str) -> bool:
        """Remove with its app passwords; False where there was none."""

    async def add_app_password(self, account: str, label: str, hash_: str, at: datetime) -> int:
        """Add and return its id."""

    async def remove_app_password(self, account: str, label: str) -> bool:
        """Revoke by label."""

    async def account_used(self, account: str, app_password: int | None, at: datetime) -> None:
        """Note the last use (may be grouped)."""

    async def save_flow(self, text: str, *, by: str, comment: str, at: datetime) -> FlowRevision:
        """Append a revision."""

    async def flow(self, number: int | None = None) -> FlowRevision | None:
        """The newest revision, or a given one."""

    async def flow_history(self, limit: int) -> list[FlowRevision]:
        """Newest first."""

    async def save_secret(self, name: str, sealed: bytes, at: datetime) -> None:
        """Insert or replace an encrypted secret."""

    async def secret(self, name: str) -> bytes | None:
        """The encrypted secret."""

    async def secret_names(self) -> list[tuple[str, datetime]]:
        """Names and the time of the last change."""

    async def remove_secret(self, name: str) -> bool:
        """False where there was none."""


class Store(Queueing, Tracing, Budgeting, Keeping, Protocol):
    """All of it, with its life."""

    async def open(self) -> None:
        """Open or create, migrate, check, remove orphaned spool files. Raises StoreUnavailable with the reason."""

    async def close(self) -> None:
        """Finish what was begun, then close. Idempotent."""

    async def check(self) -> list[str]:
        """Problems found in the stored data, as sentences; empty when all is well."""
