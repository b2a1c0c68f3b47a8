"""The whole node, the whole offline Microsoft 365 and a crowd of devices on one virtual clock.

Shape: `running` gives a `World` with both at work; `play` runs one of the emulator's scenario files: devices hand in
what its ``[load]`` says, time passes, a person may act, and in the end the counts are compared with its ``[expect]``.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from tests.scenario.virtual.crash import crash
from tests.scenario.virtual.devices import Crowd
from tests.scenario.virtual.ways import NODE, USUAL, values
from tests.virtual_time import START, VirtualLoop

from m365emu.clock import LoopClock
from m365emu.emulator import Emulator
from m365emu.scenario import Finding, Load, Scenario
from posthouse.config import load
from posthouse.queue.settings import Cadence
from posthouse.service.node import Node
from posthouse.store.port import QueueFilter

RELAY = "relay@contoso.example"
SELDOM = Cadence(due=30, room=1800, expire=300, verify=30, retire=21600)
RARELY = Cadence(due=300, room=86400, expire=3600, verify=300, retire=86400)
"""What nobody watches need not be looked at every second of a virtual day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a play ended.

    Attributes:
        findings: Each expectation of the scenario beside what is there.
        report: The emulator's counts.
        open_copies: What the node still has, as sentences.
        took: Virtual time.
    """

    findings: list[Finding]
    report: dict[str, Any]
    open_copies: list[str]
    took: timedelta

    @property
    def unmet(self) -> list[str]:
        """Expectations that were not met, as sentences."""
        return [f"{f.what}: {f.found}, expected {f.expected}" for f in self.findings if not f.met]

    @property
    def refused(self) -> dict[str, int]:
        """Refusals of the SMTP hosts and Graph by reason."""
        refused: dict[str, int] = self.report.get("refused", {})
        return {reason: count for reason, count in refused.items() if count}


class World:
    """An emulator, a node in front of it, and devices.

    Attributes:
        node: The one that runs now.
    """

    node: Node

    def __init__(self, loop: VirtualLoop, directory: Path, emulator: Emulator, cadence: Cadence) -> None:
        self.loop, self.emulator, self._directory, self._cadence = loop, emulator, directory, cadence
        self.crowd = Crowd(self)
        loop.watch(self._is_writing)

    @property
    def port(self) -> int:
        """Where devices hand in."""
        return int(self.node.addresses.rpartition(":")[2])

    @property
    def load(self) -> Load:
        """What the scenario wants to be sent."""
        return self.scenario.load

    @property
    def scenario(self) -> Scenario:
        """The scenario that is played."""
        assert self.emulator.control.scenario is not None
        return self.emulator.control.scenario

    async def start(self) -> None:
        """Start a node on what the last one left."""
        self.node = Node(load(self._directory), clock=self.loop.now, cadence=self._cadence)
        await self.node.start()
        # The hand that watches over open sessions moves each second, also when there are none.
        self.node._receiver.reception.wheel.stop()

    async def restart(self) -> None:
        """Stop in order, start again."""
        await self.node.drain()
        await self.start()

    async def crash(self) -> None:
        """End the node as a power failure does; nothing more is written or sent."""
        await crash(self.loop, self.node)

    async def until(self, **moment: float) -> None:
        """Sleep until so much time has passed since the beginning."""
        await asyncio.sleep(timedelta(**moment).total_seconds() - self.loop.time())

    async def until_empty(self, at_most: timedelta) -> None:
        """Wait until nothing is open, at most so long since the beginning."""
        end = at_most.total_seconds()
        while self.loop.time() < end and await self.node.store.open_count():
            await asyncio.sleep(min(60.0, end - self.loop.time()))

    async def ended(self) -> Ended:
        """How everything stands now."""
        entries = await self.node.store.entries(QueueFilter(limit=10_000))
        return Ended(
            findings=self.emulator.control.findings(),
            report=self.emulator.control.report(),
            open_copies=[f"{e.state} {e.recipient} {e.last_reply}" for e in entries],
            took=timedelta(seconds=self.loop.time()),
        )

    def _is_writing(self) -> bool:
        writer = getattr(getattr(self, "node", None) and self.node.store, "writer", None)
        return writer is not None and not writer._closing and (bool(writer._waiting) or not writer._idle)


Person = Callable[[World], Coroutine[Any, Any, None]]


@asynccontextmanager
async def running(
    loop: VirtualLoop,
    directory: Path,
    *,
    prepared: Path,
    flow: str,
    scenario: str = "",
    mailboxes: tuple[str, ...] = (RELAY,),
    cadence: Cadence = SELDOM,
    expire_after: str = "24h",
) -> AsyncIterator[World]:
    """An emulator and a node.

    Args:
        prepared: An emulator's directory with keys and certificates.
        flow: As `ways` gives it; what stands in braces is filled in.
        mailboxes: The pool that sends.
        expire_after: Of the node's queue.
    """
    home = directory / "emulator"
    shutil.copytree(prepared, home)
    async with Emulator(home, clock=LoopClock(loop, START), scenario=scenario) as emulator:
        write_secrets(directory, emulator)
        filled = flow.format(**values(emulator), mailboxes=json.dumps(mailboxes))
        (directory / "posthouse.toml").write_text(NODE.format(expire_after=expire_after))
        (directory / "flow.toml").write_text(filled)
        world = World(loop, directory, emulator, cadence)
        await world.start()
        try:
            yield world
        finally:
            await world.node.drain()


def write_secrets(directory: Path, emulator: Emulator) -> None:
    """Write what identities name by file."""
    mailboxes = emulator.tenant.mailboxes
    for name, text in (
        ("secret", emulator.client_secret),
        ("password", mailboxes[RELAY].password),
        ("bulk-password", mailboxes["bulk@contoso.example"].password),
    ):
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)


async def play(
    loop: VirtualLoop,
    directory: Path,
    scenario: str,
    *,
    prepared: Path,
    flow: str = "",
    way: str = "submission",
    before: Person | None = None,
    meanwhile: Person | None = None,
    at_most: timedelta = timedelta(hours=30),
    messages: int | None = None,
    **settings: Any,
) -> Ended:
    """Run a scenario to its end.

    Args:
        flow: Instead of the one that `way` says.
        before: What a person does before the devices begin.
        meanwhile: What a person does while they send.
        at_most: Virtual time after which the play ends, whatever is still open.
        messages: Instead of the scenario's own number.
        settings: Of `running`.
    """
    chosen = flow or USUAL[way]
    async with running(loop, directory, prepared=prepared, flow=chosen, scenario=scenario, **settings) as world:
        if messages is not None:
            scale(world, messages)
        if before is not None:
            await before(world)
        person = asyncio.create_task(meanwhile(world)) if meanwhile is not None else None
        await world.crowd.hand_in(world.load)
        await world.until_empty(at_most)
        if person is not None:
            # A person who is waited for in vain has found a fault, too.
            await person
        return await world.ended()


def scale(world: World, messages: int) -> None:
    """Play with another number of messages."""
    scenario, replace = world.scenario, msgspec.structs.replace
    world.emulator.control.scenario = replace(
        scenario,
        load=replace(scenario.load, messages=messages),
        expect=replace(scenario.expect, delivered=messages),
    )
