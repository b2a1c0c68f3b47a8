"""The waiting lines: leases, due times, expiry, the queue view.

Shape: `QueueStore` is the `Queueing` part of the store except for what takes mail in (``store``). Taking a lease is one
job of the writer; contents are then loaded by a reader, so that the writer never waits for them.
Failures: `StoreUnavailable`.
Leaves to others: when a copy is due again (``queue`` package), settling (``store``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import apsw

from posthouse.mail.event import EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import Content, InlineContent, Lease, Message, RecipientState, SpooledContent, Waiting
from posthouse.store.port import DueHop, HopSummary, QueueEntry, QueueFilter
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.decode import read_message
from posthouse.store.sqlite.patterns import key_range
from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.rows import (
    FIRST_FINAL,
    STATE_NUMBERS,
    STATES,
    encode_json,
    highest_id,
    key_text,
    lowest_id,
    to_datetime,
    to_micros,
)
from posthouse.store.sqlite.spool import missing_file
from posthouse.store.sqlite.statements import read_statements

MOST_DUE_COUNTED = 10_000
"""`due` counts no further in one waiting line."""
NOTICE_LEASE = timedelta(minutes=10)
"""How long `overdue` and `undelayed` keep a copy from other attempts."""

_SQL = read_statements("queue")
_CONTENTS_AT_ONCE = 64

CopyRow = tuple[int, int, str, int, int]
"""Message id, position, hop, attempts, delay_noticed."""


def _json(value: object) -> str:
    return encode_json(value).decode()


class QueueStore(Database):
    """Waiting copies."""

    async def lease(self, hop: str, *, now: datetime, until: datetime, limit: int) -> list[Lease]:
        """Take due copies of one waiting line, oldest first; `limit` counts messages."""
        due = {"hop": hop, "now": to_micros(now), "limit": limit}

        def take(connection: apsw.Connection) -> list[CopyRow]:
            ids = fetch_json(connection, _SQL["due_messages"], due)
            if not ids:
                return []
            order = {message_id: place for place, message_id in enumerate(ids)}
            copies: list[CopyRow] = fetch_json(connection, _SQL["due_copies"], {**due, "ids": _json(ids)})
            copies.sort(key=lambda copy: (order[copy[0]], copy[1]))
            self._mark_leased(connection, copies, until)
            return copies

        copies = await self.writer.call(take)
        return await self._leases(copies, until, with_content=True) if copies else []

    async def due(self, now: datetime) -> list[DueHop]:
        """Waiting lines with due copies; the count stops at `MOST_DUE_COUNTED`."""
        parameters = {"now": to_micros(now), "most": MOST_DUE_COUNTED}
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL["due"], parameters))
        return [DueHop(hop, count) for hop, count in rows]

    async def next_due_at(self) -> datetime | None:
        """When the next pending copy is due."""
        micros = await self.reader.run(lambda c: c.execute(_SQL["next_due"]).get)
        return None if micros is None else to_datetime(micros)

    async def return_leases(self, *, owner: str | None, now: datetime) -> int:
        """Turn leases of `owner`, or with None those whose time is over, back into due copies."""
        at = to_micros(now)
        find = "expired_leases" if owner is None else "owned_leases"
        wanted = {"now": at} if owner is None else {"owner": owner}

        def give_back(connection: apsw.Connection) -> int:
            lost = fetch_json(connection, _SQL[find], wanted)
            if lost:
                copies = {"copies": _json(lost), "now": at}
                connection.execute(_SQL["record_returns"], {**copies, "kind": EventKind.LEASE_RETURNED.value})
                connection.execute(_SQL["return_leases"], copies)
            return len(lost)

        return await self.writer.call(give_back)

    async def renew_leases(self, *, now: datetime, until: datetime) -> int:
        """Keep the leases of this node that have not run out and would end before `until`."""
        parameters = {"owner": self.node, "now": to_micros(now), "until": to_micros(until)}

        def renew(connection: apsw.Connection) -> int:
            connection.execute(_SQL["renew_leases"], parameters)
            return connection.changes()

        return await self.writer.call(renew)

    async def overdue(self, now: datetime, *, limit: int) -> list[Lease]:
        """Pending copies of expired messages, leased to this node for `NOTICE_LEASE`; `limit` counts messages."""
        parameters = {"now": to_micros(now), "limit": limit}
        return await self._take_found("expired_messages", "expired_copies", parameters, now)

    async def undelayed(self, before: datetime, now: datetime, *, limit: int) -> list[Lease]:
        """Pending copies accepted before `before` without a delay notice, leased to this node for `NOTICE_LEASE`.

        Settle them as PENDING with ``next_at=None``, which keeps the time they were due.
        """
        parameters = {
            "now": to_micros(now),
            "before": to_micros(before),
            "highest": highest_id(before),
            "limit": limit,
        }
        return await self._take_found("undelayed_messages", "undelayed_copies", parameters, now)

    async def rename_hops(self, changes: Sequence[tuple[MessageId, int, str]]) -> None:
        """Move pending or held copies to other waiting lines."""
        if changes:
            parameters = {"changes": _json(changes)}
            await self.writer.call(lambda c: c.execute(_SQL["rename_hops"], parameters))

    async def pending_copies(self, after: tuple[MessageId, int] | None, limit: int) -> list[Lease]:
        """Page through pending and held copies by message and index; `limit` counts copies."""
        after_id, after_position = after or (-1, -1)
        page = {"after_id": after_id, "after_position": after_position, "limit": limit}
        copies = await self.reader.run(lambda c: fetch_json(c, _SQL["pending_page"], page))
        return await self._leases(sorted(copies), None, with_content=False) if copies else []

    async def open_count(self) -> int:
        """Number of copies that are not final."""
        count: int = await self.reader.run(lambda c: c.execute(_SQL["open_count"]).get)
        return count

    async def entries(self, query: QueueFilter) -> list[QueueEntry]:
        """The queue view, oldest first."""
        numbers = [STATE_NUMBERS[state] for state in query.states]
        sender, sender_end = key_range(query.sender)
        recipient, recipient_end = key_range(query.recipient)
        parameters = {
            "ids": _json(query.message_ids) if query.message_ids else None,
            "states": _json(numbers),
            "sender": sender,
            "sender_end": sender_end,
            "recipient": recipient,
            "recipient_end": recipient_end,
            "hop": query.hop,
            "limit": query.limit,
        }
        name = "open_entries" if all(number < FIRST_FINAL for number in numbers) else "all_entries"
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL[name], parameters))
        return [_read_entry(row) for row in sorted(rows, key=lambda row: (row[0], row[1]))]

    async def hops(self) -> list[HopSummary]:
        """All waiting lines that hold something, by name."""
        counts, replies = await self.reader.run(
            lambda c: (fetch_json(c, _SQL["hop_counts"]), dict(fetch_json(c, _SQL["hop_replies"])))
        )
        counts.sort()
        return [
            _read_hop(hop, list(rows), replies.get(hop, "")) for hop, rows in groupby(counts, key=lambda row: row[0])
        ]

    async def content(self, message_id: MessageId) -> Content | None:
        """The octets of a message, or None when they are gone."""
        return await self.reader.run(lambda c: self._content(c, message_id))

    async def recipients_since(self, since: datetime) -> dict[str, int]:
        """Recipients accepted since then, by principal."""
        parameters = {"lowest": lowest_id(since), "since": to_micros(since)}
        return dict(await self.reader.run(lambda c: fetch_json(c, _SQL["recipients_since"], parameters)))

    def _mark_leased(self, connection: apsw.Connection, copies: Sequence[CopyRow], until: datetime) -> None:
        parameters = {"copies": _json(copies), "owner": self.node, "until": to_micros(until)}
        connection.execute(_SQL["lease_copies"], parameters)

    async def _take_found(self, messages: str, copies: str, parameters: dict[str, Any], now: datetime) -> list[Lease]:
        """Look for messages in a reader, then lease their copies that are still as they were found."""
        ids = await self.reader.run(lambda c: fetch_json(c, _SQL[messages], parameters))
        if not ids:
            return []
        until, wanted = now + NOTICE_LEASE, {**parameters, "ids": _json(ids)}

        def take(connection: apsw.Connection) -> list[CopyRow]:
            found: list[CopyRow] = fetch_json(connection, _SQL[copies], wanted)
            self._mark_leased(connection, found, until)
            return found

        found = await self.writer.call(take)
        found.sort(key=lambda copy: (copy[0], copy[2], copy[1]))
        return await self._leases(found, until, with_content=True) if found else []

    async def _leases(self, copies: Sequence[CopyRow], until: datetime | None, *, with_content: bool) -> list[Lease]:
        """Leases of copies that stand in the wished order; those of one message and hop are neighbours."""
        ids = list(dict.fromkeys(copy[0] for copy in copies))
        messages = await self.reader.run(lambda c: self._messages(c, ids, with_content=with_content))
        return [
            Lease(
                message=messages[message_id],
                hop=hop,
                waiting=tuple(_read_waiting(messages[message_id], copy) for copy in its),
                until=messages[message_id].expires_at if until is None else until,
            )
            for (message_id, hop), its in groupby(copies, key=lambda copy: (copy[0], copy[2]))
        ]

    def _messages(self, connection: apsw.Connection, ids: list[int], *, with_content: bool) -> dict[int, Message]:
        rows = fetch_json(connection, _SQL["messages"], {"ids": _json(ids)})
        inline = [row[0] for row in rows if row[8] is None] if with_content else []
        contents = _inline_contents(connection, inline)
        found = {}
        for row in rows:
            content: Content = InlineContent(contents.get(row[0], b""))
            if with_content and row[8] is not None:
                content = self._spooled(row[8], row[9], bytes.fromhex(row[10]), bytes.fromhex(row[11]))
            found[row[0]] = read_message(row[:8], content)
        return found

    def _content(self, connection: apsw.Connection, message_id: int) -> Content | None:
        data = connection.execute(_SQL["content"], {"id": message_id}).get
        if data is not None:
            return InlineContent(data)
        row = connection.execute(_SQL["spooled"], {"id": message_id}).get
        return None if row is None else self._spooled(*row)

    def _spooled(self, file: str, size_octets: int, sha256: bytes, prefix: bytes) -> SpooledContent:
        path = self.spool.directory / file
        if not path.exists():
            raise missing_file(path)
        return SpooledContent(path=path, size_octets=size_octets, sha256=sha256, prefix=prefix)


def _inline_contents(connection: apsw.Connection, ids: Iterable[int]) -> dict[int, bytes]:
    """Contents by id, many to a step: a statement of one row with a column for each message."""
    wanted, found = list(ids), {}
    for start in range(0, len(wanted), _CONTENTS_AT_ONCE):
        some = wanted[start : start + _CONTENTS_AT_ONCE]
        columns = ", ".join(["(SELECT data FROM content WHERE message_id = ?)"] * len(some))
        row = next(connection.execute(f"SELECT {columns}", some))
        found.update({message_id: data for message_id, data in zip(some, row, strict=True) if data is not None})
    return found


def _read_waiting(message: Message, copy: CopyRow) -> Waiting:
    _, position, _, attempts, delay_noticed = copy
    return Waiting(position, message.envelope.recipients[position], attempts, bool(delay_noticed))


def _read_entry(row: Sequence[Any]) -> QueueEntry:
    return QueueEntry(
        message_id=MessageId(row[0]),
        index=row[1],
        sender=key_text(row[2]),
        recipient=key_text(row[3]),
        subject=row[4],
        size_octets=row[5],
        received_at=to_datetime(row[6]),
        expires_at=to_datetime(row[7]),
        state=STATES[row[8]],
        hop=row[9],
        next_at=to_datetime(row[10]),
        attempts=row[11],
        last_reply=row[12],
    )


def _read_hop(hop: str, rows: list[Sequence[Any]], last_reply: str) -> HopSummary:
    pending = [row[3] for row in rows if STATES[row[1]] is RecipientState.PENDING]
    return HopSummary(
        hop=hop,
        counts={STATES[row[1]]: row[2] for row in rows},
        oldest_at=to_datetime(min(row[4] for row in rows)),
        next_at=to_datetime(pending[0]) if pending else None,
        last_reply=last_reply,
    )
