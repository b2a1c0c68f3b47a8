"""Named SQL statements, read from the ``.sql`` files beside this module.

Shape: a statement begins with ``-- name: some_name``; ``{other}`` inside it is replaced by the statement of that name,
which is how filters are shared. `Bulk` makes multi-row statements of a template with ``{rows}``.
Failures: a missing name or file is a broken build and raises at import.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import chain

import apsw

Value = int | str | bytes | None
Row = tuple[Value, ...]

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_REFERENCE = re.compile(r"\{(\w+)\}")
_COMMENT = re.compile(r"^\s*--[^\n]*\n", re.MULTILINE)
_LARGEST_CHUNK = 64


def read_statements(*names: str) -> dict[str, str]:
    """Read ``sql/NAME.sql`` files; references between their statements are resolved, ``{rows}`` is kept."""
    found: dict[str, str] = {}
    for name in names:
        text = files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
        parts = _NAME.split(text)
        for key, body in zip(parts[1::2], parts[2::2], strict=True):
            found[key] = _COMMENT.sub("", body).strip().rstrip(";")
    return {key: _resolved(body, found) for key, body in found.items()}


def _resolved(body: str, found: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda m: _resolved(found[m[1]], found) if m[1] in found else m[0], body)


class Bulk:
    """A statement for many rows at a time.

    SQLite runs one statement of 64 rows with the interpreter lock released once; 64 statements would give it up and
    win it back 64 times, each time waiting for the event loop to let go.
    """

    __slots__ = ("_row", "_template", "_texts")

    def __init__(self, template: str, width: int) -> None:
        self._template = template
        self._row = "(" + ", ".join("?" * width) + ")"
        self._texts: list[str] = [""] * (_LARGEST_CHUNK + 1)

    def _text(self, count: int) -> str:
        if not self._texts[count]:
            self._texts[count] = self._template.replace("{rows}", ", ".join([self._row] * count))
        return self._texts[count]

    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        """Execute for all rows, in chunks of at most 64."""
        for start in range(0, len(rows), _LARGEST_CHUNK):
            chunk = rows[start : start + _LARGEST_CHUNK]
            connection.execute(self._text(len(chunk)), tuple(chain.from_iterable(chunk)))


_WRITE = read_statements("write")

insert_messages = Bulk(_WRITE["insert_messages"], 14)
insert_contents = Bulk(_WRITE["insert_contents"], 2)
insert_spooled = Bulk(_WRITE["insert_spooled"], 5)
insert_copies = Bulk(_WRITE["insert_copies"], 11)
insert_journal = Bulk(_WRITE["insert_journal"], 3)
settle_copies = Bulk(_WRITE["settle_copies"], 12)
STATES_OF = _WRITE["states_of"]
