"""Octets of a server into `Reply` values.

Source: RFC 5321 4.2 (form), 4.2.1 (several lines), RFC 2034 4 (enhanced status codes), RFC 3463 2.
Shape: `ReplyParser.feed` takes octets in any split; `ReplyParser.next_reply` gives one whole reply, or None when more
octets are needed. Common one-line replies are remembered, because servers repeat themselves.
Failures: `ReplyError`: what came is no SMTP reply, or has no end. The connection must be given up then.
Leaves to others: what a reply answers (``wire.smtp.client``) and what it means (``deliver.classify``).

Lenient where the field is: a bare LF ends a line, a line may be as long as a whole reply may be (Exchange sends 2 kB
and more on one), the last line's code counts where the codes of a reply differ, odd octets are shown as U+FFFD.
"""

from __future__ import annotations

import re
from functools import lru_cache

from posthouse.mail.reply import Reply

MAX_REPLY_OCTETS = 64 * 1024
MAX_REPLY_LINES = 1000
_REMEMBERED_OCTETS = 200
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


class ReplyError(ValueError):
    """The server does not speak SMTP. The message shows the beginning of what it said."""


class ReplyParser:
    """One direction of one session.

    Attributes:
        max_octets: Bound of one reply.
    """

    __slots__ = ("_buffer", "_lines", "_octets", "_searched", "_start", "max_octets")

    def __init__(self, max_octets: int = MAX_REPLY_OCTETS) -> None:
        self.max_octets = max_octets
        self._buffer = b""
        self._start = 0
        self._searched = 0
        self._lines: list[bytes] = []
        self._octets = 0

    @property
    def has_input(self) -> bool:
        """Octets wait that no reply was made of yet."""
        return self._start < len(self._buffer) or bool(self._lines)

    def feed(self, data: memoryview | bytes) -> None:
        """Take octets."""
        if self._start == len(self._buffer):
            self._buffer = bytes(data)
            self._start = self._searched = 0
        else:
            self._buffer = b"".join((self._buffer[self._start :], data))
            self._searched -= self._start
            self._start = 0

    def clear(self) -> None:
        """Forget everything that waits, as after STARTTLS (RFC 3207 4.2)."""
        self._buffer = b""
        self._start = self._searched = self._octets = 0
        self._lines = []

    def next_reply(self) -> Reply | None:
        """Take the next whole reply out.

        Raises:
            ReplyError: No SMTP reply, or too long.
        """
        while True:
            buffer, start = self._buffer, self._start
            end = buffer.find(b"\n", self._searched)
            if end < 0:
                self._searched = len(buffer)
                if self._octets + len(buffer) - start > self.max_octets:
                    raise self._too_long()
                return None
            self._start = self._searched = end + 1
            line = buffer[start : end - 1] if buffer[end - 1 : end] == b"\r" and end > start else buffer[start:end]
            if not self._lines and line[3:4] != b"-":
                if len(line) > self.max_octets:
                    raise self._too_long()
                return _remembered(line) if len(line) <= _REMEMBERED_OCTETS else _read((line,))
            if self._is_last(line):
                lines, self._lines, self._octets = (*self._lines, line), [], 0
                return _read(lines)

    def _is_last(self, line: bytes) -> bool:
        self._octets += len(line) + 2
        if self._octets > self.max_octets or len(self._lines) >= MAX_REPLY_LINES:
            raise self._too_long()
        if line[3:4] != b"-":
            return True
        if not line[:3].isdigit():
            raise _no_reply(line)
        self._lines.append(line)
        return False

    def _too_long(self) -> ReplyError:
        return ReplyError(f"the reply is longer than {self.max_octets} octets or {MAX_REPLY_LINES} lines")


def _read(lines: tuple[bytes, ...]) -> Reply:
    enhanced = ""
    texts: list[str] = []
    for line in lines:
        code = line[:3]
        if not (len(code) == 3 and code.isdigit() and b"200" <= code <= b"599") or line[3:4] not in (b"", b" ", b"-"):
            raise _no_reply(line)
        text = _text(line[4:])
        match = _ENHANCED.match(text)
        # EHLO lines and greetings never look like this, so no stage needs to be known here.
        if match is not None and (not enhanced or match[1] == enhanced):
            enhanced = match[1]
            text = text[match.end() :]
        texts.append(text)
    return Reply(int(lines[-1][:3]), enhanced, tuple(texts))


def _no_reply(line: bytes) -> ReplyError:
    return ReplyError(f"not an SMTP reply: {_text(line[:120])!r}")


def _text(octets: bytes) -> str:
    text = octets.decode(errors="replace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text.replace("\t", " "))


@lru_cache(maxsize=1024)
def _remembered(line: bytes) -> Reply:
    return _read((line,))
