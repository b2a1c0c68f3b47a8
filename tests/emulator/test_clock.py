"""The clocks: machine time that moves ahead on order, and an event loop's own time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from m365emu.clock import LoopClock, OffsetClock

HOUR = timedelta(hours=1)


async def test_left_alone_the_clock_is_the_machine_s() -> None:
    assert abs(OffsetClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_moving_ahead_fires_each_timer_at_its_own_moment_in_order() -> None:
    clock = OffsetClock()
    start = clock.now()
    fired: list[tuple[str, int]] = []

    def note(name: str) -> None:
        fired.append((name, round((clock.now() - start) / HOUR)))

    clock.call_at(start + 2 * HOUR, lambda: note("second"))
    clock.call_at(start + 1 * HOUR, lambda: note("first"))
    clock.call_at(start + 9 * HOUR, lambda: note("late"))
    clock.call_at(start + 1 * HOUR, lambda: note("taken back")).cancel()
    clock.advance(3 * HOUR)
    assert fired == [("first", 1), ("second", 2)]
    assert round((clock.now() - start) / HOUR) == 3
    clock.set(start + 10 * HOUR)
    assert fired[-1] == ("late", 9)


async def test_a_timer_set_by_a_timer_fires_in_the_same_move() -> None:
    clock = OffsetClock()
    start, fired = clock.now(), []

    def first() -> None:
        clock.call_at(clock.now() + HOUR, lambda: fired.append("second"))

    clock.call_at(start + HOUR, first)
    clock.advance(3 * HOUR)
    assert fired == ["second"]


async def test_the_clock_never_goes_back() -> None:
    clock = OffsetClock()
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-HOUR)
    with pytest.raises(ValueError, match="never goes back"):
        clock.set(clock.now() - HOUR)


async def test_a_fast_clock_fires_timers_sooner() -> None:
    clock = OffsetClock(speed=100_000)
    rung = asyncio.Event()
    clock.call_at(clock.now() + 10 * HOUR, rung.set)
    async with asyncio.timeout(20):
        await rung.wait()


async def test_changing_the_pace_moves_the_timers_along() -> None:
    clock = OffsetClock()
    rung = asyncio.Event()
    clock.call_at(clock.now() + 10 * HOUR, rung.set)
    clock.run(100_000)
    async with asyncio.timeout(20):
        await rung.wait()


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e9, float("nan")])
def test_a_pace_that_no_clock_can_keep_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        OffsetClock(speed=speed)


async def test_an_event_loop_s_time_counts_from_the_start() -> None:
    loop = asyncio.get_running_loop()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = LoopClock(loop, start)
    rung = asyncio.Event()
    when = clock.now() + timedelta(milliseconds=5)
    clock.call_at(when, rung.set)
    async with asyncio.timeout(20):
        await rung.wait()
    assert clock.now() >= when - timedelta(milliseconds=1)
    assert clock.now() - start == pytest.approx(timedelta(seconds=loop.time()), abs=timedelta(seconds=1))
