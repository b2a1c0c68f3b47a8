"""Time, handed in.

Purpose: every part that needs the time of day or a timer gets it from here, so that a test can stand still or
move days ahead. Shape: `Clock` is the port; `SystemClock` follows the machine, `OffsetClock` too but moves ahead on
order, `ManualClock` moves only when it is told to, `LoopClock` follows an event loop whose time may be virtual.
Failures: `ValueError` for a move that no clock can make. Leaves to others: what to do when a timer fires.
"""

import asyncio
import heapq
import time
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


class OffsetClock:
    """The machine's clock with a distance that orders make, and a pace.

    Left alone it is the machine's clock. `advance` and `set` move it ahead, and every timer that is passed fires at
    its own moment, in order; `run` lets it go faster or slower. It never goes back.
    """

    def __init__(self, speed: float = 1.0) -> None:
        """Start at the machine's time; `speed` seconds pass in one of the machine's.

        Raises:
            ValueError: the speed is not within 0.001 to 100,000.
        """
        self._timers: list[tuple[datetime, int, _ManualTimer]] = []
        self._count = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._base, self._mark = datetime.now(UTC), time.monotonic()
        self.speed = _checked_speed(speed)

    def now(self) -> datetime:
        return self._base + timedelta(seconds=(time.monotonic() - self._mark) * self.speed)

    def call_at(self, when: datetime, action: Callable[[], None]) -> Timer:
        timer = _ManualTimer(action)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        self._set_alarm()
        return timer

    def advance(self, by: timedelta) -> None:
        """Move ahead by `by`; raises `ValueError` for less than nothing."""
        if by < timedelta():
            raise ValueError("the clock never goes back")
        self._move(self.now() + by)

    def set(self, moment: datetime) -> None:
        """Move ahead to a moment, aware; raises `ValueError` for one that has passed."""
        if moment < self.now():
            raise ValueError("the clock never goes back")
        self._move(moment)

    def run(self, speed: float) -> None:
        """Go on at another pace; raises `ValueError` for one that is not within 0.001 to 100,000."""
        _checked_speed(speed)
        self._base, self._mark = self.now(), time.monotonic()
        self.speed = speed
        self._set_alarm()

    def _move(self, target: datetime) -> None:
        while self._timers and self._timers[0][0] <= target:
            when, _, timer = heapq.heappop(self._timers)
            self._base, self._mark = max(self.now(), when), time.monotonic()
            if timer.action is not None:
                timer.action()
        self._base, self._mark = max(self.now(), target), time.monotonic()
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Ask the event loop to wake us when the first timer is due; timers that were taken back are dropped."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if self._timers:
            seconds = (self._timers[0][0] - self.now()).total_seconds() / self.speed
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._move(self.now())


def _checked_speed(speed: float) -> float:
    if not 0.001 <= speed <= 100_000:
        raise ValueError("the speed must lie within 0.001 and 100000")
    return speed


class LoopClock:
    """An event loop's own time, counted from a moment; for loops whose time is virtual."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime) -> None:
        """The moment `start`, aware, is where `loop.time()` is zero."""
        self._loop = loop
        self._start = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())

    def call_at(self, when: datetime, action: Callable[[], None]) -> Timer:
        return self._loop.call_at((when - self._start).total_seconds(), action)


class MovableClock(Protocol):
    """A clock that moves ahead on order."""

    def now(self) -> datetime:
        """Return the present moment."""

    def advance(self, by: timedelta) -> None:
        """Move ahead by `by`, firing each timer at its own moment, in order."""
