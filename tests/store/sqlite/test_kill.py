"""SIGKILL at each crash state of docs/states.md and at random: what was reported is there, nothing by halves."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.store.samples import DELIVERED, FAILED, LEASED, MINUTE, NOW, PENDING, message_id
from tests.store.sqlite.processes import ROOT, run_python
from tests.store.sqlite.victim import LARGE_OCTETS, octets_of

from posthouse.mail.event import EventKind
from posthouse.mail.message import InlineContent, SpooledContent
from posthouse.store.port import TraceQuery
from posthouse.store.sqlite.store import SqliteStore


@asynccontextmanager
async def killed(scenario: str, directory: Path) -> AsyncIterator[SqliteStore]:
    """The store as the next start finds it."""
    code, _ = await run_python("-m", "tests.store.sqlite.victim", scenario, str(directory))
    assert code == -signal.SIGKILL
    async with survivor(directory) as store:
        yield store


@asynccontextmanager
async def survivor(directory: Path) -> AsyncIterator[SqliteStore]:
    """Open, and find no damage."""
    store = SqliteStore(directory, node="node")
    await store.open()
    try:
        assert await store.check() == []
        yield store
    finally:
        await store.close()


def spool_files(directory: Path) -> list[Path]:
    """Files of the spool."""
    return list((directory / "spool").iterdir())


async def test_a_killed_before_the_commit_nothing_of_the_message_is_left(tmp_path: Path) -> None:
    async with killed("before_commit", tmp_path) as store:
        assert [row.message_id for row in await store.search(TraceQuery())] == [message_id(1)]
        assert len(await store.events_after(0, 9)) == 1


async def test_c_killed_after_the_commit_the_message_is_there_although_nobody_was_told(tmp_path: Path) -> None:
    async with killed("after_commit", tmp_path) as store:
        (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
        assert lease.message.id == message_id(2)


@pytest.mark.parametrize("scenario", ["content_without_row", "content_half_written"])
async def test_b_content_without_a_message_is_removed_at_the_next_start(tmp_path: Path, scenario: str) -> None:
    async with killed(scenario, tmp_path) as store:
        assert spool_files(tmp_path) == []
        assert await store.open_count() == 1


async def test_c_killed_with_leases_they_return_and_their_content_is_whole(tmp_path: Path) -> None:
    async with killed("leased", tmp_path) as store:
        assert await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9) == []
        assert await store.return_leases(owner="node", now=NOW) == 3
        leases = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
        assert {lease.message.id for lease in leases} == {message_id(n) for n in (1, 2, 3)}
        (large,) = [lease.message.content for lease in leases if isinstance(lease.message.content, SpooledContent)]
        assert (large.size_octets, large.prefix) == (LARGE_OCTETS, b"Received: x\r\n")
        assert large.path.read_bytes() == b"z" * LARGE_OCTETS


async def test_d_killed_before_the_settlement_neither_failure_nor_bounce_is_there(tmp_path: Path) -> None:
    async with killed("before_settled", tmp_path) as store:
        story = await store.story(message_id(1))
        assert story is not None
        assert [row.state for row in story.rows] == [LEASED]
        assert [e.kind for e in story.events] == [EventKind.ACCEPTED]
        assert story.notices == ()


async def test_d_killed_after_the_settlement_failure_and_bounce_are_there(tmp_path: Path) -> None:
    async with killed("after_settled", tmp_path) as store:
        story = await store.story(message_id(1))
        assert story is not None
        assert [row.state for row in story.rows] == [FAILED]
        assert [e.kind for e in story.events] == [EventKind.ACCEPTED, EventKind.BOUNCED]
        (bounce,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
        assert bounce.message.id == story.notices[0] == message_id(2)


@pytest.mark.parametrize("seed", range(4))
async def test_killed_at_random_all_that_was_reported_is_there(tmp_path: Path, seed: int) -> None:
    reported = await run_until_killed(tmp_path, lines=random.Random(seed).randrange(20, 800))
    async with survivor(tmp_path) as store:
        await verify(store, reported)
        named = {row.message_id for row in await store.search(TraceQuery(limit=100_000))}
        assert len(spool_files(tmp_path)) == sum((number & 0x3FFFFF) % 50 == 0 for number in named)


async def run_until_killed(directory: Path, lines: int) -> dict[str, set[int]]:
    """Kill the load after so many lines; what it had reported."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.store.sqlite.victim", "load", str(directory)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    printed = [await process.stdout.readline() for _ in range(lines)]
    process.kill()
    printed += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    reported: dict[str, set[int]] = {"accepted": set(), "settled": set()}
    for line in printed:
        if line.endswith(b"\n"):
            kind, number = line.decode().split()
            reported[kind].add(int(number))
    return reported


async def verify(store: SqliteStore, reported: dict[str, set[int]]) -> None:
    """Everything reported is there and whole; what was not reported is whole or not there."""
    rows = {row.message_id & 0x3FFFFF: row for row in await store.search(TraceQuery(limit=100_000))}
    assert reported["accepted"] <= set(rows)
    assert {rows[number].state for number in reported["settled"]} <= {DELIVERED}
    for number, row in rows.items():
        story = await store.story(row.message_id)
        assert story is not None
        expected = [EventKind.ACCEPTED, EventKind.DELIVERED] if row.state is DELIVERED else [EventKind.ACCEPTED]
        assert [e.kind for e in story.events] == expected
        content = await store.content(row.message_id)
        if isinstance(content, InlineContent) and number > 1:
            assert content.data == octets_of(number)
    open_copies = sum(row.state is LEASED for row in rows.values())
    assert await store.return_leases(owner="node", now=NOW) == open_copies
    assert {row.state for row in await store.search(TraceQuery(limit=100_000))} <= {PENDING, DELIVERED}
