"""An event loop whose time is virtual: when nothing is left to do, the clock jumps to the next timer.

Purpose: run the whole node against the whole emulator through days and months in seconds. Sockets, threads and files
are real; only waiting is not. Shape: `VirtualLoop` is an asyncio loop; `run` runs a coroutine on one and gives it the
loop, so that clocks can be made from it.
How it knows that nothing is left to do: no socket is readable, no executor runs anything, and nobody who registered
with `watch` is busy. What is written to a loopback socket is readable at once, so nothing is under way unseen.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
START = datetime.now(UTC).replace(microsecond=0)
"""Certificates know the machine's time alone, so virtual time begins there."""


GRACE_SECONDS = 0.002
_WAITING = frozenset({"_accept_connection", "_read_from_self"})
"""What asyncio calls for a listener's socket, and for the one by which threads wake the loop."""


class _PatientSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    loop: VirtualLoop

    was_active = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        is_idle = timeout is None or timeout > 0
        while is_idle and not ready and self.loop.is_busy():
            ready = super().select(0.0005)
        if ready or not is_idle:
            self.was_active = self.was_active or bool(ready)
            return ready
        if self.was_active and self._has_connections():
            # The kernel may still carry what was just written.
            self.was_active = False
            ready = super().select(GRACE_SECONDS)
            if ready:
                self.was_active = True
                return ready
        if timeout is None:
            return super().select(None)
        self.was_active = False
        self.loop.jump(timeout)
        return []

    def _has_connections(self) -> bool:
        """Whether any socket is open that is not one of a listener, or the loop's own."""
        return any(
            reader is None or reader._callback.__name__ not in _WAITING
            for key in self.get_map().values()
            for reader in key.data[:1]
        )


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._now = 0.0
        self._running_elsewhere = 0
        self._watched: list[Callable[[], bool]] = []
        selector = _PatientSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def now(self) -> datetime:
        """The virtual wall clock."""
        return START + timedelta(seconds=self._now)

    def watch(self, is_busy: Callable[[], bool]) -> None:
        """Time stands still while this is true."""
        self._watched.append(is_busy)

    def is_busy(self) -> bool:
        return self._running_elsewhere > 0 or any(is_busy() for is_busy in self._watched)

    def jump(self, seconds: float) -> None:
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        self._running_elsewhere += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self._running_elsewhere -= 1


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a virtual loop."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
