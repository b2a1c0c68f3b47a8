"""The octets of a message, made fit for one server, in memory or in pieces from the spool.

Source: RFC 6152 3, RFC 3030 3, RFC 6531 3.5 (what needs which extension).
Shape: `fit` gives a `Fitted` for a message and a server's extensions, or `CannotSend`. `pieces` streams spooled octets;
memory stays flat, whatever the size.
Failures: ``OSError`` from a spool that cannot be read: the attempt ends before the final dot.
Leaves to others: the conversion itself (``wire.downgrade``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from posthouse.mail.envelope import Body
from posthouse.mail.message import Content, InlineContent, Message, SpooledContent
from posthouse.wire.downgrade import Impossible, to_seven_bit
from posthouse.wire.smtp.client_events import CannotSend
from posthouse.wire.smtp.client_extensions import Extensions

PIECE_OCTETS = 256 * 1024
MAX_CONVERTED_OCTETS = 64 * 1024 * 1024
"""Larger content is not converted, because that takes it into memory several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What is sent to a server of a certain kind.

    Attributes:
        content: The octets, or None where they are streamed from `spooled`.
        body: What the octets need.
        has_utf8_header: Header fields hold non-ASCII octets that were declared with SMTPUTF8.
        encoded_parts: Parts that had to be converted; for the trace.
    """

    content: bytes | None
    spooled: SpooledContent | None
    size_octets: int
    body: Body
    has_utf8_header: bool = False
    encoded_parts: int = 0


async def fit(message: Message, extensions: Extensions) -> Fitted | CannotSend:
    """Find out what the content needs, and convert it where the server lacks that.

    Raises:
        OSError: The spool cannot be read.
    """
    content = message.content
    if isinstance(content, InlineContent):
        return fit_octets(content.data, message, extensions)
    has_utf8_header = message.envelope.smtputf8 and await asyncio.to_thread(_spool_header_has_utf8, content)
    size = content.whole_octets
    body = Body.EIGHT_BIT_MIME
    if message.envelope.body is Body.BINARY_MIME:
        body = Body.BINARY_MIME
        is_fit = extensions.binary_mime
    else:
        # What was declared as 7 bit may be none; to declare too much costs nothing.
        is_fit = extensions.eight_bit_mime
        if not is_fit and await asyncio.to_thread(_spool_is_ascii, content):
            body, is_fit = Body.SEVEN_BIT, True
    if is_fit:
        return Fitted(content=None, spooled=content, size_octets=size, body=body, has_utf8_header=has_utf8_header)
    if size > MAX_CONVERTED_OCTETS:
        return CannotSend("5.6.3", f"the server takes only 7-bit content, and {size} octets are too many to convert")
    return await asyncio.to_thread(_fit_spooled, content, message, extensions)


def fit_octets(data: bytes, message: Message, extensions: Extensions) -> Fitted | CannotSend:
    """The same for content in memory."""
    envelope = message.envelope
    has_utf8_header = envelope.smtputf8 and not _header(data).isascii()
    encoded_parts = 0
    if envelope.body is Body.BINARY_MIME:
        body, is_fit = Body.BINARY_MIME, extensions.binary_mime
    elif data.isascii():
        body, is_fit = Body.SEVEN_BIT, True
    else:
        body, is_fit = Body.EIGHT_BIT_MIME, extensions.eight_bit_mime
    if not is_fit and not (has_utf8_header and not extensions.smtputf8):
        converted = to_seven_bit(data)
        if isinstance(converted, Impossible):
            return CannotSend("5.6.3", f"the server takes only 7-bit content, and {converted.reason}")
        data, body, encoded_parts = converted.data, Body.SEVEN_BIT, converted.encoded_parts
    return Fitted(
        content=data,
        spooled=None,
        size_octets=len(data),
        body=body,
        has_utf8_header=has_utf8_header,
        encoded_parts=encoded_parts,
    )


async def pieces(content: SpooledContent) -> AsyncGenerator[bytes, None]:
    """Read a spooled message, its prefix first.

    Raises:
        OSError: The file cannot be read, or its length is not what was promised.
    """
    if content.prefix:
        yield content.prefix
    file = await asyncio.to_thread(content.path.open, "rb")
    try:
        if content.skip_octets:
            await asyncio.to_thread(file.seek, content.skip_octets)
        left = content.size_octets - content.skip_octets
        while left:
            piece = await asyncio.to_thread(file.read, min(PIECE_OCTETS, left))
            if not piece:
                raise OSError(f"{content.path.name} is {left} octets too short")
            left -= len(piece)
            yield piece
    finally:
        file.close()


async def octets(content: Content) -> bytes:
    """All octets of a message, for those small enough to stand in memory.

    Raises:
        OSError: The spool cannot be read.
    """
    if isinstance(content, InlineContent):
        return content.data
    return await asyncio.to_thread(read_spooled, content)


def read_spooled(content: SpooledContent, most: int = -1) -> bytes:
    """Octets of a spooled message from its beginning; blocks, so it is called in a thread.

    Args:
        most: Of the file; all by default.

    Raises:
        OSError: The spool cannot be read.
    """
    with content.path.open("rb") as file:
        file.seek(content.skip_octets)
        return content.prefix + file.read(most)


def _header(data: bytes) -> bytes:
    end = data.find(b"\r\n\r\n")
    return data if end < 0 else data[:end]


def _fit_spooled(content: SpooledContent, message: Message, extensions: Extensions) -> Fitted | CannotSend:
    return fit_octets(read_spooled(content), message, extensions)


def _spool_header_has_utf8(content: SpooledContent) -> bool:
    with content.path.open("rb") as file:
        file.seek(content.skip_octets)
        return not _header(content.prefix + file.read(PIECE_OCTETS)).isascii()


def _spool_is_ascii(content: SpooledContent) -> bool:
    with content.path.open("rb") as file:
        file.seek(content.skip_octets)
        while piece := file.read(PIECE_OCTETS):
            if not piece.isascii():
                return False
    return content.prefix.isascii()
