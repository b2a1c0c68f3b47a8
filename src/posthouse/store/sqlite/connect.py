"""Open connections, and say in words what SQLite's errors mean for the operator.

Source: https://sqlite.org/pragma.html, https://sqlite.org/rescode.html.
Shape: `open_writer`, `open_reader`; `unavailable` turns an apsw error into `StoreUnavailable`.
Failures: ``apsw.Error`` from the openers; callers pass it through `unavailable`.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from posthouse.store.port import StoreUnavailable

DATABASE = "posthouse.db"
APPLICATION_ID = 0x50485345
"""``PHSE`` in the file header, so that a foreign database is not taken for ours."""

_BUSY_MILLISECONDS = 5000
_CACHE_KIBIBYTES = 64 * 1024
_READER_CACHE_KIBIBYTES = 16 * 1024
_LOG_KEPT_OCTETS = 128 * 1024 * 1024
_STATEMENTS = 512

_REMEDIES: dict[type[apsw.Error], str] = {
    apsw.FullError: "the disk is full: free some space",
    apsw.BusyError: "another program keeps it locked: see which one has the file open",
    apsw.LockedError: "another program keeps it locked: see which one has the file open",
    apsw.ReadOnlyError: "it cannot be written: give this user write permission for the file and its directory",
    apsw.PermissionsError: "access is denied: give this user read and write permission",
    apsw.CantOpenError: "it cannot be opened: see that the directory exists and this user may write in it",
    apsw.NotADBError: "it is not a database file: move it away, or put a backup in its place",
    apsw.CorruptError: "it is damaged: stop the node, keep a copy, and put a backup in its place",
    apsw.FormatError: "it is damaged: stop the node, keep a copy, and put a backup in its place",
    apsw.IOError: "reading or writing failed: look at the disk and the system log",
    apsw.NoMemError: "there is not enough memory",
}
ENVIRONMENT_ERRORS: tuple[type[apsw.Error], ...] = (
    *_REMEDIES,
    apsw.InterruptError,
    apsw.ProtocolError,
    apsw.NoLFSError,
)
"""Errors that say something of the machine, none of the statement."""


def unavailable(error: apsw.Error | OSError, path: Path) -> StoreUnavailable:
    """Say what failed, where, and what to do."""
    if isinstance(error, OSError):
        full = error.errno in (28, 122)
        return StoreUnavailable(f"{path}: {error.strerror or error}", disk_full=full)
    remedy = next((text for kind, text in _REMEDIES.items() if isinstance(error, kind)), "try again")
    return StoreUnavailable(f"{path}: {remedy} (SQLite: {error})", disk_full=isinstance(error, apsw.FullError))


def _open(path: Path, cache_kibibytes: int) -> apsw.Connection:
    connection = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, statementcachesize=_STATEMENTS
    )
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    connection.pragma("cache_size", -cache_kibibytes)
    connection.pragma("temp_store", "memory")
    return connection


def open_writer(path: Path) -> apsw.Connection:
    """A connection that may change the database. Every COMMIT syncs the log; checkpoints are made elsewhere."""
    connection = _open(path, _CACHE_KIBIBYTES)
    try:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("journal_size_limit", _LOG_KEPT_OCTETS)
        connection.wal_autocheckpoint(0)
    except apsw.Error:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that refuses to change anything."""
    connection = _open(path, _READER_CACHE_KIBIBYTES)
    try:
        connection.wal_autocheckpoint(0)
        connection.pragma("query_only", True)
    except apsw.Error:
        connection.close()
        raise
    return connection


def is_moved(path: Path, identity: tuple[int, int]) -> bool:
    """Whether the file of device and inode `identity` is no longer at its place."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    return (status.st_dev, status.st_ino) != identity
