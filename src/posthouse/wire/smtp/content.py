"""Octets of a message as they come in: where they end, what they are without transparency, if their lines are sound.

Source: RFC 5321 4.1.1.4 and 4.5.2 (DATA), 4.5.3.1 (limits), 2.3.8 (only CRLF ends a line); RFC 3030 2 (BDAT).
Shape: `DotReader` and `ChunkReader` are fed octets and give back the content among them; both hand it through a
`LineGuard`, which counts, mends and finds faults. Memory is flat: content is handed over as it comes, and at most four
octets are held back because what they mean depends on what follows.
Failures: `Fault`, kept in ``fault``. From then on content is swallowed and only its end is looked for.
Leaves to others: the replies (``wire.smtp.server``).

Why bare CR and LF matter: if one server ends a line there and another does not, the two disagree where a message ends,
and what one took for text the other obeys as commands ("SMTP smuggling"). So only CRLF.CRLF ends DATA here, under
either policy and in any split of the octets. A dot is transparency only behind a CRLF of the wire; a dot line that
comes into being because a bare newline was mended is text.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Literal

BareNewlines = Literal["refuse", "repair"]

END: Final = b"\r\n.\r\n"
DOT: Final = b"\r\n."
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class Fault(Enum):
    """Why a message cannot be taken."""

    BARE_NEWLINE = "bare newline"
    TOO_LARGE = "message too large"
    LINE_TOO_LONG = "line too long"


class LineGuard:
    """Counts octets and line lengths, and refuses or mends bare newlines.

    Pieces given to `check` never part a CR from its LF. Without a policy the content is binary and has no lines.

    Attributes:
        octets: Content handed over so far.
        repaired_lines: Bare newlines mended so far.
        fault: Set once; from then on `check` is not called again.
    """

    __slots__ = ("_line_octets", "_policy", "fault", "max_line_octets", "max_octets", "octets", "repaired_lines")

    def __init__(self, policy: BareNewlines | None, max_octets: int, max_line_octets: int) -> None:
        self._policy = policy
        self.max_octets = max_octets
        self.max_line_octets = max_line_octets
        self._line_octets = 0
        self.octets = 0
        self.repaired_lines = 0
        self.fault: Fault | None = None

    @property
    def is_binary(self) -> bool:
        """There are no lines to look after."""
        return self._policy is None

    def check(self, body: bytes) -> bytes:
        """Give back `body`, mended if that is the policy; ``b""`` once there is a fault."""
        has_bare = False
        long_at = -1
        if self._policy is not None:
            newlines = body.count(b"\r\n")
            bare = body.count(b"\n") + body.count(b"\r") - 2 * newlines
            if bare and self._policy == "repair":
                self.repaired_lines += bare
                body = _with_sound_newlines(body)
            else:
                has_bare = bare > 0
            long_at = self._find_long_line(body)
        room = self.max_octets - self.octets if self.max_octets else len(body)
        if has_bare or long_at >= 0 or len(body) > room:
            self.fault = _earliest(body, has_bare, long_at, room)
            return b""
        self.octets += len(body)
        return body

    def _find_long_line(self, body: bytes) -> int:
        """Where the first line that is too long exceeds the limit, else -1.

        Hops from limit to limit, so that the cost is a few searches a piece and not one a line.
        """
        start = -self._line_octets
        end = len(body)
        while end - start > self.max_line_octets:
            newline = body.rfind(b"\r\n", max(start, 0), start + self.max_line_octets)
            if newline < 0:
                return start + self.max_line_octets
            start = newline + 2
        newline = body.rfind(b"\r\n", max(start, 0))
        self._line_octets = end - (start if newline < 0 else newline + 2)
        return -1


def _earliest(body: bytes, has_bare: bool, long_at: int, room: int) -> Fault:
    """The fault that comes first among the octets, so that the answer does not depend on how they were split."""
    found = [(room, Fault.TOO_LARGE)] if len(body) > room else []
    if long_at >= 0:
        found.append((long_at, Fault.LINE_TOO_LONG))
    bare = _BARE.search(body) if has_bare else None
    if bare is not None:
        found.append((bare.start(), Fault.BARE_NEWLINE))
    return min(found, key=lambda fault: fault[0])[1]


def _with_sound_newlines(body: bytes) -> bytes:
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


class DotReader:
    """Content after DATA, fed in any split.

    Attributes:
        guard: The counts and the fault.
        is_ended: CRLF.CRLF was met.
    """

    __slots__ = ("_held", "_keeps_odd_dots", "_skip", "guard", "is_ended")

    def __init__(self, policy: BareNewlines, max_octets: int, max_line_octets: int) -> None:
        self.guard = LineGuard(policy, max_octets, max_line_octets)
        self._keeps_odd_dots = policy == "repair"
        # The line end of the DATA command opens the content: a dot right behind it stands at the start of a line.
        self._held = b"\r\n"
        self._skip = 2
        self.guard.octets = -2
        self.is_ended = False

    def feed(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Take octets.

        Args:
            data: What came in.
            start: Octets at its beginning that were used before.

        Returns:
            The content among them, and where in `data` the next command starts.
        """
        held = self._held
        if data.find(b".", start) < 0 and b"." not in held:
            # Base64 has no dots at all, and one octet is found many times faster than three.
            return self._feed_without_dots(data[start:] if start else data), len(data)
        if DOT not in held + data[start : start + 2]:
            # The first dot at the start of a line is most often that of the end: one search then serves for both.
            dot = data.find(DOT, start)
            if dot >= 0 and data.startswith(END, dot):
                self.is_ended = True
                stop = dot + len(END)
                return self._hand_over(held + data[start : dot + 2], has_dots=False), stop
        return self._feed_with_dots(data, start)

    def _feed_without_dots(self, data: bytes) -> bytes:
        work = self._held + data if self._held else data
        decided = len(work) - _undecided(work)
        self._held = work[decided:]
        return self._hand_over(work[:decided], has_dots=False)

    def _feed_with_dots(self, data: bytes, start: int) -> tuple[bytes, int]:
        held = self._held
        across = (held + data[start : start + 4]).find(END)
        end = start + across - len(held) if across >= 0 else data.find(END, start)
        if across >= 0 or end >= 0:
            self.is_ended = True
            stop = end + len(END)
            body = (held + data[start:stop])[:-3]
        else:
            stop = len(data)
            work = held + data[start:]
            decided = len(work) - _undecided(work)
            body, self._held = work[:decided], work[decided:]
        return self._hand_over(body, has_dots=DOT in body), stop

    def _hand_over(self, body: bytes, *, has_dots: bool) -> bytes:
        if not body or self.guard.fault is not None:
            return b""
        if has_dots:
            body = self._without_transparency(body)
        body = self.guard.check(body)
        if self._skip:
            body, self._skip = body[2:], 0
        return body

    def _without_transparency(self, body: bytes) -> bytes:
        """Take the first dot off each line. No piece ends between a CRLF and what decides about its dot."""
        if self._keeps_odd_dots:
            # A lone dot before a bare newline: nobody who stuffs dots writes that, so the dot is the sender's text.
            body = body.replace(b"\r\n.\n", b"\r\n..\n").replace(b"\r\n.\r", b"\r\n..\r")
        return body.replace(b"\r\n.", b"\r\n")


