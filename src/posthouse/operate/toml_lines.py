"""On which line of a TOML file a key stands.

Purpose: the standard library's reader forgets positions; an error message needs the line.
Source: TOML 1.0.0, tables, arrays of tables, dotted and quoted keys, multi-line strings and arrays.
Shape: `key_lines` maps paths such as ``("outbound", 0, "port")`` to line numbers from 1.
Failures: none; it is only used on text that the reader accepted, and a path it missed has no line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_ARRAY_TABLE = re.compile(rf"\s*\[\[\s*({_KEYS})\s*\]\]")
_TABLE = re.compile(rf"\s*\[\s*({_KEYS})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEYS})\s*=")
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'" r"|\#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """Find the line of every table and key.

    Args:
        text: A valid TOML document.

    Returns:
        Line numbers by path; an array of tables counts its items from 0.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        if match := _ARRAY_TABLE.match(statement):
            path = table = _resolve(_split(match[1]), counts, last_is_array=True)
        elif match := _TABLE.match(statement):
            path = table = _resolve(_split(match[1]), counts, last_is_array=False)
        elif match := _ASSIGNMENT.match(statement):
            path = table + _split(match[1])
        else:
            continue
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return lines


def find_line(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a path, or of the nearest part of it that stands in the file."""
    for end in range(len(path), 0, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Cut the document at line ends that are outside of strings and brackets; give each its first line's number."""
    text = text.replace("\r\n", "\n")
    start, line, depth = 0, 1, 0
    begin_line = 1
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif mark == "\n":
            line += 1
            if depth <= 0:
                yield begin_line, text[start : token.start()]
                start, begin_line, depth = token.end(), line, 0
        else:
            line += mark.count("\n")
    yield begin_line, text[start:]


def _split(keys: str) -> Path:
    parts = re.findall(_KEY, keys)
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in parts)


def _resolve(keys: Path, counts: dict[Path, int], *, last_is_array: bool) -> Path:
    """Put in the index of the newest item wherever a part of the path is an array of tables."""
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if last_is_array and position == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
