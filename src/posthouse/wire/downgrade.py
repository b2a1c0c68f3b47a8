"""Conversion of 8-bit and binary content for a server that takes only 7-bit lines.

Source: RFC 6152 3 (a relay may convert instead of returning), RFC 3030 3 (BINARYMIME), RFC 2045 6 (encodings),
RFC 1428 (8-bit text without MIME), RFC 1847 2.1 (signed parts must not be changed).
Shape: `to_seven_bit` gives new octets, or says why that cannot be. Only leaf parts that need it are encoded, and the
Content-Transfer-Encoding of these and of the parts around them; everything else stays octet for octet.
Failures: `Impossible` as a value: 8-bit octets in header fields, signed parts, broken or over-deep structure.
Leaves to others: SMTPUTF8 (an address or a field outside ASCII cannot be converted), the decision to convert
(``deliver``). A DKIM signature over the body does not survive; the alternative would be a bounce.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from posthouse.wire.mime import Part, children, whole

MAX_LINE_OCTETS = 998
"""RFC 5322 2.1.1, without CRLF."""

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_HIGH = bytes(range(128, 256))
_QUESTION_MARKS = bytes(range(128)) + b"?" * 128
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True, slots=True)
class SevenBit:
    """The message in 7-bit lines.

    Attributes:
        data: The whole message.
        encoded_parts: Number of parts that were encoded; 0 where nothing had to change.
    """

    data: bytes
    encoded_parts: int


@dataclass(frozen=True, slots=True)
class Impossible:
    """The message cannot be converted; `reason` is a sentence."""

    reason: str


class _CannotConvert(Exception):
    """Carries the reason out of the recursion."""


def fits_seven_bit(data: bytes, *, max_line: int | None = None) -> bool:
    """Whether octets can go over a 7-bit DATA transport as they are.

    Args:
        data: Any octets.
        max_line: Longest line allowed, CRLF not counted; None for no limit.
    """
    return data.isascii() and _BARE.search(data) is None and (max_line is None or not _has_line_over(data, max_line))


def _has_line_over(data: bytes, max_line: int) -> bool:
    position = 0
    while position < len(data):
        found = data.find(b"\r\n", position)
        end = len(data) if found < 0 else found
        if end - position > max_line:
            return True
        position = end + 2
    return False


def to_seven_bit(data: bytes, *, max_line: int | None = None) -> SevenBit | Impossible:
    """Convert a message.

    Args:
        data: The whole message, lines with CRLF.
        max_line: Also encode parts with lines longer than this.
    """
    if fits_seven_bit(data, max_line=max_line):
        return SevenBit(data, 0)
    conversion = _Conversion(data, max_line)
    try:
        conversion.convert(whole(data))
    except _CannotConvert as failure:
        return Impossible(str(failure))
    return SevenBit(b"".join(conversion.pieces), conversion.encoded_parts)


class _Conversion:
    """Octets that were written so far, and how far the original is copied."""

    def __init__(self, data: bytes, max_line: int | None) -> None:
        self.data = data
        self.max_line = max_line
        self.pieces: list[bytes] = []
        self.encoded_parts = 0

    def convert(self, part: Part) -> None:
        """Write one part, converted where it has to be."""
        octets = self.data[part.header.start : part.end]
        if fits_seven_bit(octets, max_line=self.max_line):
            self.pieces.append(octets)
            return
        self._check_header(part)
        inside = list(children(part))
        if inside:
            self._convert_container(part, inside)
        elif part.is_multipart or part.content_type.media_type.startswith("message/"):
            raise _CannotConvert(f"a part of type {part.content_type.media_type} cannot be encoded")
        else:
            self._convert_leaf(part)

    def _check_header(self, part: Part) -> None:
        header = part.header
        octets = self.data[header.start : header.end]
        if header.is_truncated:
            raise _CannotConvert("the header of a part is too long")
        if not octets.isascii():
            field = next(f for f in header.fields if _NOT_ASCII.search(self.data, f.start, f.end))
            raise _CannotConvert(f"the field {field.name.decode('ascii')} holds 8-bit characters")
        if _BARE.search(octets):
            raise _CannotConvert("the header holds bare line ends or NUL")
        if self.max_line is not None and _has_line_over(octets, self.max_line):
            raise _CannotConvert(f"the header has a line of more than {self.max_line} octets")

    def _convert_container(self, part: Part, inside: list[Part]) -> None:
        if part.content_type.media_type == "multipart/signed":
            raise _CannotConvert("a signed part must not be changed")
        self._write_header(part, "7bit" if part.encoding in ("8bit", "binary") else None)
        position = part.header.body_start
        for child in inside:
            self._write_between(position, child.header.start)
            self.convert(child)
            position = child.end
        self._write_between(position, part.end)

    def _write_between(self, start: int, end: int) -> None:
        """Boundaries, preamble and epilogue. Nobody reads the latter two (RFC 2046 5.1.1), so 8-bit signs may go."""
        octets = self.data[start:end].translate(_QUESTION_MARKS)
        if not fits_seven_bit(octets, max_line=self.max_line):
            raise _CannotConvert("the lines between the parts hold bare line ends or are too long")
        self.pieces.append(octets)

    def _convert_leaf(self, part: Part) -> None:
        if part.encoding in ("base64", "quoted-printable"):
            raise _CannotConvert(f"a part declared as {part.encoding} is not encoded that way")
        body = part.body
        is_text = part.content_type.media_type.startswith("text/")
        high = len(body) - len(body.translate(None, _HIGH))
        if is_text and _BARE.search(body) is None and high * 4 <= len(body):
            encoding, encoded = "quoted-printable", encode_quoted_printable(body)
        else:
            encoding, encoded = "base64", encode_base64(body)
            if not body.endswith(b"\r\n") and part.end < len(self.data):
                encoded = encoded.removesuffix(b"\r\n")
        self._write_header(part, encoding, has_high=high > 0)
        self.pieces.append(encoded)
        self.encoded_parts += 1

    def _write_header(self, part: Part, encoding: str | None, *, has_high: bool = False) -> None:
        """Write the header of a part with another encoding, and what a message without MIME lacks."""
        header = part.header
        position = header.start
        is_written = encoding is None
        for field in header.all("content-transfer-encoding"):
            self.pieces.append(self.data[position : field.start])
            if not is_written:
                self.pieces.append(f"Content-Transfer-Encoding: {encoding}\r\n".encode())
                is_written = True
            elif encoding is None:
                self.pieces.append(self.data[field.start : field.end])
            position = field.end
        self.pieces.append(self.data[position : header.end])
        if not is_written:
            self._write_missing_fields(part, f"Content-Transfer-Encoding: {encoding}\r\n", has_high)
        self.pieces.append(b"\r\n")

    def _write_missing_fields(self, part: Part, encoding_line: str, has_high: bool) -> None:
        lines = encoding_line
        if not part.header.all("content-type") and has_high:
            lines = f"Content-Type: text/plain; charset=unknown-8bit\r\n{lines}"
        if part.depth == 0 and not part.header.all("mime-version"):
            lines = f"MIME-Version: 1.0\r\n{lines}"
        self.pieces.append(lines.encode())


def encode_quoted_printable(text: bytes) -> bytes:
    """Encode text lines with CRLF; lines of at most 76 signs, line ends kept (RFC 2045 6.7)."""
    # b2a_qp takes its kind of line end from the first one it meets.
    if b"\r\n" in text:
        return binascii.b2a_qp(text, istext=True)
    return binascii.b2a_qp(b"\r\n" + text, istext=True)[2:]


def encode_base64(octets: bytes) -> bytes:
    """Encode in lines of 76 signs, each with CRLF (RFC 2045 6.8)."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")
