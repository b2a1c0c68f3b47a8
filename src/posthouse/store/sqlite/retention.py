"""Remove what is older than its retention, in bites small enough for the writer to take between two batches.

Shape: `RetentionStore.retire` looks for candidates in a reader, removes them in transactions of at most
`BITE_MESSAGES`, and deletes spool files after the commit that removed their last row; a crash in between leaves
orphans, which the next start removes.
Failures: `StoreUnavailable`; what was removed until then stays removed.
Leaves to others: when to run and what the retention is (``trace`` package).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from posthouse.store.port import Retired
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.rows import encode_json, highest_id, to_micros
from posthouse.store.sqlite.statements import read_statements

BITE_MESSAGES = 100

_SQL = read_statements("retention")
_CONTENT_TABLES = ("delete_contents", "delete_spooled")
_MESSAGE_TABLES = ("delete_journal", "delete_copies", "delete_messages")


class RetentionStore(Database):
    """Forgetting."""

    async def retire(self, *, content_before: datetime, trace_before: datetime, limit: int) -> Retired:
        """Remove content of messages settled before `content_before`, and messages with their events settled before
        `trace_before`; at most `limit` of each, at most `limit` events at the door."""
        contents = await self._find("settled_contents", content_before, limit)
        await self._remove(contents, _CONTENT_TABLES)
        messages = await self._find("settled_messages", trace_before, limit)
        await self._remove(messages, (*_CONTENT_TABLES, *_MESSAGE_TABLES))
        door = await self._find("old_door_rows", trace_before, limit)
        if door:
            numbers = {"numbers": encode_json(door).decode()}
            await self.writer.call(lambda c: c.execute(_SQL["delete_door_rows"], numbers))
        if messages:
            await self.writer.call(lambda c: c.execute(_SQL["delete_empty_segments"]))
        return Retired(messages=len(messages), contents=len(contents), door_events=len(door))

    async def _find(self, name: str, before: datetime, limit: int) -> list[int]:
        parameters = {"highest": highest_id(before), "before": to_micros(before), "limit": limit}
        found: list[int] = await self.reader.run(lambda c: fetch_json(c, _SQL[name], parameters))
        return found

    async def _remove(self, ids: Sequence[int], statements: Sequence[str]) -> None:
        for start in range(0, len(ids), BITE_MESSAGES):
            bite = {"ids": encode_json(ids[start : start + BITE_MESSAGES]).decode()}
            files = await self.writer.call(lambda c, bite=bite: _delete(c, bite, statements))  # type: ignore[misc]
            if files:
                await asyncio.to_thread(self._unlink, files)

    def _unlink(self, files: Sequence[str]) -> None:
        for file in files:
            (self.spool.directory / file).unlink(missing_ok=True)


def _delete(connection: apsw.Connection, bite: dict[str, Any], statements: Sequence[str]) -> list[str]:
    """Delete rows; return the files that no row names any more (messages of one transaction may share one)."""
    files = fetch_json(connection, _SQL["files_of"], bite)
    for name in statements:
        connection.execute(_SQL[name], bite)
    if not files:
        return []
    still = set(fetch_json(connection, _SQL["files_still_named"], {"files": encode_json(files).decode()}))
    return sorted(set(files) - still)
