"""Full disk, lock, damage, removal: nothing is lost, and the store says what is wrong.

A full disk is made with ``PRAGMA max_page_count``: SQLite answers SQLITE_FULL exactly as for ENOSPC.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import apsw
import pytest
from tests.store.samples import (
    DELIVERED,
    LEASED,
    MINUTE,
    NOW,
    event,
    letter,
    message_id,
    settlement,
    taken,
    update,
)
from tests.store.sqlite.processes import run, run_python

from posthouse.mail.event import EventKind
from posthouse.mail.message import InlineContent
from posthouse.store.port import StoreUnavailable, TraceQuery
from posthouse.store.sqlite.store import SqliteStore

LARGE = InlineContent(b"x" * 200_000)


async def opened(directory: Path) -> SqliteStore:
    """A store that is open."""
    store = SqliteStore(directory, node="node")
    await store.open()
    return store


async def limit_pages(store: SqliteStore, extra: int) -> None:
    """Let the database grow by so many pages and no further."""

    def limit(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", connection.pragma("page_count") + extra)

    await store.writer.call(limit)


async def test_a_full_disk_refuses_new_mail_and_says_so(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.accept(taken(letter(1)))
    await limit_pages(store, 10)
    with pytest.raises(StoreUnavailable, match="free some space") as caught:
        await store.accept(taken(letter(2, content=LARGE)))
    assert caught.value.disk_full
    assert str(store.path) in str(caught.value)
    assert await store.story(message_id(2)) is None
    await limit_pages(store, 1000)
    await store.accept(taken(letter(2, content=LARGE)))
    await store.close()


async def test_what_fits_is_still_written_when_its_neighbour_does_not(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    message = letter(1)
    await store.accept(taken(message, state=LEASED))
    await limit_pages(store, 10)
    settled = event(message, EventKind.DELIVERED, 0)
    results = await asyncio.gather(
        store.accept(taken(letter(2, content=LARGE))),
        store.settle(settlement(message, update(0, DELIVERED), events=[settled])),
        store.accept(taken(letter(3, content=LARGE))),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StoreUnavailable, type(None), StoreUnavailable]
    assert [(row.message_id, row.state) for row in await store.search(TraceQuery())] == [(message_id(1), DELIVERED)]
    await store.close()


async def test_a_file_size_limit_is_a_failure_of_the_disk_not_of_the_process(tmp_path: Path) -> None:
    code, printed = await run_python("-m", "tests.store.sqlite.limited", str(tmp_path))
    assert code == 0
    refused, after = printed.splitlines()
    _, kept, _, found = refused.split()
    assert int(found) == int(kept) < 10
    assert after == f"then {int(kept) + 1} []"


async def test_a_real_full_file_system_refuses_and_recovers(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    if await run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)) != 0:
        pytest.skip("this user may not mount")
    try:
        store = await opened(mount)
        await store.accept(taken(letter(1)))
        ballast = mount / "ballast"
        ballast.write_bytes(b"x" * (os.statvfs(mount).f_bavail * 4096 - 64 * 1024))
        with pytest.raises(StoreUnavailable) as caught:
            await store.accept(taken(letter(2, content=LARGE)))
        assert caught.value.disk_full
        with pytest.raises(StoreUnavailable) as caught:
            await fill_spool(store, 4_000_000)
        assert caught.value.disk_full
        ballast.unlink()
        await store.accept(taken(letter(2, content=LARGE)))
        assert await store.check() == []
        await store.close()
    finally:
        assert await run("umount", "-l", str(mount)) == 0


async def fill_spool(store: SqliteStore, octets: int) -> None:
    """Stream so many octets, and throw the file away when that fails."""
    file = store.open_spool()
    try:
        for _ in range(octets // 100_000):
            waiting = file.write(b"x" * 100_000)
            if waiting is not None:
                await waiting
        await file.finish()
    finally:
        file.discard()


async def test_a_lock_held_by_another_program_is_said_and_passes(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.writer.call(lambda connection: connection.set_busy_timeout(10))
    other = apsw.Connection(str(store.path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="keeps it locked"):
        await store.accept(taken(letter(1)))
    other.execute("ROLLBACK")
    other.close()
    await store.accept(taken(letter(1)))
    await store.close()


async def test_a_short_lock_of_another_process_is_waited_for(tmp_path: Path) -> None:
    """``posthouse send`` writes into the store of a running node."""
    node, command = await opened(tmp_path), await opened(tmp_path)
    await asyncio.gather(
        *(node.accept(taken(letter(n))) for n in range(40)),
        *(command.accept(taken(letter(n))) for n in range(40, 80)),
    )
    assert await node.open_count() == 80
    assert len(await node.search(TraceQuery(sender="scan@device.example", limit=100))) == 80
    await command.close()
    await node.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "posthouse.db"
    path.write_bytes(random.Random(1).randbytes(50_000))
    with pytest.raises(StoreUnavailable, match="not a database file") as caught:
        await SqliteStore(tmp_path, node="node").open()
    assert str(path) in str(caught.value)


async def test_a_damaged_database_is_found_by_check(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for number in range(50):
        await store.accept(taken(letter(number, content=InlineContent(b"x" * 5000))))
    await store.close()
    path = tmp_path / "posthouse.db"
    octets = bytearray(path.read_bytes())
    octets[40_000:120_000] = random.Random(1).randbytes(80_000)
    path.write_bytes(octets)
    try:
        store = await opened(tmp_path)
        problems = await store.check()
        await store.close()
    except StoreUnavailable as error:
        problems = [str(error)]
    assert problems


async def test_a_removed_database_is_noticed_before_more_mail_is_promised(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.accept(taken(letter(1)))
    (tmp_path / "posthouse.db").unlink()
    store.writer.look_now()
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.accept(taken(letter(2)))
    await store.close()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a directory should be")
    with pytest.raises(StoreUnavailable) as caught:
        await SqliteStore(tmp_path / "data", node="node").open()
    assert str(tmp_path / "data") in str(caught.value)


async def test_a_read_only_file_system_is_said(tmp_path: Path) -> None:
    mount = tmp_path / "data"
    mount.mkdir()
    if await run("mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(mount)) != 0:
        pytest.skip("this user may not mount")
    try:
        with pytest.raises(StoreUnavailable, match="Read-only file system") as caught:
            await SqliteStore(mount, node="node").open()
        assert str(mount) in str(caught.value)
    finally:
        assert await run("umount", str(mount)) == 0


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.accept(taken(letter(1)))
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.open_count()


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    waiting = [store.accept(taken(letter(number))) for number in range(30)]
    await store.close()
    await asyncio.gather(*waiting)
    store = await opened(tmp_path)
    assert await store.open_count() == 30
    assert len(await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=99)) == 30
    await store.close()
