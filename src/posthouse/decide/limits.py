"""The arithmetic of rates: a generic cell rate algorithm and a rolling day, with time handed in.

Source: ITU-T I.371 (GCRA), Exchange Online's recipient rate limit (a rolling 24 hours).
Shape: small mutable counters owned by the caller; seconds as floats of any monotonic clock.
"""

from __future__ import annotations

from collections import deque


class Pace:
    """At most `per_minute` events a minute, bursts of up to `burst` at once (GCRA)."""

    __slots__ = ("_burst", "_interval", "_theoretical")

    def __init__(self, per_minute: float, burst: float) -> None:
        self._interval = 60.0 / per_minute
        self._burst = max(burst, 1.0) * self._interval
        self._theoretical = 0.0

    def wait_seconds(self, now: float) -> float:
        """Seconds until the next event is allowed; 0 when it is allowed now. Changes nothing."""
        return max(0.0, self._theoretical - (self._burst - self._interval) - now)

    def take(self, now: float) -> bool:
        """Count an event if it is allowed now."""
        if self.wait_seconds(now) > 1e-9:
            return False
        self._theoretical = max(self._theoretical, now) + self._interval
        return True

    def reserve(self, now: float) -> float:
        """Count the next event and return the seconds after which it may happen."""
        wait = self.wait_seconds(now)
        self._theoretical = max(self._theoretical, now) + self._interval
        return wait


class RollingCount:
    """A sum over the last `window` seconds, kept in `slots` steps so that memory stays small."""

    __slots__ = ("_slots", "_step", "_total", "_window")

    def __init__(self, window: float = 86400.0, slots: int = 288) -> None:
        self._window, self._step = window, window / slots
        self._slots: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, now: float, count: int) -> None:
        """Count `count` events at `now`."""
        self._forget(now)
        slot = now - now % self._step
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1] = (slot, self._slots[-1][1] + count)
        else:
            self._slots.append((slot, count))
        self._total += count

    def total(self, now: float) -> int:
        """Events inside the window."""
        self._forget(now)
        return self._total

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0][0] + self._step <= now - self._window:
            self._total -= self._slots.popleft()[1]
