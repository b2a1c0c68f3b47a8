"""The waiting lines: what is due, what an operator sees, moves between lines.

Shape: `QueueStore` is the `Queueing` part of the store together with `LeaseStore`, except for what takes mail in and
settles it (``store``).
Failures: `StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from posthouse.mail.ids import MessageId
from posthouse.mail.message import RecipientState
from posthouse.store.port import DueHop, HopSummary, QueueEntry, QueueFilter
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.patterns import key_range
from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.rows import (
    FIRST_FINAL,
    STATE_NUMBERS,
    STATES,
    encode_json,
    key_text,
    lowest_id,
    to_datetime,
    to_micros,
)
from posthouse.store.sqlite.statements import read_statements

MOST_DUE_COUNTED = 10_000
"""`due` counts no further in one waiting line."""

_SQL = read_statements("queue")


class QueueStore(Database):
    """Waiting copies."""

    async def due(self, now: datetime) -> list[DueHop]:
        """Waiting lines with due copies; the count stops at `MOST_DUE_COUNTED`."""
        parameters = {"now": to_micros(now), "most": MOST_DUE_COUNTED}
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL["due"], parameters))
        return [DueHop(hop, count) for hop, count in rows]

    async def next_due_at(self) -> datetime | None:
        """When the next pending copy is due."""
        micros = await self.reader.run(lambda c: c.execute(_SQL["next_due"]).get)
        return None if micros is None else to_datetime(micros)

    async def rename_hops(self, changes: Sequence[tuple[MessageId, int, str]]) -> None:
        """Move pending or held copies to other waiting lines."""
        if changes:
            parameters = {"changes": _json(changes)}
            await self.writer.call(lambda c: c.execute(_SQL["rename_hops"], parameters))

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

    async def recipients_since(self, since: datetime) -> dict[str, int]:
        """Recipients accepted since then, by principal."""
        parameters = {"lowest": lowest_id(since), "since": to_micros(since)}
        return dict(await self.reader.run(lambda c: fetch_json(c, _SQL["recipients_since"], parameters)))


def _json(value: object) -> str:
    return encode_json(value).decode()


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
