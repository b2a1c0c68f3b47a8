"""Rows to values.

Failures: ``msgspec.DecodeError`` or ``KeyError`` for documents that this version never wrote: a damaged database.
Leaves to others: which rows are read (``queue``, ``trace``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Notify, Recipient
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId, SessionId
from posthouse.mail.message import Content, HeaderFacts, Message, Origin
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts, TlsFacts
from posthouse.store.port import TraceRow
from posthouse.store.sqlite.encode import EVENTS_PER_ROW
from posthouse.store.sqlite.rows import (
    STATES,
    SessionDocument,
    decode_events,
    decode_facts,
    from_key,
    key_text,
    to_datetime,
)

EVENT_BITS = EVENTS_PER_ROW.bit_length() - 1
"""An event's number is its journal row's number, shifted by this, plus its place in the row."""


def read_message(row: Sequence[Any], content: Content) -> Message:
    """A message of id, received_at, expires_at, sender, subject, header_id, parent, facts."""
    message_id, received_at, expires_at, sender, subject, header_id, parent, facts_text = row
    facts = decode_facts(facts_text)
    return Message(
        id=MessageId(message_id),
        received_at=to_datetime(received_at),
        expires_at=to_datetime(expires_at),
        origin=Origin(facts.origin),
        envelope=Envelope(
            sender=from_key(sender),
            recipients=tuple(
                Recipient(Address(local, domain), Notify(notify), original)
                for local, domain, notify, original in facts.recipients
            ),
            body=Body(facts.body),
            smtputf8=facts.smtputf8,
            ret=facts.ret,
            envid=facts.envid,
            declared_octets=facts.declared_octets,
        ),
        session=_read_session(facts.session),
        content=content,
        header=HeaderFacts(
            message_id=header_id,
            subject=subject,
            from_address=facts.from_address,
            received_count=facts.received_count,
        ),
        parent=None if parent is None else MessageId(parent),
        repairs=tuple(facts.repairs),
    )


def _read_session(document: SessionDocument) -> SessionFacts:
    tls, principal = document.tls, document.principal
    return SessionFacts(
        id=SessionId(document.id),
        listener=document.listener,
        peer_ip=document.peer_ip,
        peer_port=document.peer_port,
        helo=document.helo,
        protocol=document.protocol,
        tls=None if tls is None else TlsFacts(tls[0], tls[1], tuple(tls[2])),
        principal=None if principal is None else Principal(PrincipalKind(principal[0]), principal[1], principal[2]),
        started_at=to_datetime(document.started_at),
    )


def read_trace_rows(rows: Iterable[Sequence[Any]]) -> list[TraceRow]:
    """Rows of the statement ``trace_columns``, newest first."""
    return [_read_trace_row(row) for row in sorted(rows, key=lambda row: (row[0], row[1]), reverse=True)]


def _read_trace_row(row: Sequence[Any]) -> TraceRow:
    return TraceRow(
        message_id=MessageId(row[0]),
        index=row[1],
        received_at=to_datetime(row[2]),
        sender=key_text(row[3]),
        recipient=key_text(row[4]),
        subject=row[5],
        state=STATES[row[6]],
        peer_ip=row[7],
        remote=row[8],
        size_octets=row[9],
        header_message_id=row[10],
        principal=row[11],
        connector=row[12] or row[13].partition("/")[0],
        last_reply=row[14],
    )


def read_events(number: int, message_id: int | None, text: str) -> list[tuple[int, Event]]:
    """Events of one journal row with their numbers."""
    its = None if message_id is None else MessageId(message_id)
    return [
        ((number << EVENT_BITS) + place, Event(to_datetime(at), EventKind(kind), its, recipient, detail))
        for place, (at, kind, recipient, detail) in enumerate(decode_events(text))
    ]
