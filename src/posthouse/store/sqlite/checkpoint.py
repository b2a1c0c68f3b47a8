"""Move the write-ahead log into the database without stopping the writer.

Source: https://sqlite.org/wal.html (checkpointing, avoiding excessively large WAL files).
Shape: a thread with its own connection copies while the writer appends. The log starts again from its beginning only
when all of it has been copied at the moment of a commit; under load that moment never comes by itself, so the writer
is asked to copy the last few pages between two batches.
Failures: a checkpoint that fails is tried again at the next batch; the log keeps everything meanwhile.
"""

from __future__ import annotations

import threading

import apsw

LOG_OCTETS = 64 << 20
"""Length of the log above which it is copied."""
_LAST_OCTETS = 4 << 20
"""What the writer may be asked to copy between two batches."""
_PASSES = 4
_LOOK_SECONDS = 0.1


class Checkpointer:
    """Copies the log in its own thread.

    Args:
        connection: Used by nobody else from now on; closed by `close`.
        log_octets: Length of the log that starts the copying.
    """

    def __init__(self, connection: apsw.Connection, log_octets: int = LOG_OCTETS) -> None:
        page_octets: int = connection.pragma("page_size")
        self._connection = connection
        self._log_pages = log_octets // page_octets
        self._last_pages = _LAST_OCTETS // page_octets
        self._rung = threading.Event()
        self._closing = threading.Event()
        self._finish = False
        self._thread = threading.Thread(target=self._run, name="posthouse-checkpoint", daemon=True)
        self._thread.start()

    def after_batch(self, writer: apsw.Connection) -> None:
        """Called by the writer's thread after a commit: note that the log grew, or copy its last pages."""
        if self._finish:
            self._finish = False
            _copy(writer)
        if not self._rung.is_set():
            self._rung.set()

    def close(self) -> None:
        """End the thread. What remains in the log is copied when the last connection closes."""
        self._closing.set()
        self._rung.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._rung.wait()
            self._closing.wait(_LOOK_SECONDS)
            self._rung.clear()
            if self._finish or _length(self._connection) < self._log_pages:
                continue
            for _ in range(_PASSES):
                left = _copy(self._connection)
                if left is None or left < self._last_pages or self._closing.is_set():
                    break
            self._finish = True


def _length(connection: apsw.Connection) -> int:
    try:
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
    except apsw.Error:
        return 0


def _copy(connection: apsw.Connection) -> int | None:
    """Copy what can be copied; return the pages that came in meanwhile, or None when nothing could be done."""
    try:
        _, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return _length(connection) - copied
    except apsw.Error:
        return None
