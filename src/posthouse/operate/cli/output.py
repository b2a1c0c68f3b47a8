"""What commands print: tables that fit the terminal, JSON, times and sizes in words.

Shape: on a terminal, tables are cut to its width and coloured; in a pipe they are complete and plain. A row may carry a
note, printed below it.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import click

_COLOURS = {
    "Delivered": "green",
    "Failed": "red",
    "Pending": "yellow",
    "Held": "magenta",
    "Unknown": "magenta",
    "Cancelled": "bright_black",
    "Discarded": "bright_black",
}
_MIN_CELL = 8


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of one line, and a note below it."""

    cells: tuple[str, ...]
    note: str = ""


def print_json(value: object) -> None:
    """One JSON document: indented for a terminal, one line in a pipe."""
    import msgspec

    data = msgspec.json.encode(value)
    click.echo(msgspec.json.format(data, indent=2) if sys.stdout.isatty() else data)


def print_table(columns: Sequence[str], rows: Sequence[Row], *, flexible: int) -> None:
    """Print aligned columns.

    Args:
        columns: Titles.
        rows: Cells as text, without control characters of their own.
        flexible: Which column gives way when the terminal is narrow.
    """
    for line in format_table(columns, rows, flexible=flexible, width=_terminal_width()):
        click.echo(line)


def format_table(columns: Sequence[str], rows: Sequence[Row], *, flexible: int, width: int | None) -> list[str]:
    """The lines of a table; `width` None leaves every cell whole."""
    shown = [Row(tuple(map(printable, row.cells)), printable(row.note)) for row in rows]
    widths = [
        max(len(cells[n]) for cells in (tuple(columns), *(row.cells for row in shown))) for n in range(len(columns))
    ]
    if width is not None:
        excess = sum(widths) + 2 * (len(widths) - 1) - width
        widths[flexible] = max(_MIN_CELL, widths[flexible] - max(0, excess))
    lines = [click.style(_line(columns, widths), bold=True).rstrip()]
    for row in shown:
        lines.append(_coloured(_line(row.cells, widths), row.cells))
        lines += _wrapped(row.note, 4, width)
    return lines


def wrapped(text: str, *, indent: int) -> list[str]:
    """Lines that fit the terminal; one line in a pipe."""
    return _wrapped(printable(text), indent, _terminal_width())


def _wrapped(text: str, indent: int, width: int | None) -> list[str]:
    if width is None:
        return [" " * indent + text] if text else []
    blanks = " " * min(indent, width // 3)
    return textwrap.wrap(text, width, initial_indent=blanks, subsequent_indent=blanks, break_on_hyphens=False)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = [cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(parts).rstrip()


def _coloured(line: str, cells: Sequence[str]) -> str:
    for cell in cells:
        if cell in _COLOURS:
            return line.replace(cell, click.style(cell, fg=_COLOURS[cell]), 1)
    return line


def cut(text: str, width: int) -> str:
    """At most `width` characters, the end marked where something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"


def printable(text: str) -> str:
    """Without control characters: what a stranger wrote must not steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_time(moment: datetime) -> str:
    """``2026-01-31 14:00:05Z``."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def show_distance(moment: datetime, now: datetime) -> str:
    """``in 4 min``, ``now``, ``2 h ago``."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {show_length(seconds)}" if seconds > 0 else f"{show_length(-seconds)} ago"


def show_length(length: float | timedelta) -> str:
    """``45 s``, ``4 min``, ``3 h``, ``2 d``."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (seconds >= size and unit != "min"):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_size(octets: int) -> str:
    """``512 B``, ``4.2 kB``, ``35 MB``."""
    size: float = octets
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def print_fields(fields: Sequence[tuple[str, Any]]) -> None:
    """``name: value`` lines, aligned; empty values are left out."""
    shown = [(name, printable(str(value))) for name, value in fields if value not in ("", None, ())]
    width = max((len(name) for name, _ in shown), default=0) + 1
    for name, value in shown:
        click.echo(f"{name + ':':<{width}} {value}")
