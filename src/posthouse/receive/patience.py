"""How long a client is waited for.

Source: RFC 5321 4.5.3.2.7 (server time-out), and what a stranger can do with it: say an octet now and then for ever.
Shape: `Patience` is told of progress and says what is left. Between commands only an answered command is progress; in
content it is octets, and enough of them.
Leaves to others: looking at it (``receive.wheel``), ending the session (``receive.connection``).
"""

from __future__ import annotations

MIN_CONTENT_RATE = 512
"""Octets a second, on the mean over one time-out, below which content is no longer waited for."""
COARSE_SECONDS = 1.0
"""The wheel's clock is as coarse as this."""


class Patience:
    """With one session.

    Attributes:
        since: When the last reply was given; written by the session at each.
        octets: Received since content began, or since the last look at it; counted by the session.
    """

    __slots__ = ("_content_since", "octets", "since")

    def __init__(self, now: float) -> None:
        self.since = self._content_since = now
        self.octets = 0

    def begin_content(self, now: float) -> None:
        """Octets count from now on."""
        self._content_since, self.octets = now, 0

    def left(self, now: float, limit: float, *, has_content: bool) -> float:
        """Seconds until the next look; 0 when it is over.

        Args:
            limit: The listener's idle time-out in seconds.
            has_content: The client is in the middle of a message.
        """
        elapsed = now - (self._content_since if has_content else self.since)
        if elapsed < limit - COARSE_SECONDS:
            return limit - elapsed
        if not has_content or self.octets < MIN_CONTENT_RATE * elapsed:
            return 0.0
        self.begin_content(now)
        return limit
