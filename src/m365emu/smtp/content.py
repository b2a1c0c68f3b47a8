"""A message on its way in: dot-stuffing taken off, size and lines watched, large ones on disk.

Purpose: turn the octets after DATA or BDAT into the message's own. Source: RFC 5321 4.5.2 (transparency) and
2.3.8 (a line ends with CRLF, nothing else); RFC 3030 2 (BDAT octets are taken as they are).
Shape: `DotReader` finds the end, in any split of the octets; `Content` collects. Only CR LF `.` CR LF ends DATA:
a dot line made with a bare CR or LF is content.
Failures: a disk that takes no more is remembered in `failed` and the rest let go; nothing rises.
Leaves to others: judging the content (`submission`).
"""

import contextlib
import tempfile
from pathlib import Path
from typing import IO

_IN_MEMORY = 1_048_576
"""Octets kept in memory; a larger message continues in a file."""


class DotReader:
    """Finds the end of DATA and removes the dots that were added in front of lines."""

    def __init__(self) -> None:
        # The text starts as if a line had just ended, so that a first line can be the dot line.
        self._held = b"\r\n"
        self._skip = 2

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take octets in.

        Returns:
            the content so far, and `None` while the end has not come, else the octets that follow the end.
        """
        data = self._held + data
        pieces: list[bytes] = []
        start = 0
        while True:
            found = data.find(b"\r\n.", start)
            if found < 0:
                keep = _unfinished(data, start)
                pieces.append(data[start : len(data) - keep])
                self._held = data[len(data) - keep :]
                return self._joined(pieces), None
            follows = data[found + 3 : found + 5]
            if follows == b"\r\n":
                pieces.append(data[start : found + 2])
                return self._joined(pieces), data[found + 5 :]
            if follows in (b"", b"\r"):
                pieces.append(data[start:found])
                self._held = data[found:]
                return self._joined(pieces), None
            pieces.append(data[start : found + 2])
            start = found + 3

    def _joined(self, pieces: list[bytes]) -> bytes:
        content = b"".join(pieces)
        if self._skip:
            dropped = min(self._skip, len(content))
            self._skip -= dropped
            content = content[dropped:]
        return content


def _unfinished(data: bytes, start: int) -> int:
    """Count the octets at the end that may be the beginning of CR LF `.`."""
    if data.endswith(b"\r\n") and len(data) - start >= 2:
        return 2
    return 1 if data.endswith(b"\r") and len(data) > start else 0


class Content:
    """The octets of one message, at most `limit` of them; the rest is counted and let go."""

    def __init__(self, *, limit: int, directory: Path) -> None:
        self.size = 0
        self.failed = False
        self._limit = limit
        self._directory = directory
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._feeds = self._returns = self._pairs = 0
        self._last = b""

    @property
    def too_big(self) -> bool:
        """Whether more octets came than the limit allows."""
        return self.size > self._limit

    @property
    def has_bare_line_feeds(self) -> bool:
        """Whether a line feed stands without its carriage return."""
        return self._feeds > self._pairs

    @property
    def has_bare_carriage_returns(self) -> bool:
        """Whether a carriage return stands without its line feed."""
        return self._returns > self._pairs

    @property
    def head(self) -> bytes:
        """The first octets, up to a mebibyte: enough for any header that is allowed."""
        return bytes(self._memory)

    def append(self, data: bytes) -> None:
        """Take the next octets."""
        if not data:
            return
        self._watch(data)
        self.size += len(data)
        if self.too_big or self.failed:
            self.discard()
            return
        try:
            self._write(data)
        except OSError:
            self.failed = True
            self.discard()

    def _write(self, data: bytes) -> None:
        if self._file is None:
            if self.size <= _IN_MEMORY:
                self._memory += data
                return
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed by save or discard
                dir=self._directory, prefix="incoming-", delete=False
            )
            self._file.write(self._memory)
        self._file.write(data)

    def save(self, path: Path) -> None:
        """Write the whole content to `path`, once; raises `OSError` when the disk does not take it."""
        if self._file is None:
            path.write_bytes(self._memory)
            return
        self._file.close()
        Path(self._file.name).replace(path)
        self._file = None

    def discard(self) -> None:
        """Let go of everything; safe to call again and after `save`."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(FileNotFoundError):
                Path(self._file.name).unlink()
            self._file = None

    def _watch(self, data: bytes) -> None:
        self._feeds += data.count(b"\n")
        self._returns += data.count(b"\r")
        self._pairs += data.count(b"\r\n")
        if self._last == b"\r" and data[:1] == b"\n":
            self._pairs += 1
        self._last = data[-1:]
