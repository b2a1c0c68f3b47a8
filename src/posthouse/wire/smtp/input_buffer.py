"""Octets that came in and were not used yet, taken out by line or as they are.

Source: RFC 5321 2.3.8 (lines), 4.5.3.1 (lengths).
Shape: ``append`` in any split, then ``take_line``, or ``peek`` and ``advance``. Nothing is copied twice for a command:
lines are slices of the last read, and reads are joined only when a line spans them.
Failures: `OVERLONG` in place of a line that exceeded its bound; its octets are dropped as they come, not kept.
Leaves to others: what a line means.
"""

from __future__ import annotations

from enum import Enum


class Overlong(Enum):
    """A line that was too long has come to its end."""

    OVERLONG = "overlong"


OVERLONG = Overlong.OVERLONG


class InputBuffer:
    """Unused input of one session."""

    __slots__ = ("_buffer", "_is_overlong", "_later", "_position")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._later = bytearray()
        self._is_overlong = False

    def __len__(self) -> int:
        return len(self._buffer) - self._position + len(self._later)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add what was read; a `bytes` object may be kept, anything else is copied."""
        if self._position == len(self._buffer) and not self._later:
            self._buffer = bytes(data)
            self._position = 0
        else:
            self._later += data

    def take_line(self, max_octets: int) -> bytes | Overlong | None:
        """The next line without its LF but with its CR, if it has one; None if it is not complete.

        Reads are joined only when the buffer holds no line end, so the cost stays linear.
        """
        start = self._position
        end = self._buffer.find(b"\n", start)
        if end < 0 and self._later:
            self._join()
            start = 0
            end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) - start > max_octets:
                self._is_overlong = True
            if self._is_overlong:
                self._buffer, self._position = b"", 0
            return None
        line = self._buffer[start:end]
        self.advance(end + 1)
        if self._is_overlong or end - start >= max_octets:
            self._is_overlong = False
            return OVERLONG
        return line

    def peek(self) -> tuple[bytes, int]:
        """A buffer and where its unused octets start; follow with `advance`. Empty only if there are none at all."""
        if self._later and self._position == len(self._buffer):
            self._join()
        return self._buffer, self._position

    def advance(self, position: int) -> None:
        """Octets up to `position` of what `peek` gave were used; an idle session keeps none."""
        if position == len(self._buffer):
            self._buffer, self._position = b"", 0
        else:
            self._position = position

    def starts_with(self, prefix: bytes) -> bool:
        """Whether the next line begins with these octets; False while too few have come."""
        if self._is_overlong:
            return False
        if self._later and len(self._buffer) - self._position < len(prefix):
            self._join()
        return self._buffer.startswith(prefix, self._position)

    def clear(self) -> int:
        """Throw all away; gives the number of octets."""
        count = len(self)
        self._buffer, self._position, self._is_overlong = b"", 0, False
        self._later.clear()
        return count

    def _join(self) -> None:
        self._buffer = self._buffer[self._position :] + self._later
        self._position = 0
        self._later.clear()
