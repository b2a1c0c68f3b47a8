"""Look for damage: SQLite's own check, rows that miss their partner, spool files that miss or are short.

Shape: `find_problems` returns sentences for the operator; empty when all is well.
Failures: ``apsw.Error`` when the database cannot be read at all.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.statements import read_statements

_SQL = read_statements("check")
_SENTENCES = {
    "copies_without_message": "{} copies belong to no message",
    "messages_without_copy": "{} messages have no copy for any recipient",
    "contents_without_message": "{} contents belong to no message",
    "open_without_content": "{} messages wait for delivery but their content is gone",
    "leases_without_end": "{} leases have no end",
}
_MOST_PROBLEMS = 100


def find_problems(connection: apsw.Connection, spool: Path) -> list[str]:
    """Problems as sentences, at most a hundred of each kind."""
    problems = [
        f"SQLite: {text}" for (text,) in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})") if text != "ok"
    ]
    for name, sentence in _SENTENCES.items():
        count = connection.execute(_SQL[name]).get
        if count:
            problems.append(sentence.format(count))
    return problems + _file_problems(connection, spool)


def _file_problems(connection: apsw.Connection, spool: Path) -> list[str]:
    problems = []
    for file, size_octets in fetch_json(connection, _SQL["spooled_files"]):
        path = spool / file
        if not path.exists():
            problems.append(f"{path} is missing: it holds the content of a message")
        elif path.stat().st_size != size_octets:
            problems.append(f"{path} has {path.stat().st_size} octets, {size_octets} are expected")
    return problems[:_MOST_PROBLEMS]
