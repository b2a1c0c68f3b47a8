"""A message taken apart, to be looked at.

Purpose: show a message's text, HTML, header and attachments. Source: RFC 5322, RFC 2045 to 2047, RFC 2183.
Shape: `parse` turns octets into `Parsed`; `part_content` gives one part's octets. Everything is bounded, and what
cannot be decoded is shown as far as it can. Failures: none, whatever the octets.
Leaves to others: how it looks (`message_page`).
"""

import base64
import re
from contextlib import suppress
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from functools import lru_cache
from html import unescape
from pathlib import Path

from msgspec import Struct

_MOST_PARTS = 200
_MOST_HEADERS = 200
_MOST_TEXT = 262_144
_MOST_INLINE = 2_097_152
_SEARCHED_OCTETS = 65_536
_SEARCHED_TEXT = 8_000
_UNDECODABLE = (ValueError, LookupError, HeaderParseError, TypeError, AttributeError)
_CID = re.compile(r"""cid:([^"'\s)>]{1,300})""", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>")


class Part(Struct, frozen=True, kw_only=True):
    """A part of a message that holds content."""

    number: int
    content_type: str
    filename: str
    size: int
    content_id: str
    attachment: bool


class Parsed(Struct, frozen=True, kw_only=True):
    """A message taken apart; `html` is as the sender wrote it, and must never run."""

    headers: list[tuple[str, str]]
    text: str
    html: str
    parts: list[Part]


def parse(octets: bytes) -> Parsed:
    """Take a message apart."""
    message = _read(octets)
    leaves = _leaves(message)
    parts = [_part(place, leaf) for place, leaf in enumerate(leaves)]
    html = _first(leaves, parts, "text/html")
    return Parsed(
        headers=[(name, decoded(str(value))) for name, value in message.items()[:_MOST_HEADERS]],
        text=_first(leaves, parts, "text/plain"),
        html=_CID.sub(lambda match: _inline(match[1], leaves, parts) or match[0], html),
        parts=parts,
    )


def part_content(octets: bytes, number: int) -> tuple[Part, bytes] | None:
    """Return one part and its octets."""
    leaves = _leaves(_read(octets))
    if not 0 <= number < len(leaves):
        return None
    return _part(number, leaves[number]), _payload(leaves[number])


@lru_cache(maxsize=20_000)
def searched_text(path: Path) -> str:
    """Return the beginning of a message's text in lower case, for the search; empty when it is gone."""
    try:
        with path.open("rb") as file:
            octets = file.read(_SEARCHED_OCTETS)
    except OSError:
        return ""
    leaves = _leaves(_read(octets))
    parts = [_part(place, leaf) for place, leaf in enumerate(leaves)]
    text = _first(leaves, parts, "text/plain") or unescape(_TAG.sub(" ", _first(leaves, parts, "text/html")))
    return text[:_SEARCHED_TEXT].lower()


def decoded(value: str) -> str:
    """Return a header field's value with encoded words decoded, as far as they can be."""
    with suppress(*_UNDECODABLE):
        value = str(make_header(decode_header(value)))
    return re.sub(r"\s*[\r\n]+\s*", " ", value).encode("utf-8", "replace").decode()[:10_000]


def _read(octets: bytes) -> Message:
    try:
        return message_from_bytes(octets)
    except (RecursionError, *_UNDECODABLE):
        return Message()


def _leaves(message: Message) -> list[Message]:
    """Return the parts that hold content, outermost message first; nested ones are bounded."""
    found: list[Message] = []
    waiting = [message]
    while waiting and len(found) < _MOST_PARTS:
        part = waiting.pop(0)
        payload = part.get_payload()
        if part.is_multipart() and isinstance(payload, list) and part.get_content_maintype() == "multipart":
            waiting[:0] = [child for child in payload[:_MOST_PARTS] if isinstance(child, Message)]
        else:
            found.append(part)
    return found


def _part(number: int, part: Message) -> Part:
    try:
        filename = decoded(part.get_filename() or "")
        disposition = part.get_content_disposition() or ""
    except _UNDECODABLE:
        filename, disposition = "", ""
    content_type = part.get_content_type()[:100].encode("ascii", "replace").decode()
    shown = content_type in ("text/plain", "text/html") and disposition != "attachment" and not filename
    return Part(
        number=number,
        content_type=content_type,
        filename=re.sub(r"[\x00-\x1f\x7f/\\]", "_", filename)[:200],
        size=len(_payload(part)),
        content_id=str(part.get("Content-ID", ""))[:300].strip("<> "),
        attachment=not shown,
    )


def _payload(part: Message) -> bytes:
    try:
        if part.is_multipart():
            inner = part.get_payload(0)
            return inner.as_bytes() if isinstance(inner, Message) else b""
        payload = part.get_payload(decode=True)
    except (RecursionError, IndexError, *_UNDECODABLE):
        return b""
    return payload if isinstance(payload, bytes) else b""


def _first(leaves: list[Message], parts: list[Part], content_type: str) -> str:
    for leaf, part in zip(leaves, parts, strict=True):
        if part.content_type == content_type and not part.attachment:
            return _text(leaf)
    return ""


def _text(part: Message) -> str:
    octets = _payload(part)[:_MOST_TEXT]
    try:
        return octets.decode(str(part.get_content_charset() or "utf-8"), "replace")
    except _UNDECODABLE:
        return octets.decode("utf-8", "replace")


def _inline(content_id: str, leaves: list[Message], parts: list[Part]) -> str:
    """Return an image of the message itself as a data URL, so that the page need not load anything."""
    for leaf, part in zip(leaves, parts, strict=True):
        if part.content_id == content_id and part.content_type.startswith("image/") and part.size <= _MOST_INLINE:
            return f"data:{part.content_type};base64,{base64.b64encode(_payload(leaf)).decode()}"
    return ""
