"""Reads outside the event loop: a few threads, each read with a connection of its own.

Shape: `Reader.run` calls a function with a connection in a thread; `Reader.at_once` calls it on the loop, for look-ups
of one row that cost less than a thread's hand-over.
Failures: apsw errors become `StoreUnavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from posthouse.store.port import StoreUnavailable
from posthouse.store.sqlite.connect import ENVIRONMENT_ERRORS, open_reader, unavailable
from posthouse.store.sqlite.rows import decode_json

T = TypeVar("T")

_THREADS = 2


class Reader:
    """Connections and threads for reading.

    Args:
        path: The database; it exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: SimpleQueue[apsw.Connection] = SimpleQueue()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="posthouse-reader")
        self._own = open_reader(path)
        self._closed = False

    async def run(self, function: Callable[[apsw.Connection], T]) -> T:
        """Call `function` in a thread, in one snapshot of the database."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._in_thread, function)

    def at_once(self, function: Callable[[apsw.Connection], T]) -> T:
        """Call `function` here and now."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        try:
            return function(self._own)
        except ENVIRONMENT_ERRORS as error:
            raise unavailable(error, self._path) from error

    async def close(self) -> None:
        """Wait for the reads that run, close all connections."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._own.close()
        while True:
            try:
                self._free.get_nowait().close()
            except Empty:
                return

    def _in_thread(self, function: Callable[[apsw.Connection], T]) -> T:
        try:
            connection = self._take()
            try:
                connection.execute("BEGIN")
                return function(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._free.put(connection)
        except ENVIRONMENT_ERRORS as error:
            raise unavailable(error, self._path) from error

    def _take(self) -> apsw.Connection:
        try:
            return self._free.get_nowait()
        except Empty:
            return open_reader(self._path)


def fetch_json(connection: apsw.Connection, statement: str, parameters: dict[str, Any] | None = None) -> Any:
    """The JSON document that a statement of one value returns: one step, however many rows it speaks of."""
    return decode_json(connection.execute(statement, parameters).get)
