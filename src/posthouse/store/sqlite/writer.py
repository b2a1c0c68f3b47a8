"""The one writer: a thread that writes all that waits in one transaction and syncs once.

Shape: `Writer.submit` takes rows, `Writer.call` takes a function that runs inside the transaction. Both return a future
of the loop that resolves after COMMIT. Within one batch rows are written first, in the order of submission, then the
functions run.
Failures: a job that fails is found by running the batch job by job; its future gets the exception. What the machine
fails at (disk full, locked, damaged) becomes `StoreUnavailable`; the writer goes on with the next batch.
Leaves to others: what the rows mean (``encode``), moving the log into the database (``checkpoint``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import apsw

from posthouse.mail.message import RecipientState
from posthouse.store.port import StoreUnavailable
from posthouse.store.sqlite import statements
from posthouse.store.sqlite.connect import ENVIRONMENT_ERRORS, is_moved, unavailable
from posthouse.store.sqlite.encode import Choice, Rows
from posthouse.store.sqlite.rows import STATES, decode_json, encode_json

T = TypeVar("T")
Call = Callable[[apsw.Connection], Any]

_LARGEST_BATCH = 512
_LOOK_SECONDS = 1.0


class Job:
    """One change that waits: rows, or a choice of rows, or a function.

    Attributes:
        message_id: The message that is written or settled; two jobs of one message never share a round.
    """

    __slots__ = ("call", "error", "future", "message_id", "result", "rows")

    def __init__(
        self,
        future: asyncio.Future[Any],
        rows: Rows | Choice | None,
        call: Call | None = None,
        message_id: int | None = None,
    ) -> None:
        self.future = future
        self.rows = rows
        self.call = call
        self.message_id = message_id
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """Owns the writing connection and its thread.

    Args:
        connection: Used by nobody else from now on; closed by `close`.
        path: The database, for error texts and to notice that it was removed.
        loop: Where futures live; `submit` and `call` are called from it only.
        after_batch: Called in the thread after each commit (the checkpointer's bell).
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        after_batch: Callable[[apsw.Connection], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._loop = loop
        self._after_batch = after_batch
        self._waiting: deque[Job] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        self._bell_scheduled = False
        self._closing = False
        status = path.stat()
        self._identity = (status.st_dev, status.st_ino)
        self._next_look = 0.0
        self._thread = threading.Thread(target=self._run, name="posthouse-writer", daemon=True)
        self._thread.start()

    def submit(self, rows: Rows | Choice, message_id: int | None = None) -> asyncio.Future[None]:
        """Write rows with the next batch, after those submitted before for the same message."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._add(Job(future, rows, None, message_id))
        return future

    def call(self, function: Callable[[apsw.Connection], T]) -> asyncio.Future[T]:
        """Run a function inside the next batch's transaction; it may run twice when another job fails."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._add(Job(future, None, function))
        return future

    def look_now(self) -> None:
        """See with the next batch, not only within a second, whether the file is still at its place."""
        self._next_look = 0.0

    async def close(self) -> None:
        """Write what waits, end the thread, close the connection."""
        self._closing = True
        self._bell.put(None)
        await asyncio.to_thread(self._thread.join)

    def _add(self, job: Job) -> None:
        if self._closing:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        self._waiting.append(job)
        # The bell rings at the end of this turn of the loop, so that all its sessions share the batch.
        if self._idle and not self._bell_scheduled:
            self._bell_scheduled = True
            self._loop.call_soon(self._ring)

    def _ring(self) -> None:
        self._bell_scheduled = False
        self._bell.put(None)

    def _run(self) -> None:
        waiting = self._waiting
        while True:
            self._idle = True
            if not waiting:
                if self._closing:
                    break
                self._bell.get()
                continue
            self._idle = False
            jobs = [waiting.popleft() for _ in range(min(len(waiting), _LARGEST_BATCH))]
            self._write(jobs)
            try:
                self._loop.call_soon_threadsafe(_resolve, jobs)
            except RuntimeError:
                break  # the loop was closed under us: nobody is left to be told
            self._after_batch(self._connection)
        self._connection.close()

    def _write(self, jobs: list[Job]) -> None:
        error = self._look() or self._attempt(jobs)
        if error is None:
            return
        if len(jobs) == 1 or isinstance(error, StoreUnavailable | apsw.BusyError | apsw.LockedError):
            for job in jobs:
                job.error = self._explained(error)
            return
        for job in jobs:
            alone = self._attempt([job])
            job.error = None if alone is None else self._explained(alone)

    def _look(self) -> StoreUnavailable | None:
        """Once a second: is the file that we write still the one that the next start will read?"""
        now = time.monotonic()
        if now < self._next_look:
            return None
        try:
            moved = is_moved(self._path, self._identity)
        except OSError as error:
            return unavailable(error, self._path)
        if moved:
            return StoreUnavailable(f"{self._path}: the database file was removed or replaced: restart the node")
        self._next_look = now + _LOOK_SECONDS
        return None

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, ENVIRONMENT_ERRORS):
            explained: Exception = unavailable(error, self._path)
        elif isinstance(error, apsw.ConstraintError):
            explained = ValueError(f"the store has a row with this key already ({error})")
        else:
            return error
        explained.__cause__ = error
        return explained

    def _attempt(self, jobs: list[Job]) -> Exception | None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._write_rows(jobs)
                for job in jobs:
                    if job.call is not None:
                        job.result = job.call(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - handed to the future of the job that caused it
            return error
        return None

    def _write_rows(self, jobs: Sequence[Job]) -> None:
        """Rows of all jobs; a new round begins where a message comes for a second time."""
        together: list[Rows | Choice] = []
        seen: set[int] = set()
        for job in jobs:
            if job.rows is None:
                continue
            if job.message_id in seen:
                self._write_round(together)
                together, seen = [], set()
            if job.message_id is not None:
                seen.add(job.message_id)
            together.append(job.rows)
        if together:
            self._write_round(together)

    def _write_round(self, round_: Sequence[Rows | Choice]) -> None:
        choices = [rows for rows in round_ if isinstance(rows, Choice)]
        if choices:
            states = self._states(choices)
            chosen = [rows.rows(states) if isinstance(rows, Choice) else rows for rows in round_]
        else:
            chosen = cast("list[Rows]", round_)
        for bulk, table in zip(_TABLES, zip(*chosen, strict=True), strict=True):
            together = tuple(chain.from_iterable(table))
            if together:
                bulk.run(self._connection, together)

    def _states(self, choices: Sequence[Choice]) -> dict[tuple[int, int], RecipientState]:
        copies = encode_json([copy for choice in choices for copy in choice.copies]).decode()
        found = self._connection.execute(statements.STATES_OF, {"copies": copies}).get
        return {(message_id, position): STATES[state] for message_id, position, state in decode_json(found)}


_TABLES = (
    statements.insert_messages,
    statements.insert_contents,
    statements.insert_spooled,
    statements.insert_copies,
    statements.insert_journal,
    statements.settle_copies,
)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
