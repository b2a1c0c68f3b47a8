"""Group commit: what shares a transaction, what it syncs, and what the log becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from tests.store.samples import letter, taken

from posthouse.mail.message import InlineContent
from posthouse.store.sqlite.checkpoint import Checkpointer
from posthouse.store.sqlite.connect import open_writer
from posthouse.store.sqlite.store import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store that is open."""
    store = SqliteStore(tmp_path, node="node")
    await store.open()
    yield store
    await store.close()


async def test_every_commit_is_synced(store: SqliteStore) -> None:
    settings = await store.writer.call(lambda c: (c.pragma("journal_mode"), c.pragma("synchronous")))
    assert settings == ("wal", 2)


async def test_what_waits_together_shares_a_transaction(store: SqliteStore) -> None:
    observer = apsw.Connection(str(store.path))
    versions = {observer.pragma("data_version")}
    jobs = [store.accept(taken(letter(number))) for number in range(100)]
    for job in jobs:
        job.add_done_callback(lambda done: versions.add(observer.pragma("data_version")))
    await asyncio.gather(*jobs)
    await asyncio.sleep(0)
    observer.close()
    assert 2 <= len(versions) <= 5


async def test_a_function_that_fails_is_rolled_back_alone(store: SqliteStore) -> None:
    def half(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO secret VALUES ('half', x'00', 0)")
        raise LookupError("on purpose")

    results = await asyncio.gather(
        store.accept(taken(letter(1))), store.writer.call(half), store.accept(taken(letter(2))), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    assert await store.secret("half") is None
    assert await store.open_count() == 2


async def test_the_log_begins_again_while_the_writer_works(tmp_path: Path) -> None:
    """With a small limit, so that a test reaches it."""
    path = tmp_path / "log.db"
    writer = open_writer(path)
    writer.execute("CREATE TABLE t (data BLOB)")
    checkpointer = Checkpointer(open_writer(path), log_octets=200_000)
    lengths = []
    for _ in range(3000):
        writer.execute("INSERT INTO t VALUES (zeroblob(20000))")
        checkpointer.after_batch(writer)
        lengths.append(writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0])
        if lengths[-1] < max(lengths):
            break
        await asyncio.sleep(0.001)
    checkpointer.close()
    assert lengths[-1] < max(lengths)
    writer.close()


async def test_closing_leaves_a_single_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", node="node")
    await store.open()
    await store.accept(taken(letter(1, content=InlineContent(bytes(100_000)))))
    await store.close()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["posthouse.db", "spool"]
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert (tmp_path / "data" / "posthouse.db").stat().st_mode & 0o077 == 0
