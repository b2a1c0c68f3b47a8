"""Large contents in files of their own.

Shape: `Spool.open` begins a file under its final, random name and locks it; octets go to a thread in pieces of a
megabyte, at most one piece under way while the next fills; `finish` syncs file and directory. The lock is given up when
the message that names the file has been committed. A file without a row and without a lock is an orphan: its writer
died between the two (crash state B).
Failures: `StoreUnavailable` from `write` (when awaited) or `finish`; the file is then only good for `discard`.
Leaves to others: rows that name the files (``encode``), removal after retention (``retention``).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

from posthouse.store.port import StoreUnavailable
from posthouse.store.sqlite.connect import unavailable

DIRECTORY = "spool"
SUFFIX = ".mail"
_PIECE_OCTETS = 1 << 20
_THREADS = 8
"""More than cores: syncs that wait together share the work of the file system."""


class SpoolWriter:
    """One large message on its way to disk (`posthouse.store.port.SpoolFile`)."""

    def __init__(self, path: Path, threads: ThreadPoolExecutor) -> None:
        self.path = path
        self._threads = threads
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._size = 0
        self._under_way: asyncio.Future[None] | None = None
        # Locked before it has the name by which orphans are looked for.
        new = path.with_suffix(".new")
        self._file = os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb", 0)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(path)

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Take octets; None when they fit the buffer, else something to await before the next call."""
        self._buffer += data
        if len(self._buffer) < _PIECE_OCTETS:
            return None
        if self._under_way is None:
            self._send()
            return None
        return self._send_after(self._under_way)

    async def finish(self) -> tuple[Path, int, bytes]:
        """Write, sync file and directory; return path, size in octets and SHA-256."""
        if self._under_way is not None:
            await self._under_way
        if self._buffer:
            self._send()
            assert self._under_way is not None
            await self._under_way
        await self._in_thread(self._sync)
        return self.path, self._size, self._digest.digest()

    def discard(self) -> None:
        """Throw the file away."""
        self.path.unlink(missing_ok=True)
        under_way = self._under_way
        if under_way is None or under_way.done():
            self.release()
        else:
            under_way.add_done_callback(lambda done: self.release())

    def release(self) -> None:
        """Close the file and give up its lock."""
        if self._under_way is not None and self._under_way.done() and not self._under_way.cancelled():
            self._under_way.exception()
        self._file.close()

    def _send(self) -> None:
        piece, self._buffer = self._buffer, bytearray()
        self._size += len(piece)
        self._under_way = asyncio.ensure_future(self._in_thread(lambda: self._write_piece(piece)))

    async def _send_after(self, under_way: asyncio.Future[None]) -> None:
        await under_way
        if not self._file.closed:
            # The client may have gone meanwhile, and the file with it.
            self._send()

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            raise unavailable(error, self.path) from error

    def _write_piece(self, piece: bytearray) -> None:
        self._digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        sync_directory(self.path.parent)


class Spool:
    """The directory of large contents."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="posthouse-spool")
        self._open: WeakValueDictionary[str, SpoolWriter] = WeakValueDictionary()

    def open(self) -> SpoolWriter:
        """Begin a file.

        Raises:
            StoreUnavailable: The directory cannot be written.
        """
        path = self.directory / (secrets.token_hex(16) + SUFFIX)
        try:
            writer = SpoolWriter(path, self._threads)
        except OSError as error:
            raise unavailable(error, path) from error
        self._open[path.name] = writer
        return writer

    def release(self, name: str) -> None:
        """A row names the file now: it is no orphan any more."""
        writer = self._open.pop(name, None)
        if writer is not None:
            writer.release()

    def remove_orphans(self, is_named: Callable[[str], bool]) -> int:
        """Remove files that nobody writes and no row names.

        Args:
            is_named: Whether a row names the file; asked after the lock was won.
        """
        removed = 0
        for entry in sorted(self.directory.glob("*" + SUFFIX)):
            if _is_orphan(entry, is_named):
                entry.unlink(missing_ok=True)
                removed += 1
        return removed

    def close(self) -> None:
        """End the threads; files that are still open are orphans of the next start."""
        self._threads.shutdown()
        for writer in list(self._open.values()):
            writer.release()


def _is_orphan(path: Path, is_named: Callable[[str], bool]) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return not is_named(path.name)


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def missing_file(path: Path) -> StoreUnavailable:
    """A row names a file that is not there."""
    return StoreUnavailable(f"{path}: the content of a message is missing: restore the spool from a backup")
