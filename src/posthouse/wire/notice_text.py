"""The part of a notice that people read, as plain text and as HTML from one source.

Source: RFC 2046 5.1.4 (multipart/alternative), HTML Living Standard 13.2 (what must be escaped).
Shape: a notice is a tuple of blocks; `render_text` and `render_html` write them. Both say the same.
Failures: none. Every text may come from a stranger: it is escaped, stripped of control characters and bounded here.
Leaves to others: the words (``wire.notice_words``), the MIME parts around them (``wire.dsn``).
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass
from typing import assert_never

MAX_TEXT = 2000
"""Characters of one value or sentence."""
_WIDTH = 76
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_CELL = "padding:2px 12px 2px 0;vertical-align:top;text-align:left"


@dataclass(frozen=True, slots=True)
class Title:
    """What happened, in one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """Head of a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or more."""

    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one a line."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines as they are; not bounded here, the writer of the block has done so."""

    lines: tuple[str, ...]


Block = Title | Heading | Paragraph | Facts | Table | Verbatim


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Text from a stranger on one line, without control characters, cut at `limit` characters."""
    text = text[: limit * 4]
    if not text.isprintable():
        text = _CONTROL.sub(" ", text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def render_text(blocks: tuple[Block, ...]) -> str:
    """Plain text, lines with LF."""
    return "\n\n".join(_block_as_text(block) for block in blocks) + "\n"


def _block_as_text(block: Block) -> str:
    match block:
        case Title(text) | Paragraph(text):
            return textwrap.fill(clean(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
        case Heading(text):
            return f"{clean(text)}\n{'-' * min(_WIDTH, len(clean(text)))}"
        case Facts(pairs):
            width = max((len(name) for name, _ in pairs), default=0) + 2
            return "\n".join(_fact_as_text(name, value, width) for name, value in pairs)
        case Table(head, rows):
            return _table_as_text((head, *rows))
        case Verbatim(lines):
            return "\n".join("  " + clean(line) for line in lines)
        case _:
            assert_never(block)


def _table_as_text(rows: tuple[tuple[str, ...], ...]) -> str:
    cells = [[clean(cell, 60) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _fact_as_text(name: str, value: str, width: int) -> str:
    return textwrap.fill(
        clean(value),
        _WIDTH,
        initial_indent=f"{name + ':':<{width}}",
        subsequent_indent=" " * width,
        break_long_words=False,
        break_on_hyphens=False,
    )


def render_html(blocks: tuple[Block, ...]) -> str:
    """A whole HTML document without scripts, images or links, lines with LF."""
    body = "\n".join(_block_as_html(block) for block in blocks)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Mail delivery</title></head>\n'
        '<body style="font-family:Segoe UI,Helvetica,Arial,sans-serif;font-size:14px;color:#222;max-width:760px">\n'
        f"{body}\n</body>\n</html>\n"
    )


def _block_as_html(block: Block) -> str:
    match block:
        case Title(text):
            return f'<h1 style="font-size:20px;font-weight:600">{_escape(text)}</h1>'
        case Heading(text):
            return f'<h2 style="font-size:15px;margin:24px 0 6px">{_escape(text)}</h2>'
        case Paragraph(text):
            return f"<p>{_escape(text)}</p>"
        case Facts(pairs):
            return _table_as_html((), pairs, first_is_name=True)
        case Table(head, rows):
            return _table_as_html(head, rows, first_is_name=False)
        case Verbatim(lines):
            text = "\n".join(_escape(line) for line in lines)
            return f'<pre style="font-size:12px;white-space:pre-wrap">{text}</pre>'
        case _:
            assert_never(block)


def _table_as_html(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...], *, first_is_name: bool) -> str:
    lines = ['<table style="border-collapse:collapse;font-size:13px">']
    if head:
        lines.append("<tr>" + "".join(f'<th style="{_CELL}">{_escape(cell)}</th>' for cell in head) + "</tr>")
    for row in rows:
        cells = [f'<td style="{_CELL}">{_escape(cell)}</td>' for cell in row]
        if first_is_name:
            cells[0] = f'<th scope="row" style="{_CELL};font-weight:normal;color:#666">{_escape(row[0])}</th>'
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join((*lines, "</table>"))


def _escape(text: str) -> str:
    return html.escape(clean(text), quote=True)
