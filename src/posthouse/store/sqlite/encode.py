"""Values to rows, on the event loop, once for each message: keep it lean.

Shape: `Encoder.accept`, `settle` and `record` return `Rows`, the rows of one job for each table.
Failures: ``ValueError`` for a broken promise of the caller (a time without zone, a lease without end, content outside
the spool); nothing was queued then.
Leaves to others: when rows are written (``writer``), which segment they belong to (``segments``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from posthouse.mail.event import Event, EventKind
from posthouse.mail.message import InlineContent, Message, NewMessage, RecipientState, RecipientUpdate, Settlement
from posthouse.mail.session import SessionFacts
from posthouse.store.sqlite.rows import STATE_NUMBERS, encode_json, to_key, to_micros
from posthouse.store.sqlite.statements import Row

_PLACED: dict[RecipientState, int] = {
    state: STATE_NUMBERS[state]
    for state in (RecipientState.PENDING, RecipientState.LEASED, RecipientState.HELD, RecipientState.DISCARDED)
}
_SETTLED: dict[RecipientState, int] = {
    state: number for state, number in STATE_NUMBERS.items() if state is not RecipientState.LEASED
}
_NOTICE_EVENTS = frozenset({EventKind.BOUNCED, EventKind.DELAY_NOTICED})
_SESSIONS_REMEMBERED = 4096
EVENTS_PER_ROW = 1024

_Fact = str | int | float | bool | list[str] | None


class Rows(NamedTuple):
    """Rows of one job, by table."""

    messages: Sequence[Row] = ()
    contents: Sequence[Row] = ()
    spooled: Sequence[Row] = ()
    copies: Sequence[Row] = ()
    journal: Sequence[Row] = ()
    updates: Sequence[Row] = ()


class Choice:
    """A settlement that depends on the states found: it has notices, or updates with `only_from`.

    Updates whose `only_from` does not hold are left out with their events. When no update applies any more, the
    notices are left out with the events that speak of them.
    """

    __slots__ = ("_events", "_id", "_notices", "_rows", "_updates")

    def __init__(self, settlement: Settlement, rows: Sequence[Row], notices: Rows) -> None:
        self._id = settlement.message_id
        self._updates = settlement.updates
        self._events = settlement.events
        self._rows = rows
        self._notices = notices

    @property
    def copies(self) -> list[tuple[int, int]]:
        """Message id and index of each copy whose state decides."""
        return [(self._id, update.index) for update in self._updates]

    def rows(self, states: Mapping[tuple[int, int], RecipientState]) -> Rows:
        """What to write, given the states of copies; a copy that is missing there does not exist."""
        found = [states.get((self._id, update.index)) for update in self._updates]
        applies = [_applies(update, state) for update, state in zip(self._updates, found, strict=True)]
        left_out = {
            update.index
            for update, state in zip(self._updates, found, strict=True)
            if update.only_from and state not in update.only_from
        }
        events = [event for event in self._events if event.recipient not in left_out]
        updates = [row for row, fits in zip(self._rows, applies, strict=True) if fits]
        if not updates:
            return Rows(journal=journal_rows([event for event in events if event.kind not in _NOTICE_EVENTS]))
        return _joined([Rows(journal=journal_rows(events), updates=updates), self._notices])


def _applies(update: RecipientUpdate, state: RecipientState | None) -> bool:
    if state is None or (update.only_from and state not in update.only_from):
        return False
    return not state.is_final or (update.state is RecipientState.DELIVERED and state is not RecipientState.DELIVERED)


class Encoder:
    """Turns values into rows.

    Args:
        node: Owner of born leases.
        spool: Directory of large contents.
        next_segment: Called once for each message.
    """

    def __init__(self, node: str, spool: Path, next_segment: Callable[[], int]) -> None:
        self._node = node
        self._spool = spool
        self._next_segment = next_segment
        self._sessions: dict[int, tuple[SessionFacts, msgspec.Raw, str]] = {}

    def accept(self, new: NewMessage) -> Rows:
        """Rows of one accepted message."""
        message, content = new.message, new.message.content
        received = message.received_at
        row, segment, received_at, expires_at = self._message(message)
        keys = [to_key(recipient.address) for recipient in message.envelope.recipients]
        until = None if new.lease_until is None else to_micros(new.lease_until)
        copies = []
        for place in new.placements:
            leased = place.state is RecipientState.LEASED
            if leased and until is None:
                raise ValueError("a copy born leased needs NewMessage.lease_until")
            copies.append(
                (
                    message.id,
                    place.index,
                    segment,
                    keys[place.index],
                    _PLACED[place.state],
                    place.hop,
                    received_at if place.next_at is received else to_micros(place.next_at),
                    expires_at,
                    self._node if leased else "",
                    until if leased else None,
                    received_at,
                )
            )
        if isinstance(content, InlineContent):
            return Rows((row,), ((message.id, content.data),), (), copies, journal_rows(new.events))
        if content.path.parent != self._spool:
            raise ValueError(f"{content.path} is not a file of the spool")
        spooled = (message.id, content.path.name, content.size_octets, content.sha256, content.prefix)
        return Rows((row,), (), (spooled,), copies, journal_rows(new.events))

    def accept_many(self, new: Sequence[NewMessage]) -> Rows:
        """Rows of several messages of one transaction."""
        return _joined([self.accept(one) for one in new])

    def settle(self, settlement: Settlement) -> Rows | Choice:
        """Rows of one settlement, or a choice that the writer makes when it knows the states of the copies."""
        updates = _update_rows(settlement)
        if not settlement.notices and not any(update.only_from for update in settlement.updates):
            return Rows(journal=journal_rows(settlement.events), updates=updates)
        return Choice(settlement, updates, _joined([Rows(), *map(self.accept, settlement.notices)]))

    def _message(self, message: Message) -> tuple[Row, int, int, int]:
        envelope, header = message.envelope, message.header
        session, principal = self._session(message.session)
        facts = encode_json(
            (
                message.origin,
                envelope.body,
                envelope.smtputf8,
                envelope.ret,
                envelope.envid,
                envelope.declared_octets,
                [(r.address.local, r.address.domain, r.notify.value, r.original) for r in envelope.recipients],
                session,
                header.from_address,
                header.received_count,
                message.repairs,
            )
        ).decode()
        content, header_id = message.content, header.message_id
        segment, received_at, expires_at = (
            self._next_segment(),
            to_micros(message.received_at),
            to_micros(message.expires_at),
        )
        size = content.size_octets if isinstance(content, InlineContent) else content.size_octets + len(content.prefix)
        row = (
            message.id,
            segment,
            received_at,
            expires_at,
            to_key(envelope.sender),
            header.subject,
            header_id,
            hash_header_id(header_id),
            message.session.listener,
            principal,
            len(envelope.recipients),
            size,
            message.parent,
            facts,
        )
        return row, segment, received_at, expires_at

    def _session(self, session: SessionFacts) -> tuple[msgspec.Raw, str]:
        """The session's document, made once for all messages of a session, and its principal as text."""
        known = self._sessions.get(id(session))
        if known is not None and known[0] is session:
            return known[1], known[2]
        tls, principal = session.tls, session.principal
        document = msgspec.Raw(
            encode_json(
                (
                    session.id,
                    session.listener,
                    session.peer_ip,
                    session.peer_port,
                    session.helo,
                    session.protocol,
                    None if tls is None else (tls.version, tls.cipher, tls.peer_names),
                    None if principal is None else (principal.kind, principal.name, principal.label),
                    to_micros(session.started_at),
                )
            )
        )
        if len(self._sessions) >= _SESSIONS_REMEMBERED:
            self._sessions.clear()
        text = "" if principal is None else str(principal)
        self._sessions[id(session)] = (session, document, text)
        return document, text


