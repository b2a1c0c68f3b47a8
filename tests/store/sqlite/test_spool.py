"""Large contents: streamed in bounded memory, named by rows, removed when nobody names them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from tests.store.samples import DAY, DELIVERED, HELD, MINUTE, NOW, letter, message_id, settlement, taken, update

from posthouse.mail.event import EventKind
from posthouse.mail.message import InlineContent, SpooledContent
from posthouse.store.port import SpoolFile, StoreUnavailable
from posthouse.store.sqlite.store import SqliteStore


async def opened(directory: Path) -> SqliteStore:
    """A store that is open."""
    store = SqliteStore(directory, node="node")
    await store.open()
    return store


async def stream(file: SpoolFile, octets: bytes, times: int) -> SpooledContent:
    """Write the same octets so often, as a listener would."""
    for _ in range(times):
        waiting = file.write(octets)
        if waiting is not None:
            await waiting
    path, size, digest = await file.finish()
    return SpooledContent(path=path, size_octets=size, sha256=digest)


def files(store: SqliteStore) -> list[Path]:
    """Files of the spool."""
    return sorted(store.spool.directory.iterdir())


async def test_size_and_digest_are_those_of_the_file(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    octets = os.urandom(333_333)
    content = await stream(store.open_spool(), octets, 10)
    assert content.path.read_bytes() == octets * 10
    assert content.size_octets == 3_333_330
    assert content.sha256 == hashlib.sha256(octets * 10).digest()
    await store.close()


async def test_an_empty_content_is_a_file_too(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    content = await stream(store.open_spool(), b"", 1)
    assert (content.path.read_bytes(), content.size_octets) == (b"", 0)
    await store.close()


async def test_150_megabytes_are_taken_in_flat_memory(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    tracemalloc.start()
    content = await stream(store.open_spool(), bytes(65536), 157_286_400 // 65536)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content.size_octets == 157_286_400
    assert peak < 8_000_000
    await store.accept(taken(letter(1, content=content)))
    assert await store.content(message_id(1)) == content
    await store.close()


async def test_a_discarded_file_is_gone_even_while_it_is_written(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    file = store.open_spool()
    file.write(bytes(2_000_000))
    file.discard()
    assert files(store) == []
    await store.close()
    assert files(store) == []


async def test_an_accepted_file_outlives_the_next_start(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    content = await stream(store.open_spool(), b"x" * 100_000, 20)
    await store.accept(taken(letter(1, content=content)))
    await store.close()
    store = await opened(tmp_path)
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
    assert lease.message.content == content
    await store.close()


async def test_another_start_leaves_a_file_alone_that_is_being_written(tmp_path: Path) -> None:
    """``posthouse send`` streams a large message while the node starts."""
    command = await opened(tmp_path)
    file = command.open_spool()
    file.write(b"x" * 100)
    node = await opened(tmp_path)
    path, size, digest = await file.finish()
    assert path.exists()
    another = await opened(tmp_path)
    content = SpooledContent(path=path, size_octets=size, sha256=digest)
    await command.accept(taken(letter(1, content=content)))
    await command.close()
    assert await node.content(message_id(1)) == content
    await node.close()
    await another.close()


async def test_a_file_left_behind_by_a_closed_store_is_removed(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await stream(store.open_spool(), b"x" * 100, 1)
    await store.close()
    store = await opened(tmp_path)
    assert files(store) == []
    await store.close()


async def test_retention_removes_the_file_with_its_last_message(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    content = await stream(store.open_spool(), b"x" * 100, 1)
    one, two = letter(1, content=content), letter(2, content=content)
    await store.accept_many([taken(one), taken(two)])
    await store.settle(settlement(one, update(0, DELIVERED)))
    await store.retire(content_before=NOW + DAY, trace_before=NOW - DAY, limit=9)
    assert await store.content(one.id) is None
    assert await store.content(two.id) == content
    await store.settle(settlement(two, update(0, DELIVERED)))
    await store.retire(content_before=NOW + DAY, trace_before=NOW - DAY, limit=9)
    assert files(store) == []
    await store.close()


async def test_a_missing_or_short_file_is_found(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for number in (1, 2):
        content = await stream(store.open_spool(), b"x" * 1000, 1)
        await store.accept(taken(letter(number, content=content)))
    gone, short = files(store)
    gone.unlink()
    short.write_bytes(b"x")
    problems = await store.check()
    assert len(problems) == 2
    assert any(f"{gone} is missing" in problem for problem in problems)
    assert any(f"{short} has 1 octets, 1000 are expected" in problem for problem in problems)
    with pytest.raises(StoreUnavailable, match="missing"):
        await asyncio.gather(store.content(message_id(1)), store.content(message_id(2)))
    await store.close()


async def test_a_message_whose_content_is_missing_is_held_and_stops_no_other(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    lost = letter(1, content=await stream(store.open_spool(), b"x" * 1000, 1))
    await store.accept(taken(lost))
    await store.accept(taken(letter(2)))
    files(store)[0].unlink()
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
    assert lease.message.id == message_id(2)
    story = await store.story(lost.id)
    assert story is not None
    assert (story.rows[0].state, story.events[-1].kind) == (HELD, EventKind.HELD)
    assert "content of the message is missing" in story.rows[0].last_reply
    await store.close()


async def test_an_expired_message_can_be_bounced_without_its_content(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.accept(taken(letter(1, content=await stream(store.open_spool(), b"x" * 1000, 1))))
    files(store)[0].unlink()
    (lease,) = await store.overdue(NOW + 2 * DAY, limit=9)
    assert lease.message.content == InlineContent(b"")
    await store.close()


async def test_content_outside_the_spool_is_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path / "data")
    elsewhere = SpooledContent(path=tmp_path / "letter", size_octets=1, sha256=b"")
    with pytest.raises(ValueError, match="spool"):
        await store.accept(taken(letter(1, content=elsewhere)))
    await store.close()
