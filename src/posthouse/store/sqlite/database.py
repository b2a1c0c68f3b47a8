"""What the parts of the store share: the directory, the writer, the reader, the spool."""

from __future__ import annotations

from pathlib import Path

from posthouse.store.sqlite.encode import Encoder
from posthouse.store.sqlite.reader import Reader
from posthouse.store.sqlite.spool import Spool
from posthouse.store.sqlite.writer import Writer


class Database:
    """An open database.

    Attributes:
        node: Owner of the leases that this store gives.
        path: The database file.
        writer, reader, spool, encoder: Set by ``SqliteStore.open``.
    """

    node: str
    path: Path
    writer: Writer
    reader: Reader
    spool: Spool
    encoder: Encoder
