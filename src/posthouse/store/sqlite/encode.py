"""Values to rows, on the event loop, once for each message: keep it lean.

Shape: `Encoder.accept`, `settle` and `record` return `Rows`, the rows of one job for each table.
Failures: ``ValueError`` for a broken promise of the caller (a time without zone, a lease without end, content outside
the spool); nothing was queued then.
Leaves to others: when rows are written (``writer``), which segment they belong to (``segments``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Rows(NamedTuple):
    """Rows of one job, by table."""

    messages: Sequence[Row] = ()
    contents: Sequence[Row] = ()
    spooled: Sequence[Row] = ()
    copies: Sequence[Row] = ()
    journal: Sequence[Row] = ()
    updates: Sequence[Row] = ()


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
                    to_micros(place.next_at),
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

    def settle(self, settlement: Settlement) -> tuple[Rows, Rows | None]:
        """Rows of one settlement, and the rows to write instead when none of its copies can change any more.

        The second is None where the settlement brings no notices: then nothing depends on the state found.
        """
        own = Rows(journal=journal_rows(settlement.events), updates=_update_rows(settlement))
        if not settlement.notices:
            return own, None
        kept = [event for event in settlement.events if event.kind not in _NOTICE_EVENTS]
        return _joined([own, *map(self.accept, settlement.notices)]), Rows(journal=journal_rows(kept))

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
    documents = [(to_micros(event.at), event.kind, event.recipient, event.detail) for event in events]
    return message_id, documents[0][0], encode_json(documents).decode()


def _update_rows(settlement: Settlement) -> list[Row]:
    if len({update.index for update in settlement.updates}) != len(settlement.updates):
        raise ValueError("a settlement names a copy twice")
    changed_at = max((to_micros(event.at) for event in settlement.events), default=None)
    remotes: dict[int | None, tuple[str, str]] = {}
    for event in settlement.events:
        remote, connector = event.detail.get("remote"), event.detail.get("connector")
        if isinstance(remote, str) and isinstance(connector, str):
            remotes[event.recipient] = (remote, connector)
    return [_update_row(settlement.message_id, update, changed_at, remotes) for update in settlement.updates]


def _update_row(
    message_id: int, update: RecipientUpdate, changed_at: int | None, remotes: dict[int | None, tuple[str, str]]
) -> Row:
    remote, connector = remotes.get(update.index) or remotes.get(None) or (None, None)
    return (
        message_id,
        update.index,
        _SETTLED[update.state],
        None if update.next_at is None else to_micros(update.next_at),
        update.hop,
        update.status,
        update.last_reply[:2000],
        1 if update.counts_as_attempt else 0,
        1 if update.delay_noticed else 0,
        changed_at,
        remote,
        connector,
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    return Rows(*([row for rows in table for row in rows] for table in zip(*parts, strict=True)))
