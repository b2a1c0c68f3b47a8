"""Dots made transparent on the way out.

Source: RFC 5321 4.5.2 (a dot at the start of a line is doubled), 4.1.1.4 (the message ends with CRLF.CRLF).
Shape: `stuff` for content that is in memory as a whole; `DotStuffer` for pieces in any split. A piece without a dot at
the start of a line is handed on as it is, uncopied.
Failures: none.
Leaves to others: bare CR and LF, which are kept out or mended where mail is taken in (``wire.smtp.content``).
"""

from __future__ import annotations

END_OF_DATA = b".\r\n"


def stuff(content: bytes) -> bytes:
    """Double the dots of a whole content and end it with the final dot."""
    if b"\n." in content:
        content = content.replace(b"\n.", b"\n..")
    first = b"." if content.startswith(b".") else b""
    last = END_OF_DATA if content.endswith(b"\r\n") or not content else b"\r\n" + END_OF_DATA
    return first + content + last


class DotStuffer:
    """The same for content that comes in pieces."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, piece: bytes) -> bytes:
        """Double the dots of one piece."""
        if not piece:
            return piece
        starts_line = self._tail.endswith(b"\n")
        self._tail = piece[-2:] if len(piece) > 1 else (self._tail + piece)[-2:]
        if b"\n." in piece:
            piece = piece.replace(b"\n.", b"\n..")
        return b"." + piece if starts_line and piece.startswith(b".") else piece

    def end(self) -> bytes:
        """The final dot, behind the CRLF that the content may lack."""
        return END_OF_DATA if self._tail == b"\r\n" else b"\r\n" + END_OF_DATA
