"""The parts of a MIME message as offsets, found only as far as somebody looks.

Source: RFC 2045 5 (Content-Type) and 6 (encodings), RFC 2046 5 (multipart, message), RFC 2231 (parameters).
Shape: `whole` gives the message as a `Part`; `children` gives the parts inside one; `walk` goes through all of them.
Failures: none. What is broken is read as RFC 2045 5.2 says: plain text. A multipart without a boundary, or whose
boundary never comes, has no children and is a leaf. Depth and number of parts are bounded; `walk` says when it stopped.
Leaves to others: decoding of contents, conversion (``wire.downgrade``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from posthouse.wire.header import HeaderIndex

MAX_DEPTH = 30
MAX_PARTS = 1000

_TOKEN = r"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+"
_MEDIA_TYPE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})")
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s;"]*))', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_REST_OF_BOUNDARY = re.compile(rb"(--)?[ \t]*+\r?(?:\n|\Z)")
_COMMENT = re.compile(r"\([^()\\]*+(?:\\.[^()\\]*+)*\)")


@dataclass(frozen=True, slots=True)
class ContentType:
    """Content-Type of a part.

    Attributes:
        media_type: Lower case, ``text/plain`` where there is none or it cannot be read.
        parameters: Names in lower case; values as they came, without quotes.
        is_given: The field is there and can be read.
    """

    media_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_given: bool = True

    @property
    def boundary(self) -> bytes:
        """Boundary of a multipart; empty where there is none."""
        return self.parameters.get("boundary", "").rstrip().encode("utf-8", "surrogateescape")[:200]


@dataclass(frozen=True, slots=True)
class Part:
    """A message or a part of one.

    Attributes:
        header: Its fields, as offsets into the octets of the whole message.
        end: Behind its last octet; the line end before a boundary belongs to the boundary.
        content_type: What it is.
        encoding: Content-Transfer-Encoding in lower case; ``7bit`` where there is none.
        depth: 0 for the message.
    """

    header: HeaderIndex
    end: int
    content_type: ContentType
    encoding: str
    depth: int

    @property
    def body(self) -> bytes:
        """Octets of the body, copied."""
        return self.header.data[self.header.body_start : self.end]

    @property
    def is_multipart(self) -> bool:
        """It may have children."""
        return self.content_type.media_type.startswith("multipart/")

    @property
    def is_message(self) -> bool:
        """It holds a whole message in a form that can be looked into."""
        return self.content_type.media_type in ("message/rfc822", "message/global") and self.encoding in (
            "7bit",
            "8bit",
            "binary",
        )


def read_content_type(value: bytes | None, default: str = "text/plain") -> ContentType:
    """Read the value of a Content-Type field.

    Args:
        value: Unfolded value, or None where the field is missing.
        default: What a part is without the field: ``message/rfc822`` inside multipart/digest.
    """
    if value is None:
        return ContentType(default, {}, False)
    text = value[:4096].decode("utf-8", "surrogateescape")
    match = _MEDIA_TYPE.match(text)
    if match is None:
        return ContentType("text/plain", {}, False)
    rest = text[match.end() :]
    if "(" in rest and '"' not in rest:
        rest = _COMMENT.sub("", rest)
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(rest):
        value_text = found[3] if found[2] is None else _QUOTED_PAIR.sub(r"\1", found[2])
        parameters.setdefault(found[1].lower(), value_text)
    return ContentType(f"{match[1]}/{match[2]}".lower(), parameters)


def read_part(data: bytes, start: int, end: int, depth: int, default: str = "text/plain") -> Part:
    """The part between two offsets."""
    header = HeaderIndex.scan(data, start, end)
    encoding = (header.unfolded("content-transfer-encoding") or b"7bit").decode("ascii", "replace")
    encoding = _COMMENT.sub("", encoding).strip().rstrip(";").lower()
    return Part(header, end, read_content_type(header.unfolded("content-type"), default), encoding, depth)


def whole(data: bytes) -> Part:
    """The message itself."""
    return read_part(data, 0, len(data), 0)


def children(part: Part) -> Iterator[Part]:
    """Parts directly inside: of a multipart its parts, of a message/rfc822 the message. None below `MAX_DEPTH`."""
    if part.depth >= MAX_DEPTH:
        return
    data, start = part.header.data, part.header.body_start
    if part.is_message:
        yield read_part(data, start, part.end, part.depth + 1)
    elif part.is_multipart and part.content_type.boundary:
        default = "message/rfc822" if part.content_type.media_type == "multipart/digest" else "text/plain"
        for begin, end in _between_boundaries(data, start, part.end, part.content_type.boundary):
            yield read_part(data, begin, end, part.depth + 1, default)


def _between_boundaries(data: bytes, start: int, stop: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Offsets of the parts; the last one ends at `stop` where the closing boundary is missing."""
    begin = -1
    for line_start, line_end, is_last in _boundary_lines(data, start, stop, b"--" + boundary):
        if begin >= 0:
            yield begin, max(begin, _before_line_end(data, line_start))
        begin = line_end
        if is_last:
            return
    if begin >= 0:
        yield begin, stop


def _boundary_lines(data: bytes, start: int, stop: int, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    position = start if data.startswith(delimiter, start, stop) else _next_line(data, start, stop, delimiter)
    while position >= 0:
        match = _REST_OF_BOUNDARY.match(data, position + len(delimiter), stop)
        if match is not None:
            yield position, match.end(), match[1] is not None
        position = _next_line(data, position, stop, delimiter)


def _next_line(data: bytes, position: int, stop: int, beginning: bytes) -> int:
    found = data.find(b"\n" + beginning, position, stop)
    return found + 1 if found >= 0 else -1


def _before_line_end(data: bytes, position: int) -> int:
    if data.endswith(b"\r\n", 0, position):
        return position - 2
    return position - 1 if data.endswith(b"\n", 0, position) else position


@dataclass(slots=True)
class Walk:
    """A walk over all parts, outer before inner.

    Attributes:
        is_complete: False when a bound stopped it: parts are left out.
    """

    part: Part
    is_complete: bool = True

    def __iter__(self) -> Iterator[Part]:
        waiting: list[Iterator[Part]] = [iter((self.part,))]
        count = 0
        while waiting:
            part = next(waiting[-1], None)
            if part is None:
                waiting.pop()
                continue
            count += 1
            if count > MAX_PARTS:
                self.is_complete = False
                return
            if part.depth >= MAX_DEPTH and (part.is_message or part.is_multipart):
                self.is_complete = False
            yield part
            waiting.append(children(part))


def walk(data: bytes) -> Walk:
    """All parts of a message, the message first."""
    return Walk(whole(data))
