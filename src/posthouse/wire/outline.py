"""Where the parts of a large message lie, found in one pass over its octets, so that none of them stands in memory.

Source: RFC 2046 5.1 (boundaries; an outer one ends what is inside), RFC 2045 5.
Shape: `outline` reads pieces in order and gives `Leaf`s with offsets; only headers are kept, each bounded. It agrees
with ``wire.mime`` on what a part is. Attached messages are leaves here: nobody looks into them.
Failures: none. `Outline.is_complete` is False where a bound was met, and then nothing should be built on it.
Leaves to others: reading the octets (the caller), what is done with the parts (``deliver.graph.upload``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from posthouse.wire.header import HeaderIndex
from posthouse.wire.mime import MAX_DEPTH, MAX_PARTS, ContentType, read_content_type

MAX_HEADER_OCTETS = 256 * 1024
_MAX_LINE = 64 * 1024
_ENCODING = re.compile(rb"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A part without parts.

    Attributes:
        header: Its octets, the blank line included.
        start: Of its delimiter line; 0 where the leaf is the message itself.
        body_start: First octet of the body.
        end: Behind the body; the line end before a delimiter belongs to the delimiter.
        next: Where the next delimiter line begins, or the end of the message.
        media_type: Lower case.
        encoding: Lower case; ``7bit`` where there is none.
        containers: Media types of what it is inside, outermost first.
        container: Number of the innermost one; -1 where the leaf is the message itself.
    """

    header: bytes
    start: int
    body_start: int
    end: int
    next: int
    media_type: str
    encoding: str
    containers: tuple[str, ...]
    container: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The parts of a message.

    Attributes:
        header: Of the message, the blank line included.
        leaves: In order.
        children: Number of parts in each container, by its number.
        size_octets: Of the whole message.
        is_complete: No bound was met.
    """

    header: bytes
    leaves: tuple[Leaf, ...]
    children: dict[int, int]
    size_octets: int
    is_complete: bool


@dataclass(slots=True)
class _Container:
    """An open multipart."""

    number: int
    media_type: str
    delimiter: bytes


@dataclass(slots=True)
class _Open:
    """The part whose header or body is being read."""

    start: int
    header_start: int
    header: bytearray = field(default_factory=bytearray)
    in_header: bool = True
    body_start: int = 0
    content_type: ContentType = field(default_factory=lambda: ContentType("text/plain"))
    encoding: str = "7bit"


def outline(pieces: Iterable[bytes]) -> Outline:
    """Find the parts.

    Args:
        pieces: The message in order, cut anywhere.
    """
    reader = _Reader()
    for line, is_whole_start in _lines(pieces):
        reader.take(line, is_whole_start)
    return reader.finish()


class _Reader:
    """Takes lines."""

    def __init__(self) -> None:
        self.position = 0
        self.before_line_end = 0
        self.stack: list[_Container] = []
        self.open: _Open | None = _Open(0, 0)
        self.leaves: list[Leaf] = []
        self.children: dict[int, int] = {}
        self.header = b""
        self.is_complete = True

    def take(self, line: bytes, is_start: bool) -> None:
        """Take one line, or the rest of one that is very long."""
        if is_start and line[:2] == b"--" and self.stack and (found := self._delimiter(line)) is not None:
            self._close(self.position)
            level, is_last = found
            del self.stack[level + (0 if is_last else 1) :]
            self.open = None
            if not is_last:
                self.children[self.stack[-1].number] += 1
                self.is_complete &= len(self.children) + len(self.leaves) < MAX_PARTS
                self.open = _Open(self.position, self.position + len(line))
        elif self.open is not None and self.open.in_header:
            self._take_header(self.open, line)
        self.position += len(line)
        ending = 2 if line[-2:] == b"\r\n" else 1 if line[-1:] == b"\n" else 0
        self.before_line_end = self.position - ending

    def finish(self) -> Outline:
        """The end of the message."""
        self.before_line_end = self.position
        self._close(self.position)
        return Outline(
            header=self.header,
            leaves=tuple(self.leaves),
            children=self.children,
            size_octets=self.position,
            is_complete=self.is_complete,
        )

    def _delimiter(self, line: bytes) -> tuple[int, bool] | None:
        for level, container in enumerate(self.stack):
            if line.startswith(container.delimiter):
                rest = line[len(container.delimiter) :].rstrip(b" \t\r\n")
                if rest in (b"", b"--"):
                    return level, rest == b"--"
        return None

    def _take_header(self, part: _Open, line: bytes) -> None:
        part.header += line
        if line.strip(b"\r\n"):
            if len(part.header) > MAX_HEADER_OCTETS:
                self.is_complete = False
                self._end_header(part)
            return
        self._end_header(part)

    def _end_header(self, part: _Open) -> None:
        index = HeaderIndex.scan(bytes(part.header))
        part.in_header, part.body_start = False, part.header_start + index.body_start
        part.content_type = read_content_type(index.unfolded("content-type"))
        match = _ENCODING.match(index.unfolded("content-transfer-encoding") or b"7bit")
        part.encoding = match[0].decode("ascii").lower() if match is not None else "7bit"
        if not self.leaves and not self.children:
            self.header = bytes(part.header[: index.body_start])
        kind, boundary = part.content_type.media_type, part.content_type.boundary
        if kind.startswith("multipart/") and boundary:
            if len(self.stack) >= MAX_DEPTH:
                self.is_complete = False
                return
            number = len(self.children)
            self.children[number] = 0
            self.stack.append(_Container(number, kind, b"--" + boundary))
            self.open = None

    def _close(self, next_start: int) -> None:
        """Keep the part that ends here."""
        part = self.open
        if part is not None and part.in_header:
            self._end_header(part)
            part = self.open
        if part is None:
            return
        self.leaves.append(
            Leaf(
                header=bytes(part.header[: part.body_start - part.header_start]),
                start=part.start,
                body_start=part.body_start,
                end=max(part.body_start, self.before_line_end),
                next=next_start,
                media_type=part.content_type.media_type,
                encoding=part.encoding,
                containers=tuple(container.media_type for container in self.stack),
                container=self.stack[-1].number if self.stack else -1,
            )
        )
        self.open = None


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines with their ends; a very long one in several, of which only the first is a start."""
    rest, is_start = b"", True
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n", is_start
            is_start = True
        if len(rest) > _MAX_LINE:
            yield rest, is_start
            rest, is_start = b"", False
    if rest:
        yield rest, is_start
