"""Time, handed in.

Purpose: every part that needs the time of day or a timer gets it from here, so that a test can stand still or
move days ahead. Shape: `Clock` is the port; `SystemClock` follows the machine, `ManualClock` moves only when it
is told to. Failures: none. Leaves to others: what to do when a timer fires.
"""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Timer(Protocol):
    """A call that was put off and may still be taken back."""

    def cancel(self) -> None:
        """Take the call back; harmless when it was made already."""


class Clock(Protocol):
    """What the emulator knows of time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""

    def call_at(self, when: datetime, action: Callable[[], None]) -> Timer:
        """Call `action` once `now()` has reached `when`; never before this call returns."""


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def call_at(self, when: datetime, action: Callable[[], None]) -> Timer:
        seconds = (when - self.now()).total_seconds()
        return asyncio.get_running_loop().call_later(max(0.0, seconds), action)


class _ManualTimer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class ManualClock:
    """A clock that stands still until `advance` is called."""

    def __init__(self, start: datetime) -> None:
        """Start at `start`, an aware moment."""
        self._now = start.astimezone(UTC)
        self._timers: list[tuple[datetime, int, _ManualTimer]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._now

    def call_at(self, when: datetime, action: Callable[[], None]) -> Timer:
        timer = _ManualTimer(action)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    def advance(self, by: timedelta) -> None:
        """Move ahead by `by`, firing each timer at its own moment, in order."""
        target = self._now + by
        while self._timers and self._timers[0][0] <= target:
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if timer.action is not None:
                timer.action()
        self._now = target