def hash_header_id(header_id: str) -> int:
    """Number by which a Message-ID is looked up; different ids may share one."""
    return crc32(header_id.encode("utf-8", "surrogatepass"))


def journal_rows(events: Sequence[Event]) -> list[Row]:
    """Rows of events: one for each message that they speak of, one for each event at the door."""
    if not events:
        return []
    message_id = events[0].message_id
    if message_id is None or len(events) > EVENTS_PER_ROW or any(event.message_id != message_id for event in events):
        return _sorted_journal_rows(events)
    return [_journal_row(message_id, events)]


def _sorted_journal_rows(events: Sequence[Event]) -> list[Row]:
    rows: list[Row] = []
    by_message: dict[int, list[Event]] = {}
    for event in events:
        if event.message_id is None:
            rows.append(_journal_row(None, (event,)))
        else:
            by_message.setdefault(event.message_id, []).append(event)
    for message_id, its in by_message.items():
        for start in range(0, len(its), EVENTS_PER_ROW):
            rows.append(_journal_row(message_id, its[start : start + EVENTS_PER_ROW]))
    return rows


def _journal_row(message_id: int | None, events: Sequence[Event]) -> Row:
    moment, micros = events[0].at, to_micros(events[0].at)
    documents = [
        (micros if event.at is moment else to_micros(event.at), event.kind, event.recipient, event.detail)
        for event in events
    ]
    try:
        return message_id, micros, encode_json(documents).decode()
    except UnicodeEncodeError:
        # Half a character in what a server said must not keep the result of an attempt from being written.
        whole = [(*rest, {key: _whole(value) for key, value in detail.items()}) for *rest, detail in documents]
        return message_id, micros, encode_json(whole).decode()


def _whole(value: _Fact) -> _Fact:
    """A fact without halves of characters (surrogates), which no UTF-8 can express."""
    if isinstance(value, str):
        return _text(value)
    return [_text(text) for text in value] if isinstance(value, list) else value


def _text(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def _update_rows(settlement: Settlement) -> list[Row]:
    updates, events = settlement.updates, settlement.events
    if len(updates) > 1 and len({update.index for update in updates}) != len(updates):
        raise ValueError("a settlement names a copy twice")
    changed_at = to_micros(max([event.at for event in events])) if events else None
    return [_update_row(settlement.message_id, update, changed_at) for update in updates]


def _update_row(message_id: int, update: RecipientUpdate, changed_at: int | None) -> Row:
    return (
        message_id,
        update.index,
        _SETTLED[update.state],
        None if update.next_at is None else to_micros(update.next_at),
        update.hop,
        _text(update.status),
        _text(update.last_reply[:2000]),
        1 if update.counts_as_attempt else 0,
        1 if update.delay_noticed else 0,
        changed_at,
        _text(update.remote),
        update.connector,
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    return Rows(*([row for rows in table for row in rows] for table in zip(*parts, strict=True)))
