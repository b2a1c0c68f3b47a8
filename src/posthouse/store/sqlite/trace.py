"""Search the trace, tell a message's story, follow the journal.

Shape: `TraceStore` is the `Tracing` part of the store except for retention. A search by recipient, sender or Message-ID
walks the segments from the newest and stops when no older one can hold a newer row; other searches walk the copies from
the newest. A time is first a range of message ids, which carry the time of acceptance (``mail.ids``), then exact.
Failures: `StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import apsw

from posthouse.mail.event import Event
from posthouse.mail.ids import MessageId, read_message_id
from posthouse.mail.message import InlineContent
from posthouse.store.port import Story, TraceQuery, TraceRow
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.decode import EVENT_BITS, read_events, read_message, read_trace_rows
from posthouse.store.sqlite.encode import hash_header_id
from posthouse.store.sqlite.patterns import AddressPattern, read_address, subject_glob
from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.rows import (
    LATEST,
    STATE_NUMBERS,
    encode_json,
    highest_id,
    lowest_id,
    to_micros,
)
from posthouse.store.sqlite.statements import read_statements

_SQL = read_statements("segments", "trace")
_ANY_STATE = (1 << 62) - 1
_FIRST_SEGMENTS = 4
_GROWTH = 4


class TraceStore(Database):
    """Questions about messages and events."""

    async def search(self, query: TraceQuery) -> list[TraceRow]:
        """Rows, newest first."""
        parameters = _parameters(query)
        if parameters is None:
            return []
        rows = await self.reader.run(lambda c: _search(c, parameters))
        return read_trace_rows(rows)

    async def story(self, message_id: MessageId) -> Story | None:
        """All that is known of one message."""
        return await self.reader.run(lambda c: _story(c, message_id))

    async def door_events(self, since: datetime, limit: int) -> list[Event]:
        """Refusals and log-ins without a message, newest first."""
        parameters = {"since": to_micros(since), "limit": limit}
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL["door_events"], parameters))
        rows.sort(key=lambda row: row[0], reverse=True)
        events = [event for row in rows for _, event in read_events(*row)]
        return sorted(events, key=lambda event: event.at, reverse=True)[:limit]

    async def events_after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """Events in the order of writing; the number is a cursor, 0 begins."""
        parameters = {"number": number >> EVENT_BITS, "limit": limit + 1}
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL["journal_after"], parameters))
        events = [event for row in sorted(rows) for event in read_events(*row)]
        return [event for event in events if event[0] > number][:limit]

    async def seen_before(self, header_message_id: str, since: datetime) -> int:
        """How often a message with this Message-ID was accepted since then."""
        if not header_message_id:
            return 0
        parameters = {
            "lowest": lowest_id(since),
            "highest": LATEST,
            "since": to_micros(since),
            "header_id": header_message_id,
            "header_hash": hash_header_id(header_message_id),
        }

        def count(connection: apsw.Connection) -> int:
            segments = [number for number, _ in fetch_json(connection, _SQL["segments_between"], parameters)]
            wanted = {**parameters, "segments": encode_json(segments).decode()}
            found: int = connection.execute(_SQL["seen_before"], wanted).get
            return found

        return await self.reader.run(count)


def _parameters(query: TraceQuery) -> dict[str, Any] | None:
    """Parameters of all search statements; None when nothing can match."""
    if query.limit < 1:
        return None
    before_id, before_position = query.before or (LATEST, LATEST)
    own_id, header_id = _read_ids(query.message_id)
    anything = AddressPattern(None, None, None)
    sender = anything if query.sender is None else read_address(query.sender)
    recipient = anything if query.recipient is None else read_address(query.recipient)
    return {
        "lowest": lowest_id(query.since),
        "highest": min(highest_id(query.until), before_id),
        "before_id": before_id,
        "before_position": before_position,
        "states": sum(1 << STATE_NUMBERS[state] for state in set(query.states)) or _ANY_STATE,
        "recipient": recipient.low,
        "recipient_end": recipient.high,
        "recipient_like": recipient.like,
        "since": 0 if query.since is None else to_micros(query.since),
        "until": LATEST if query.until is None else to_micros(query.until),
        "sender": sender.low,
        "sender_end": sender.high,
        "sender_like": sender.like,
        "subject": None if query.subject is None else subject_glob(query.subject),
        "own_id": own_id,
        "header_id": header_id,
        "header_hash": None if header_id is None else hash_header_id(header_id),
        "connector": query.connector,
        "limit": query.limit,
    }


def _read_ids(text: str | None) -> tuple[int | None, str | None]:
    """What a message id means: our own number if it can be one, and a Message-ID in angle brackets."""
    if text is None:
        return None, None
    text = text.strip()
    header_id = text if text.startswith("<") else f"<{text}>"
    try:
        return read_message_id(text), header_id
    except ValueError:
        return None, header_id


def _search(connection: apsw.Connection, parameters: dict[str, Any]) -> list[Sequence[Any]]:
    if parameters["header_id"] is not None:
        found = _walk_segments(connection, _SQL["search_by_header"], parameters)
        if parameters["own_id"] is not None:
            found += fetch_json(connection, _SQL["search_one"], parameters)
        return found[: parameters["limit"]]
    if parameters["recipient"] is not None:
        return _walk_segments(connection, _SQL["search_by_recipient"], parameters)
    if parameters["sender"] is not None:
        return _walk_segments(connection, _SQL["search_by_sender"], parameters)
    rows: list[Sequence[Any]] = fetch_json(connection, _SQL["search_all"], parameters)
    return rows


def _walk_segments(connection: apsw.Connection, statement: str, parameters: dict[str, Any]) -> list[Sequence[Any]]:
    """Search from the newest segment; stop when older ones cannot hold anything newer than what was found."""
    limit, found = parameters["limit"], list[Sequence[Any]]()
    for numbers, newest_left in _portions(fetch_json(connection, _SQL["segments_between"], parameters)):
        found += fetch_json(connection, statement, {**parameters, "segments": encode_json(numbers).decode()})
        found.sort(key=lambda row: (row[0], row[1]), reverse=True)
        del found[limit:]
        if len(found) == limit and found[-1][0] > newest_left:
            break
    return found


def _portions(segments: list[tuple[int, int]]) -> Iterator[tuple[list[int], int]]:
    """Growing portions of the segments, each with the newest id that any later portion may hold."""
    start, size = 0, _FIRST_SEGMENTS
    while start < len(segments):
        end = start + size
        newest_left = segments[end][1] if end < len(segments) else -1
        yield [number for number, _ in segments[start:end]], newest_left
        start, size = end, size * _GROWTH


def _story(connection: apsw.Connection, message_id: MessageId) -> Story | None:
    wanted = {"id": message_id}
    row = connection.execute(_SQL["story_message"], wanted).get
    if row is None:
        return None
    events = [event for part in fetch_json(connection, _SQL["story_events"], wanted) for event in read_events(*part)]
    rows = read_trace_rows(fetch_json(connection, _SQL["story_rows"], wanted))
    return Story(
        message=read_message(row[:8], InlineContent(b"")),
        content_octets=row[8],
        has_content=bool(row[9]),
        rows=tuple(reversed(rows)),
        events=tuple(event for _, event in sorted(events, key=lambda pair: pair[0])),
        notices=tuple(MessageId(notice) for notice in fetch_json(connection, _SQL["story_notices"], wanted)),
    )
