"""The SQLite store: its life, and the way in and out of mail.

Shape: `SqliteStore` implements ``posthouse.store.port.Store``; the parts stand in ``leases``, ``queue``, ``trace``,
``retention``, ``budgets`` and ``keeping``. `accept`, `accept_many`, `settle` and `record` are plain
functions that return a future: rows are made at once, written with the next batch.
Failures: `StoreUnavailable`; ``ValueError`` for a broken promise of the caller, such as a message id used twice.
Settling: a final state stays final, except that DELIVERED is always written down, because it tells what happened. A
settlement that comes too late (its copies were cancelled, or settled by another attempt) changes nothing but the
journal, and its notices are dropped. A deferral that counts as an attempt does not lift a hold. ``next_at=None`` keeps
the time that a copy was due.
A future that is cancelled does not take its change back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import apsw

from posthouse.mail.event import Event
from posthouse.mail.message import NewMessage, Settlement, SpooledContent
from posthouse.store.port import SpoolFile
from posthouse.store.sqlite.budgets import BudgetStore
from posthouse.store.sqlite.check import find_problems
from posthouse.store.sqlite.checkpoint import Checkpointer
from posthouse.store.sqlite.connect import DATABASE, ENVIRONMENT_ERRORS, open_writer, unavailable
from posthouse.store.sqlite.encode import Encoder, Rows, journal_rows
from posthouse.store.sqlite.keeping import KeepingStore
from posthouse.store.sqlite.leases import LeaseStore
from posthouse.store.sqlite.migrate import migrate
from posthouse.store.sqlite.queue import QueueStore
from posthouse.store.sqlite.reader import Reader
from posthouse.store.sqlite.retention import RetentionStore
from posthouse.store.sqlite.segments import Segments
from posthouse.store.sqlite.spool import DIRECTORY as SPOOL_DIRECTORY
from posthouse.store.sqlite.spool import Spool, sync_directory
from posthouse.store.sqlite.statements import read_statements
from posthouse.store.sqlite.trace import TraceStore
from posthouse.store.sqlite.writer import Writer

_IS_NAMED = read_statements("retention")["is_named"]


class SqliteStore(LeaseStore, QueueStore, TraceStore, RetentionStore, BudgetStore, KeepingStore):
    """Keeps everything in one directory: ``posthouse.db`` and ``spool/``.

    Args:
        directory: Created if it is missing, for this user only.
        node: Owner of the leases that this store gives.
        inline_octets: Content up to this size belongs inside the database (advice to callers).
    """

    def __init__(self, directory: Path, *, node: str, inline_octets: int = 262144) -> None:
        super().__init__()
        self.directory = directory
        self.node = node
        self.inline_octets = inline_octets
        self.path = directory / DATABASE
        self._checkpointer: Checkpointer | None = None

    async def open(self) -> None:
        """Open or create, migrate, remove orphaned spool files.

        Raises:
            StoreUnavailable: What is wrong, where, and what to do.
        """
        if self._checkpointer is not None:
            raise RuntimeError("the store is open already")
        self.spool = Spool(self.directory / SPOOL_DIRECTORY)
        connection, checkpointing, self.reader = await asyncio.to_thread(self._prepare)
        self._checkpointer = Checkpointer(checkpointing)
        self.writer = Writer(connection, self.path, asyncio.get_running_loop(), self._checkpointer.after_batch)
        self.encoder = Encoder(self.node, self.spool.directory, Segments(self.writer.call).next)

    async def close(self) -> None:
        """Finish what was begun, then close. Idempotent."""
        checkpointer, self._checkpointer = self._checkpointer, None
        if checkpointer is None:
            return
        await self.writer.close()
        await self.reader.close()
        await asyncio.to_thread(checkpointer.close)
        self.spool.close()

    def accept(self, new: NewMessage) -> asyncio.Future[None]:
        """Write message, copies, content and events; the future resolves when they are on disk."""
        return self._submit_accepted(self.encoder.accept(new), (new,), new.message.id)

    def accept_many(self, new: Sequence[NewMessage]) -> asyncio.Future[None]:
        """The same for several messages of one transaction; they may share one spool file."""
        return self._submit_accepted(self.encoder.accept_many(new), new)

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Write new states, events and notices of one message in one transaction."""
        return self.writer.submit(self.encoder.settle(settlement), settlement.message_id)

    def record(self, events: Sequence[Event]) -> asyncio.Future[None]:
        """Write events that change no state."""
        return self.writer.submit(Rows(journal=journal_rows(events)))

    def open_spool(self) -> SpoolFile:
        """Begin a large content. Its file is safe from the next start's cleaning until it is accepted or discarded."""
        return self.spool.open()

    async def check(self) -> list[str]:
        """Problems found in the stored data, as sentences."""
        return await self.reader.run(lambda c: find_problems(c, self.spool.directory))

    def _submit_accepted(
        self, rows: Rows, new: Sequence[NewMessage], message_id: int | None = None
    ) -> asyncio.Future[None]:
        future = self.writer.submit(rows, message_id)
        if rows.spooled:
            for one in new:
                if isinstance(one.message.content, SpooledContent):
                    future.add_done_callback(self._release_when_kept(one.message.content.path.name))
        return future

    def _release_when_kept(self, name: str) -> Callable[[asyncio.Future[None]], None]:
        def release(accepted: asyncio.Future[None]) -> None:
            if not accepted.cancelled() and accepted.exception() is None:
                self.spool.release(name)

        return release

    def _prepare(self) -> tuple[apsw.Connection, apsw.Connection, Reader]:
        """Directory, file, schema; the connections become the writer's and the checkpointer's."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.spool.directory.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            sync_directory(self.directory)
        except OSError as error:
            raise unavailable(error, self.path) from error
        try:
            with ExitStack() as opened:
                writing = open_writer(self.path)
                opened.callback(writing.close)
                migrate(writing, self.path)
                self._remove_orphans(writing)
                checkpointing = open_writer(self.path)
                opened.callback(checkpointing.close)
                reader = Reader(self.path)
                opened.pop_all()
        except ENVIRONMENT_ERRORS as error:
            raise unavailable(error, self.path) from error
        return writing, checkpointing, reader

    def _remove_orphans(self, connection: apsw.Connection) -> None:
        """Crash state B. Each name is looked up afresh: another process may commit between two of them."""
        try:
            self.spool.remove_orphans(lambda file: bool(connection.execute(_IS_NAMED, {"file": file}).get))
        except OSError as error:
            raise unavailable(error, self.spool.directory) from error
