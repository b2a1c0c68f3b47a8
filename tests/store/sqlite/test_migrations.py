"""The schema: the sum of its migrations, and refused where it is not ours."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from posthouse.store.port import StoreUnavailable
from posthouse.store.sqlite.connect import open_writer
from posthouse.store.sqlite.migrate import Migration, migrate, read_migrations, schema_text
from posthouse.store.sqlite.store import SqliteStore

EXTRA = Migration(len(read_migrations()) + 1, "extra", "CREATE TABLE extra (a INTEGER) STRICT;")


def test_schema_sql_is_the_sum_of_the_migrations() -> None:
    written = files("posthouse.store.sqlite").joinpath("schema.sql").read_text()
    assert written == schema_text(), "write it anew: python -m posthouse.store.sqlite.migrate > .../schema.sql"


def test_what_is_applied_is_not_applied_again(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "a.db")
    assert migrate(connection, tmp_path) == len(read_migrations())
    assert migrate(connection, tmp_path) == 0
    assert migrate(connection, tmp_path, [*read_migrations(), EXTRA]) == 1
    connection.close()


def test_a_migration_that_fails_leaves_the_schema_as_it_was(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "a.db")
    migrate(connection, tmp_path)
    broken = replace(EXTRA, text="CREATE TABLE half (a INTEGER); CREATE TABLE;")
    with pytest.raises(apsw.SQLError):
        migrate(connection, tmp_path, [*read_migrations(), broken])
    assert not connection.table_exists("main", "half")
    assert migrate(connection, tmp_path) == 0
    connection.close()


def test_a_newer_schema_is_refused_with_both_numbers(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "a.db")
    migrate(connection, tmp_path, [*read_migrations(), EXTRA])
    with pytest.raises(StoreUnavailable, match=r"has schema \d+, this version of Posthouse knows \d+"):
        migrate(connection, tmp_path)
    connection.close()


def test_an_edited_migration_is_refused_by_name(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "a.db")
    migrate(connection, tmp_path)
    first, *others = read_migrations()
    with pytest.raises(StoreUnavailable, match=r"migration 1 \(mail\)"):
        migrate(connection, tmp_path, [replace(first, text=first.text + " "), *others])
    connection.close()


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    foreign = apsw.Connection(str(tmp_path / "posthouse.db"))
    foreign.execute("CREATE TABLE bookmarks (url TEXT)")
    foreign.close()
    with pytest.raises(StoreUnavailable, match="another program"):
        await SqliteStore(tmp_path, node="node").open()
