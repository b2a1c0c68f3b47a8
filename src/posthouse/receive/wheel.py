"""Time-outs for ten thousand sessions without a timer for each.

Shape: a wheel of slots, one second each. A session stands in the slot of its next check; when the hand comes there the
session says in how many seconds it wants to be looked at again, or that it is done with. A session that is active only
notes the time, so activity costs nothing, and a silent one is looked at once in its time-out.
Leaves to others: what a check finds (``receive.connection``).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

SLOTS = 512


class Checked(Protocol):
    """Something with a time-out. `slot` belongs to the wheel."""

    slot: set[Checked] | None

    def check(self, now: float) -> float | None:
        """Look whether the time is over.

        Returns:
            Seconds until the next look, or None when there is nothing more to look at.
        """


class Wheel:
    """The hand moves once a second.

    Attributes:
        now: Time of the last move: monotonic, a second coarse, free to read.
    """

    __slots__ = ("_hand", "_loop", "_slots", "_timer", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[set[Checked]] = [set() for _ in range(SLOTS)]
        self._hand = 0
        self._timer: asyncio.TimerHandle | None = None
        self.now = loop.time()

    def start(self) -> None:
        """Begin to move."""
        self._timer = self._loop.call_later(1.0, self._tick)

    def stop(self) -> None:
        """Move no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, item: Checked, seconds: float) -> None:
        """Look at an item after so many seconds, at most `SLOTS` of them."""
        steps = min(SLOTS - 1, max(1, round(seconds)))
        slot = self._slots[(self._hand + steps) % SLOTS]
        item.slot = slot
        slot.add(item)

    def remove(self, item: Checked) -> None:
        """Look no more. Idempotent."""
        if item.slot is not None:
            item.slot.discard(item)
            item.slot = None

    def advance(self, now: float) -> None:
        """Move by one second and look at what stands there."""
        self.now = now
        self._hand = (self._hand + 1) % SLOTS
        slot = self._slots[self._hand]
        if not slot:
            return
        self._slots[self._hand] = set()
        for item in slot:
            item.slot = None
            seconds = item.check(now)
            if seconds is not None:
                self.add(item, seconds)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(1.0, self._tick)
        self.advance(self._loop.time())
