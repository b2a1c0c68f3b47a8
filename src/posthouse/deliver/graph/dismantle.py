"""Takes a large message apart: what goes as a draft, and which files follow it one by one.

Source: "Attach large files to Outlook messages": requests of 4 MB, files of 3 to 150 MB by upload session.
Shape: `dismantle` reads a message once and gives `Parts`: a draft as MIME with everything but the largest files, and
where those lie; `Source` reads a message in memory or in the spool. All of it blocks and is used in a thread.
Failures: a sentence where the message cannot be taken apart; ``OSError`` from the spool.
Leaves to others: uploading (``upload``), recipients (``wire.rebuild``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posthouse.deliver.content import PIECE_OCTETS
from posthouse.mail.address import Address
from posthouse.mail.message import Content, InlineContent
from posthouse.wire.attachment import Decoder, FilePart, describe
from posthouse.wire.header import HeaderIndex
from posthouse.wire.outline import Leaf, Outline, outline
from posthouse.wire.rebuild import Impossible, rebuild_header, reencode

_SEALED = ("multipart/signed", "multipart/encrypted")
_TEXTS = ("text/plain", "text/html")
_CONTENT_FIELDS = ("content-type", "content-transfer-encoding", "content-disposition", "content-id")
_EMPTY_PART = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that follows the draft.

    Attributes:
        described: Name and kind.
        size_octets: Decoded.
        leaf: Where it lies.
    """

    described: FilePart
    size_octets: int
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A message in parts.

    Attributes:
        draft: MIME; its header names exactly the recipients.
        files: In the order of the message.
    """

    draft: bytes
    files: tuple[File, ...]


class Source:
    """Octets of a message by offset."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Octets between two offsets, in pieces.

        Raises:
            OSError: The spool cannot be read, or the file is shorter than it was.
        """
        content = self._content
        if isinstance(content, InlineContent):
            for position in range(start, min(end, len(content.data)), PIECE_OCTETS):
                yield content.data[position : min(position + PIECE_OCTETS, end)]
            return
        before = len(content.prefix)
        if start < before:
            yield content.prefix[start : min(end, before)]
        position, end = max(start, before) - before, min(end, content.whole_octets) - before
        with content.path.open("rb") as file:
            file.seek(content.skip_octets + position)
            while position < end:
                piece = file.read(min(PIECE_OCTETS, end - position))
                if not piece:
                    raise OSError(f"{content.path.name} is too short")
                position += len(piece)
                yield piece

    @property
    def size_octets(self) -> int:
        """Of the whole message."""
        content = self._content
        return content.size_octets if isinstance(content, InlineContent) else content.whole_octets

    def decoded(self, leaf: Leaf) -> Iterator[bytes]:
        """The octets of a file in pieces of any size."""
        decoder = Decoder(leaf.encoding)
        for piece in self.read(leaf.body_start, leaf.end):
            yield decoder.feed(piece)
        yield decoder.finish()


def dismantle(source: Source, recipients: Sequence[Address], most_octets: int) -> Parts | str:
    """Take a message apart.

    Args:
        recipients: Of this transaction.
        most_octets: Of the draft.

    Raises:
        OSError: The spool cannot be read.
    """
    plan = outline(source.read(0, source.size_octets))
    if not plan.is_complete:
        return "the message has too many parts to be taken apart"
    header = rebuild_header(HeaderIndex.scan(plan.header), recipients)
    if isinstance(header, Impossible):
        return header.reason
    left = len(header.header) + plan.size_octets - len(plan.header)
    chosen: set[int] = set()
    for number, leaf in sorted(enumerate(plan.leaves), key=lambda pair: pair[1].start - pair[1].next):
        if left <= most_octets:
            break
        if _is_file(leaf):
            chosen.add(number)
            left -= leaf.next - leaf.start
    if left > most_octets:
        return f"the message has {left} octets that are no files, and Graph takes {most_octets} in one request"
    files = tuple(_file(source, plan.leaves[number]) for number in sorted(chosen))
    if len(plan.leaves) == 1 and plan.leaves[0].container < 0:
        draft = _without_content_fields(header.header)
    else:
        draft = header.header + b"".join(_rest(source, plan, chosen))
    return Parts(draft=reencode(draft), files=files)


def _is_file(leaf: Leaf) -> bool:
    if any(kind in _SEALED for kind in leaf.containers) or "pkcs7-mime" in leaf.media_type:
        return False
    if leaf.containers and leaf.containers[-1] == "multipart/alternative":
        return False
    return leaf.media_type not in _TEXTS or describe(leaf.header).is_attachment


def _file(source: Source, leaf: Leaf) -> File:
    size = sum(len(piece) for piece in source.decoded(leaf))
    container = leaf.containers[-1] if leaf.containers else ""
    return File(described=describe(leaf.header, container), size_octets=size, leaf=leaf)


def _rest(source: Source, plan: Outline, chosen: set[int]) -> Iterator[bytes]:
    """What stays behind the header. A container that loses all its parts keeps an empty text."""
    gone: dict[int, int] = {}
    for number in chosen:
        container = plan.leaves[number].container
        gone[container] = gone.get(container, 0) + 1
    emptied = {container for container, count in gone.items() if plan.children[container] == count}
    position = len(plan.header)
    for number in sorted(chosen):
        leaf = plan.leaves[number]
        yield from source.read(position, leaf.start)
        if leaf.container in emptied:
            emptied.discard(leaf.container)
            delimiter = b"".join(source.read(leaf.start, leaf.body_start)).partition(b"\n")[0].rstrip(b"\r")
            yield delimiter + b"\r\n" + _EMPTY_PART + b"\r\n"
        position = leaf.next
    yield from source.read(position, plan.size_octets)


def _without_content_fields(header: bytes) -> bytes:
    for name in _CONTENT_FIELDS:
        header = HeaderIndex.scan(header).remove(name)
    return header.removesuffix(b"\r\n") + _EMPTY_PART
