"""The node dies at any moment: what it answered 250 for arrives, and what may have arrived is looked for first."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

from tests.scenario.virtual.test_burst import POOL
from tests.scenario.virtual.ways import USUAL
from tests.scenario.virtual.world import World, running
from tests.virtual_time import VirtualLoop, run

from m365emu.scenario import Load

CRASHES = 6
EACH = 150


def test_nothing_that_was_accepted_is_lost_or_doubled_by_crashes(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        async with running(
            loop, tmp_path, prepared=prepared, flow=USUAL["submission"], scenario="throttled-monday", mailboxes=POOL
        ) as world:
            for life in range(CRASHES):
                await one_life(world, life)
                await world.start()
            await world.until_empty(timedelta(hours=3))
            ended = await world.ended()
            arrived = Counter(r.message_id for r in world.emulator.store.messages() if r.envelope_from)
            doubled = [name for name, times in arrived.items() if times > 1]
            handed = {f"<life{life}-{n}@device.contoso.example>" for life in range(CRASHES) for n in range(EACH)}
            assert ended.open_copies == []
            assert world.crowd.taken - arrived.keys() == set()
            assert arrived.keys() <= handed
            assert doubled == []
            assert CRASHES * EACH / 2 < len(world.crowd.taken) < CRASHES * EACH

    run(scene)


async def one_life(world: World, life: int) -> None:
    """Devices hand in, mailboxes send, and somewhere in the middle the power fails."""
    load = Load(messages=EACH, devices=15, senders=world.load.senders, recipients=world.load.recipients)
    crowd = asyncio.create_task(world.crowd.hand_in(load, label=f"life{life}", gives_up=True))

    def seen() -> int:
        return len(world.emulator.store.messages()) if life % 2 else len(world.crowd.taken)

    enough, turns = seen() + Random(life).randint(1, EACH // 2), 0
    async with asyncio.timeout(600):
        while seen() < enough:
            # A turn of the loop, in the middle of whatever happens; now and then time passes, which waits for rest.
            turns += 1
            await asyncio.sleep(0 if turns % 2000 else 0.1)
    await world.crash()
    await crowd