def _undecided(work: bytes) -> int:
    """Length of the longest end of `work` that may be the beginning of CRLF.CRLF."""
    if work[-1:] not in (b"\r", b"\n", b"."):
        return 0
    return next((length for length in (4, 3, 2, 1) if work.endswith(END[:length])), 0)


class ChunkReader:
    """Content after BDAT: the end is by count, so only CR and LF on either side of a chunk's end need holding back.

    Attributes:
        guard: The counts and the fault.
        is_last: The chunk that is being read was announced with LAST.
        remaining: Octets of the chunk that are still to come.
    """

    __slots__ = ("_held", "guard", "is_last", "remaining")

    def __init__(self, policy: BareNewlines | None, max_octets: int, max_line_octets: int) -> None:
        self.guard = LineGuard(policy, max_octets, max_line_octets)
        self._held = b""
        self.is_last = False
        self.remaining = 0

    @property
    def is_ended(self) -> bool:
        """The chunk has been read whole."""
        return self.remaining == 0

    def begin(self, octets: int, *, is_last: bool) -> None:
        """The next BDAT."""
        self.remaining = octets
        self.is_last = is_last

    def feed(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Take octets, as `DotReader.feed` does."""
        stop = min(start + self.remaining, len(data))
        self.remaining -= stop - start
        if self.guard.fault is not None:
            return b"", stop
        part = data[start:stop]
        if self.guard.is_binary:
            return self.guard.check(part), stop
        work = self._held + part
        self._held = b""
        if work.endswith(b"\r") and not (self.is_last and self.remaining == 0):
            work, self._held = work[:-1], b"\r"
        return self.guard.check(work), stop


class Discard:
    """Octets of a BDAT that was refused; they must be read, or they would be obeyed as commands (RFC 3030 2)."""

    __slots__ = ("remaining",)

    def __init__(self, octets: int) -> None:
        self.remaining = octets

    @property
    def is_ended(self) -> bool:
        """All are gone."""
        return self.remaining == 0

    def feed(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Take octets, as `DotReader.feed` does."""
        stop = min(start + self.remaining, len(data))
        self.remaining -= stop - start
        return b"", stop
