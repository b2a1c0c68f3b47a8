"""A message that is not sent yet, and its octets.

Purpose: hold what a draft or a request to send consists of, and write it as MIME. Source: RFC 5322 2.2 and 3.6,
RFC 2045 6.8 (base64), RFC 2046 5.1 (multipart). Shape: `Item` has the fields of the header, the body as one MIME
entity, and attachments that may lie in files; `read_item` takes MIME apart; `write` gives octets away piece by
piece, so that an attachment of any size never stands in memory whole. Bcc is a field of an item, and never written
for delivery.
Failures: `read_item` gives `None` for what has no header; `OSError` rises from `write`.
Leaves to others: judging it (`sending`), JSON (`composing`).
"""

import base64
import io
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from pathlib import Path
from typing import BinaryIO

_LINE_END = re.compile(rb"\r\n|\r|\n")
_NAME = re.compile(rb"[!-9;-~]+[ \t]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_CHUNK = 57 * 8_192
_MOST_FIELDS = 2_000

Field = tuple[str, bytes]
"""A field's name as it was written, and its value, folded or not, without the last line end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes with an item; its octets are in memory or in a file of its own."""

    id: str
    name: str
    content_type: str
    size: int
    is_inline: bool
    content_id: str
    source: bytes | Path
    modified: datetime

    def open(self) -> BinaryIO:
        """Open the octets for reading."""
        return self.source.open("rb") if isinstance(self.source, Path) else io.BytesIO(self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A message in the making.

    Attributes:
        fields: the header without the fields that describe the content.
        content_fields: Content-Type, Content-Transfer-Encoding and their like, for the body.
        body: the body's octets, encoded as `content_fields` say.
        attachments: what goes with it besides.
    """

    fields: tuple[Field, ...]
    content_fields: tuple[Field, ...]
    body: bytes
    attachments: tuple[Attachment, ...] = ()

    def values(self, name: str) -> list[bytes]:
        """Return the values of every field of this name."""
        return [value for field, value in self.fields if field.lower() == name]

    def replacing(self, name: str, value: bytes | None) -> tuple[Field, ...]:
        """Return the fields with all of this name gone, and one in their place unless the value is `None`."""
        kept = tuple(field for field in self.fields if field[0].lower() != name.lower())
        return kept if value is None else (*kept, (name, value))

    def head_octets(self, *, with_bcc: bool) -> bytes:
        """Return the header's lines, without the empty line."""
        return b"".join(
            name.encode("ascii", "replace") + b": " + value + b"\r\n"
            for name, value in self.fields
            if with_bcc or name.lower() not in ("bcc", "resent-bcc")
        )


def read_item(octets: bytes) -> Item | None:
    """Take a MIME message apart; line ends become CR LF."""
    octets = _LINE_END.sub(b"\r\n", octets)
    head, _, body = octets.partition(b"\r\n\r\n")
    fields: list[tuple[str, list[bytes]]] = []
    for line in head.split(b"\r\n")[: _MOST_FIELDS * 4]:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
        elif colon and _NAME.fullmatch(name):
            fields.append((name.strip().decode("ascii"), [value.lstrip(b" \t")]))
        else:
            return None
    found = [(name, b"\r\n".join(lines)) for name, lines in fields[:_MOST_FIELDS]]
    if not found:
        return None
    return Item(
        fields=tuple(field for field in found if not _describes_content(field[0])),
        content_fields=tuple(field for field in found if _describes_content(field[0])),
        body=body,
    )


def text_item(fields: Iterable[Field], text: str, *, is_html: bool) -> Item:
    """Make an item of a text; it is encoded as base64, which survives every transport."""
    kind = b"html" if is_html else b"plain"
    return Item(
        fields=tuple(fields),
        content_fields=(
            ("Content-Type", b"text/" + kind + b'; charset="utf-8"'),
            ("Content-Transfer-Encoding", b"base64"),
        ),
        body=_base64_lines(text.encode("utf-8", "replace")),
    )


def write(item: Item, put: Callable[[bytes], None], *, with_bcc: bool = False) -> None:
    """Write the item as MIME; `put` gets its octets in order. Raises `OSError` for a file that is gone."""
    put(item.head_octets(with_bcc=with_bcc))
    put(b"MIME-Version: 1.0\r\n")
    inline = [attachment for attachment in item.attachments if attachment.is_inline]
    others = [attachment for attachment in item.attachments if not attachment.is_inline]
    if others:
        _write_multipart(b"mixed", lambda: _write_related(item, inline, put), others, put)
    else:
        _write_related(item, inline, put)


def _write_related(item: Item, inline: list[Attachment], put: Callable[[bytes], None]) -> None:
    if inline:
        _write_multipart(b"related", lambda: _write_body(item, put), inline, put)
    else:
        _write_body(item, put)


def _write_body(item: Item, put: Callable[[bytes], None]) -> None:
    put(b"".join(name.encode() + b": " + value + b"\r\n" for name, value in item.content_fields))
    put(b"\r\n" + item.body)


def _write_multipart(
    kind: bytes, write_first: Callable[[], None], attachments: list[Attachment], put: Callable[[bytes], None]
) -> None:
    boundary = b"_000_" + secrets.token_hex(16).encode() + b"_"
    put(b"Content-Type: multipart/" + kind + b';\r\n\tboundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n")
    write_first()
    for attachment in attachments:
        put(b"\r\n--" + boundary + b"\r\n" + _attachment_fields(attachment) + b"\r\n")
        with attachment.open() as file:
            while chunk := file.read(_CHUNK):
                put(_base64_lines(chunk))
    put(b"\r\n--" + boundary + b"--\r\n")


def _attachment_fields(attachment: Attachment) -> bytes:
    name = header_text(attachment.name.replace("\\", "_").replace('"', "'")[:255])
    disposition = "inline" if attachment.is_inline else "attachment"
    kind = attachment.content_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", attachment.content_type, re.ASCII) else ""
    lines = [
        f'Content-Type: {kind or "application/octet-stream"}; name="{name}"',
        f'Content-Disposition: {disposition}; filename="{name}"; size={attachment.size}',
        "Content-Transfer-Encoding: base64",
    ]
    if content_id := re.sub(r"[^!-~]|[<>]", "", attachment.content_id):
        lines.append(f"Content-ID: <{content_id}>")
    return "".join(line + "\r\n" for line in lines).encode("ascii", "replace")


def header_text(text: str) -> str:
    """Return text as it may stand in a header: one line of ASCII, encoded where it must be (RFC 2047)."""
    text = _CONTROL.sub(" ", text)
    if text.isascii():
        return text
    return "".join(Header(text, "utf-8", maxlinelen=76).encode(linesep="\r\n").splitlines(keepends=True))


def _describes_content(name: str) -> bool:
    return name.lower().startswith("content-") or name.lower() == "mime-version"


def _base64_lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")
