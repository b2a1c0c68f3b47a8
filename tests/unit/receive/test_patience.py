"""Time-outs: the wheel that looks, and how long a client is waited for."""

from __future__ import annotations

import asyncio

from posthouse.receive.patience import MIN_CONTENT_RATE, Patience
from posthouse.receive.wheel import SLOTS, Checked, Wheel


class Item:
    """Notes when it is looked at."""

    def __init__(self, *answers: float | None) -> None:
        self.slot: set[Checked] | None = None
        self.looked: list[float] = []
        self._answers = list(answers)

    def check(self, now: float) -> float | None:
        self.looked.append(now)
        return self._answers.pop(0) if self._answers else None


async def test_an_item_is_looked_at_when_its_time_has_come_and_as_often_as_it_wants() -> None:
    wheel, item = Wheel(asyncio.get_running_loop()), Item(10, None)
    wheel.add(item, 3)
    for second in range(1, 30):
        wheel.advance(float(second))
    assert item.looked == [3.0, 13.0]
    assert item.slot is None


async def test_an_item_that_was_removed_is_not_looked_at() -> None:
    wheel, item = Wheel(asyncio.get_running_loop()), Item()
    wheel.add(item, 3)
    wheel.remove(item)
    wheel.remove(item)
    for second in range(1, 10):
        wheel.advance(float(second))
    assert item.looked == []


async def test_a_longer_time_than_the_wheel_has_is_looked_at_early_and_never_lost() -> None:
    wheel, item = Wheel(asyncio.get_running_loop()), Item()
    wheel.add(item, 100_000)
    for second in range(1, SLOTS + 1):
        wheel.advance(float(second))
    assert len(item.looked) == 1


async def test_an_item_removed_by_another_in_the_same_second_is_safe() -> None:
    wheel = Wheel(asyncio.get_running_loop())
    items = [Item() for _ in range(10)]
    for item in items:
        wheel.add(item, 1)
    wheel.advance(1.0)
    assert all(item.looked == [1.0] for item in items)


def test_silence_between_commands_ends_after_the_limit() -> None:
    patience = Patience(100.0)
    assert patience.left(200.0, 300.0, has_content=False) == 200.0
    patience.since = 250.0
    assert patience.left(400.0, 300.0, has_content=False) == 150.0
    assert patience.left(550.0, 300.0, has_content=False) == 0.0


def test_octets_of_commands_that_never_end_are_no_progress() -> None:
    patience = Patience(100.0)
    patience.octets += 10**6
    assert patience.left(400.0, 300.0, has_content=False) == 0.0


def test_content_goes_on_while_it_comes_at_a_sound_rate_and_ends_when_it_trickles() -> None:
    patience = Patience(100.0)
    patience.begin_content(150.0)
    assert patience.left(400.0, 300.0, has_content=True) == 50.0
    patience.octets = MIN_CONTENT_RATE * 300
    assert patience.left(450.0, 300.0, has_content=True) == 300.0
    patience.octets = 200
    assert patience.left(750.0, 300.0, has_content=True) == 0.0
