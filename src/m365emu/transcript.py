"""What was said in one session, to be read by people.

Purpose: keep the dialogue line by line, bounded, without secrets. Shape: `C:` and `S:` lines as they were,
`--` lines for what the wire does not show (TLS, why a token was refused). The first lines of a long session
are kept, and the latest. Failures: none. Leaves to others: masking is done by who writes a line.
"""

from collections import deque

_FIRST = 60
_LATEST = 340
_LONGEST = 2_200


class Transcript:
    """The lines of one session."""

    __slots__ = ("_dropped", "_first", "_latest")

    def __init__(self) -> None:
        self._first: list[str] = []
        self._latest: deque[str] = deque(maxlen=_LATEST)
        self._dropped = 0

    def client(self, text: str) -> None:
        """Record what the client said; the caller has masked it."""
        self._add("C: " + text)

    def server(self, text: str) -> None:
        """Record one line of a reply."""
        self._add("S: " + text)

    def note(self, text: str) -> None:
        """Record something that was not said on the wire."""
        self._add("-- " + text)

    def lines(self) -> list[str]:
        """Return the lines, with a mark where some were left out."""
        gap = [f"-- {self._dropped} lines left out"] if self._dropped else []
        return [*self._first, *gap, *self._latest]

    def _add(self, line: str) -> None:
        line = line[:_LONGEST]
        if len(self._first) < _FIRST:
            self._first.append(line)
            return
        if len(self._latest) == _LATEST:
            self._dropped += 1
        self._latest.append(line)
