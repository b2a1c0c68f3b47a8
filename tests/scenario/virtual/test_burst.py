"""Bursts meet the limits without being refused once: the budgets hold, survive restarts, and are fair."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenario.virtual.ways import USUAL
from tests.scenario.virtual.world import RELAY, running, scale
from tests.virtual_time import VirtualLoop, run

from m365emu.scenario import Load

POOL = tuple(f"devices0{n}@contoso.example" for n in range(1, 9))
HOURS = timedelta(hours=1)


@pytest.mark.timeout(400)
def test_ten_thousand_messages_of_a_monday_meet_no_limit(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        flow = USUAL["submission"]
        async with running(
            loop, tmp_path, prepared=prepared, flow=flow, scenario="throttled-monday", mailboxes=POOL
        ) as world:
            await world.crowd.hand_in(world.load)
            await world.until_empty(2 * HOURS)
            ended = await world.ended()
            at_once = world.emulator.control.parts.desk.open.most
            assert ended.unmet == []
            assert ended.refused == {}
            assert ended.open_copies == []
            assert at_once.keys() == set(POOL)
            assert max(at_once.values()) <= 3
            assert ended.took < timedelta(minutes=60)

    run(scene)


def test_budgets_survive_restarts_in_the_middle_of_a_burst(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        async with running(
            loop, tmp_path, prepared=prepared, flow=USUAL["submission"], scenario="throttled-monday"
        ) as world:
            scale(world, 2000)
            world.emulator.control.patch(
                {
                    "mailboxes": {"devices@contoso.example": {"send_as": [RELAY, world.emulator.client_id]}},
                    "limits": {"recipients_per_day": 10_000},
                }
            )
            await world.crowd.hand_in(world.load)
            for minutes in (10, 30.35):
                await world.until(minutes=minutes)
                await world.restart()
            await world.until_empty(3 * HOURS)
            ended = await world.ended()
            assert ended.unmet == []
            assert ended.refused == {}
            assert ended.open_copies == []
            assert timedelta(minutes=66) <= ended.took < timedelta(minutes=72)

    run(scene)


def test_who_sends_a_thousand_messages_does_not_delay_the_others(prepared: Path, tmp_path: Path) -> None:
    bulk = Load(messages=1000, senders=(RELAY,), recipients=("bob@contoso.example",))
    single = Load(messages=1, senders=(RELAY,), recipients=("alice@contoso.example",))

    async def scene(loop: VirtualLoop) -> None:
        async with running(loop, tmp_path, prepared=prepared, flow=USUAL["submission"]) as world:
            await world.crowd.hand_in(bulk, label="bulk")
            for number in range(3):
                await world.until(minutes=5 * (number + 1))
                before = loop.time()
                await world.crowd.hand_in(single, label=f"single{number}", first_device=1)
                async with asyncio.timeout(3600):
                    await world.emulator.store.wait_for("alice@contoso.example", number + 1)
                waited = loop.time() - before
                assert waited <= 120
            assert len(world.emulator.store.messages("bob@contoso.example")) < 1000

    run(scene)
