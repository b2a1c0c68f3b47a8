"""What the header of a MIME part says about it as a file.

Source: RFC 2183 (Content-Disposition), RFC 2231 (names outside ASCII), RFC 2045 5 and 7 (Content-Type, Content-ID);
names in encoded words, as many programs write them against RFC 2047 5.
Shape: `describe` reads the header of one part; `decode` gives the octets of an encoded body, `Decoder` piece by piece.
Failures: none. A file without a name gets one.
Leaves to others: finding parts (``wire.mime``, ``wire.outline``).
"""

from __future__ import annotations

import binascii
import mimetypes
from dataclasses import dataclass
from email import message_from_string

from posthouse.wire.header import HeaderIndex, decode_text
from posthouse.wire.mime import read_content_type

_MAX_NAME = 255
_MAX_HEADER = 64 * 1024
_MAX_LINE = 64 * 1024
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(sign for sign in range(256) if sign not in _BASE64)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A part as a file.

    Attributes:
        name: Without folders; never empty.
        media_type: Lower case.
        content_id: Without angle brackets, or empty.
        is_inline: Shown inside the text.
        is_attachment: Content-Disposition says attachment, or the part has a file name.
    """

    name: str
    media_type: str
    content_id: str
    is_inline: bool
    is_attachment: bool


def describe(header: bytes, container: str = "") -> FilePart:
    """Read the header of a part.

    Args:
        header: Its octets; the blank line may be missing.
        container: Media type of the multipart around it; in ``multipart/related`` a part with an id is always inline.
    """
    index = HeaderIndex.scan(header[:_MAX_HEADER])
    media_type = read_content_type(index.unfolded("content-type")).media_type
    content_id = (index.get("content-id") or "").strip("<> ")
    disposition = (index.get("content-disposition") or "").partition(";")[0].strip().lower()
    given = _given_name(header[:_MAX_HEADER])
    return FilePart(
        name=given or _made_name(media_type, index),
        media_type=media_type,
        content_id=content_id[:_MAX_NAME],
        is_inline=bool(content_id) and (disposition != "attachment" or container == "multipart/related"),
        is_attachment=disposition == "attachment" or bool(given),
    )


def decode(body: bytes, encoding: str) -> bytes:
    """The octets behind an encoding; what is broken is read as far as it goes."""
    decoder = Decoder(encoding)
    return decoder.feed(body) + decoder.finish()


def _given_name(header: bytes) -> str:
    octets = header.rstrip(b"\r\n") + b"\r\n\r\n"
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    try:
        found = message_from_string(text).get_filename("")
    except (ValueError, LookupError, TypeError):
        return ""
    name = decode_text(found.encode("utf-8", "replace"))
    return name.replace("\\", "/").rpartition("/")[2].strip()[:_MAX_NAME]


def _made_name(media_type: str, index: HeaderIndex) -> str:
    if media_type == "message/rfc822":
        return "message.eml"
    base = "".join(c for c in (index.get("content-description") or "attachment") if c.isalnum() or c in " -_")[:80]
    return f"{base.strip() or 'attachment'}{mimetypes.guess_extension(media_type) or '.bin'}"


class Decoder:
    """Decodes a body that comes in pieces; signs that base64 does not know are left out (RFC 2045 6.8)."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._rest = b""
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        """Take octets, give what they make."""
        if self._encoding == "base64":
            return self._feed_base64(piece)
        if self._encoding == "quoted-printable":
            return self._feed_lines(piece)
        return piece

    def finish(self) -> bytes:
        """The end of the body."""
        rest, self._rest = self._rest, b""
        if self._encoding not in ("base64", "quoted-printable"):
            return b""
        if self._encoding == "base64":
            return binascii.a2b_base64(rest + b"=" * (-len(rest) % 4)) if len(rest) > 1 else b""
        return binascii.a2b_qp(rest)

    def _feed_base64(self, piece: bytes) -> bytes:
        if self._ended:
            return b""
        signs = self._rest + piece.translate(None, _NOT_BASE64)
        if b"=" in signs:
            signs, self._ended = signs[: signs.index(b"=")], True
        whole = len(signs) // 4 * 4
        self._rest = signs[whole:]
        return binascii.a2b_base64(signs[:whole])

    def _feed_lines(self, piece: bytes) -> bytes:
        octets = self._rest + piece
        end = octets.rfind(b"\n") + 1 or (len(octets) - 3 if len(octets) > _MAX_LINE else 0)
        self._rest = octets[end:]
        return binascii.a2b_qp(octets[:end])
