"""Bring a database to the newest schema.

Shape: ``migrations/NNNN_name.sql`` are applied in order, each in a transaction, and written down with their SHA-256 in
the table ``migration``. A migration that was applied is never edited; ``schema.sql`` is the sum of all
(``python -m posthouse.store.sqlite.migrate`` prints it).
Failures: `StoreUnavailable` for a newer schema, an edited migration or a foreign database; ``apsw.Error``.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import apsw

from posthouse.store.port import StoreUnavailable
from posthouse.store.sqlite.connect import APPLICATION_ID

_CREATE_TABLE = """CREATE TABLE IF NOT EXISTS migration (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL
) STRICT"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Digest of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_migrations() -> list[Migration]:
    """All migrations of this version, in order.

    Raises:
        ValueError: The numbers are not 1, 2, 3...
    """
    found = []
    for entry in files(__package__).joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered without gaps")
    return found


def migrate(connection: apsw.Connection, path: Path, migrations: list[Migration] | None = None) -> int:
    """Apply what is missing.

    Args:
        connection: A writer outside a transaction.
        path: For error texts.
        migrations: Those of this version unless a test says otherwise.

    Returns:
        How many were applied.
    """
    known = read_migrations() if migrations is None else migrations
    _refuse_foreign(connection, path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_CREATE_TABLE)
        applied = list(connection.execute("SELECT number, name, sha256 FROM migration ORDER BY number"))
        _compare(applied, known, path)
        for migration in known[len(applied) :]:
            list(connection.execute(migration.text))
            connection.execute(
                "INSERT INTO migration VALUES (?, ?, ?)", (migration.number, migration.name, migration.sha256)
            )
        if len(applied) < len(known):
            connection.pragma("application_id", APPLICATION_ID)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(known) - len(applied)


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if tables and connection.pragma("application_id") != APPLICATION_ID:
        raise StoreUnavailable(f"{path}: this is a database of another program; choose another directory")


def _compare(applied: list[tuple[int, str, str]], known: list[Migration], path: Path) -> None:
    if len(applied) > len(known):
        raise StoreUnavailable(
            f"{path}: the database has schema {len(applied)}, this version of Posthouse knows {len(known)}: "
            "use the newer version, or a backup from before the upgrade"
        )
    for (number, name, digest), migration in zip(applied, known, strict=False):
        if digest != migration.sha256:
            raise StoreUnavailable(
                f"{path}: migration {number} ({name}) was applied with other contents than this version has: "
                "use the version of Posthouse that wrote the database"
            )


def schema_text() -> str:
    """The schema that all migrations add up to."""
    connection = apsw.Connection(":memory:")
    migrate(connection, Path(":memory:"))
    rows = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
        "ORDER BY tbl_name, type DESC, name"
    )
    text = "\n\n".join(sql + ";" for (sql,) in rows)
    connection.close()
    return "-- The sum of all migrations. Written by: python -m posthouse.store.sqlite.migrate\n\n" + text + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
