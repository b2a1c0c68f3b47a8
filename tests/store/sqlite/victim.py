"""A process that dies at a chosen point: ``python -m tests.store.sqlite.victim SCENARIO DIRECTORY``.

Each scenario ends itself with SIGKILL, except ``load``, which prints the id of each message that was reported as
accepted or settled, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
from tests.store.samples import DELIVERED, FAILED, LEASED, event, letter, notice, settlement, taken, update

from posthouse.mail.event import EventKind
from posthouse.mail.message import Content, InlineContent, SpooledContent
from posthouse.store.sqlite.store import SqliteStore

LARGE_OCTETS = 3_000_000


def die(connection: apsw.Connection | None = None) -> None:
    """End now, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def octets_of(number: int) -> bytes:
    """Content of message `number`, so that the test can tell whether it is whole."""
    return hashlib.sha256(str(number).encode()).digest() * (10 + number % 400)


async def spooled(store: SqliteStore, octets: int = LARGE_OCTETS) -> SpooledContent:
    """A large content, finished but named by no row."""
    file = store.open_spool()
    for _ in range(octets // 100_000):
        waiting = file.write(b"z" * 100_000)
        if waiting is not None:
            await waiting
    path, size, digest = await file.finish()
    return SpooledContent(path=path, size_octets=size, sha256=digest, prefix=b"Received: x\r\n")


def until_visible(store: SqliteStore, statement: str) -> None:
    """Block the event loop until another connection sees the row: committed, and nobody told."""
    other = apsw.Connection(str(store.path))
    while not other.execute(statement).get:
        pass


async def before_commit(store: SqliteStore) -> None:
    """State A: rows are written, COMMIT is not."""
    asyncio.gather(store.accept(taken(letter(2))), store.writer.call(die))
    await asyncio.sleep(60)


async def after_commit(store: SqliteStore) -> None:
    """State C: on disk, the client has not been told."""
    _ = store.accept(taken(letter(2)))
    await asyncio.sleep(0)
    until_visible(store, "SELECT count(*) FROM message WHERE subject = 'scan' AND id & 255 = 2")
    die()


async def content_without_row(store: SqliteStore) -> None:
    """State B: the file is whole, the message was never accepted."""
    await spooled(store)
    die()


async def content_half_written(store: SqliteStore) -> None:
    """State B, earlier."""
    store.open_spool().write(b"z" * 100)
    await spooled(store)
    die()


async def leased(store: SqliteStore) -> None:
    """State C: born leased."""
    await store.accept(taken(letter(2), state=LEASED))
    await store.accept(taken(letter(3, content=await spooled(store)), state=LEASED))
    die()


async def before_settled(store: SqliteStore) -> None:
    """State D, just before: the bounce is written, COMMIT is not."""
    message = letter(1)
    bounced = [event(message, EventKind.BOUNCED)]
    step = settlement(message, update(0, FAILED), events=bounced, notices=[notice(2, message)])
    asyncio.gather(store.settle(step), store.writer.call(die))
    await asyncio.sleep(60)


async def after_settled(store: SqliteStore) -> None:
    """State D: failure and bounce are on disk, nobody was told."""
    message = letter(1)
    bounced = [event(message, EventKind.BOUNCED)]
    _ = store.settle(settlement(message, update(0, FAILED), events=bounced, notices=[notice(2, message)]))
    await asyncio.sleep(0)
    until_visible(store, "SELECT count(*) FROM message WHERE parent IS NOT NULL")
    die()


async def load(store: SqliteStore) -> None:
    """Sixteen sessions accept, every other message is settled at once; some are large."""

    async def one_session(first: int) -> None:
        for number in range(first, 1_000_000, 16):
            content: Content = InlineContent(octets_of(number))
            if number % 50 == 0:
                content = await spooled(store, 200_000)
            message = letter(number, content=content)
            await store.accept(taken(message, state=LEASED))
            say(f"accepted {number}")
            if number % 2:
                await store.settle(
                    settlement(message, update(0, DELIVERED), events=[event(message, EventKind.DELIVERED, 0)])
                )
                say(f"settled {number}")

    await asyncio.gather(*(one_session(first) for first in range(2, 18)))


def say(line: str) -> None:
    """Tell the parent, unbuffered."""
    os.write(1, line.encode() + b"\n")


SCENARIOS: dict[str, Callable[[SqliteStore], Awaitable[None]]] = {
    scenario.__name__: scenario
    for scenario in (
        before_commit,
        after_commit,
        content_without_row,
        content_half_written,
        leased,
        before_settled,
        after_settled,
        load,
    )
}


async def main() -> None:
    """Message 1 is always there; then the scenario."""
    store = SqliteStore(Path(sys.argv[2]), node="node")
    await store.open()
    await store.accept(taken(letter(1), state=LEASED))
    await SCENARIOS[sys.argv[1]](store)


if __name__ == "__main__":
    asyncio.run(main())
