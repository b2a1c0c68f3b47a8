"""Lines of keys in TOML documents."""

from __future__ import annotations

import tomllib

import pytest

from posthouse.operate.toml_lines import find_line, key_lines

DOCUMENT = '''\
# a comment with [brackets] and "quotes
top = 1
"quoted key" = 2
dotted.inner.deep = 3

[table]   # why
key = """
[[not.a.table]]
still = "text"
"""
after = """x"""
list = [
    "one",  # ] in a comment
    { a = 1 },
]
last = 'it''

[[item]]
name = "first"
[item.part]
size = 1

[[item]]
name = "second"
[[item.row]]
x = 1
[[item.row]]
x = 2
'''.replace("'it''", "'it'")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("quoted key",), 3),
        (("dotted", "inner", "deep"), 4),
        (("table",), 6),
        (("table", "key"), 7),
        (("table", "after"), 11),
        (("table", "list"), 12),
        (("table", "last"), 16),
        (("item",), 18),
        (("item", 0, "name"), 19),
        (("item", 0, "part", "size"), 21),
        (("item", 1), 23),
        (("item", 1, "name"), 24),
        (("item", 1, "row", 0, "x"), 26),
        (("item", 1, "row", 1, "x"), 28),
    ],
)
def test_every_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(DOCUMENT)
    assert key_lines(DOCUMENT)[path] == line


def test_windows_line_ends_do_not_move_lines() -> None:
    assert key_lines(DOCUMENT.replace("\n", "\r\n")) == key_lines(DOCUMENT)


def test_a_missing_key_is_shown_at_its_table() -> None:
    lines = key_lines(DOCUMENT)
    assert find_line(lines, ("item", 1, "absent")) == 23
    assert find_line(lines, ("nowhere",)) is None


def test_text_inside_a_long_string_is_no_table() -> None:
    assert ("not",) not in key_lines(DOCUMENT)
    assert ("table", "still") not in key_lines(DOCUMENT)
