"""The whole node, the whole offline Microsoft 365 and a crowd of devices on one virtual clock.

Shape: `play` runs one of the emulator's scenario files: devices hand in what its ``[load]`` says, time passes, and in the
end the counts are compared with its ``[expect]``.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from tests.virtual_time import START, VirtualLoop

from m365emu.clock import LoopClock
from m365emu.emulator import Emulator
from m365emu.scenario import Finding, Load, read_duration, read_scenario
from m365emu.tenant_file import read_tenant, tenant_file
from posthouse.config import load
from posthouse.queue.settings import Cadence
from posthouse.service.node import Node
from posthouse.store.port import QueueFilter

NODE = """
hostname = "relay.contoso.example"
[store]
directory = "data"
free_space_floor = 0
[log]
level = "error"
[queue]
jitter_percent = 0
expire_after = "{expire_after}"
[[listener]]
name = "devices"
address = "127.0.0.1:0"
tls = "none"
[control]
socket = "c.sock"
"""
FLOW = """
[[domain]]
name = "contoso.example"
[[inbound]]
name = "devices"
networks = ["127.0.0.0/8"]
recipients = "any"
[[identity]]
name = "app"
kind = "client_secret"
tenant = "{tenant}"
client_id = "{client_id}"
client_secret = "file:{secret}"
authority = "{authority}"
graph = "{graph}"
ca = "{ca}"
{outbound}
"""
SUBMISSION = """
[[outbound]]
name = "microsoft365"
kind = "submission"
identity = "app"
mailboxes = {mailboxes}
host = "{host}"
port = {port}
tls_ca = "{ca}"
"""
GRAPH = """
[[outbound]]
name = "graph"
kind = "graph"
identity = "app"
mailboxes = {mailboxes}
tls_ca = "{ca}"
"""


SELDOM = Cadence(due=20, room=300, expire=120, verify=20, retire=7200)
"""What nobody watches need not be looked at every second of a virtual day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a play ended.

    Attributes:
        findings: Each expectation of the scenario beside what is there.
        report: The emulator's counts.
        open_copies: What the node still has.
        took: Virtual time.
    """

    findings: list[Finding]
    report: dict[str, Any]
    open_copies: int
    took: timedelta

    @property
    def unmet(self) -> list[str]:
        """Expectations that were not met, as sentences."""
        return [f"{f.what}: {f.found}, expected {f.expected}" for f in self.findings if not f.met]


async def play(
    loop: VirtualLoop,
    directory: Path,
    scenario: str,
    *,
    mailboxes: list[str] | None = None,
    outbound: str = "",
    at_most: timedelta = timedelta(hours=30),
    cadence: Cadence | None = None,
    expire_after: str = "24h",
    meddle: Callable[[Node, Emulator], None] | None = None,
) -> Ended:
    """Run a scenario to its end.

    Args:
        mailboxes: The pool that sends; default: relay@ alone.
        outbound: TOML of the connectors instead of the scenario's own way.
        at_most: Virtual time after which the play ends, whatever is still open.
        meddle: Called once both run.
    """
    home = directory / "emulator"
    async with Emulator(home, clock=LoopClock(loop, START), scenario=scenario) as emulator:
        asked = read_scenario(scenario, read_tenant(tenant_file(home)))
        wanted = asked.load or Load(messages=0, senders=(), recipients=())
        node = _node(loop, directory, emulator, mailboxes, outbound or _way(wanted), cadence, expire_after)
        await node.start()
        loop.watch(lambda: bool(node.store.writer._waiting) or not node.store.writer._idle)
        try:
            if meddle is not None:
                meddle(node, emulator)
            await hand_in(loop, node, wanted)
            await _wait_until_empty(loop, node, at_most)
            report = emulator.control.report()
            return Ended(
                findings=emulator.control.findings(),
                report=report,
                open_copies=await node.store.open_count(),
                took=timedelta(seconds=loop.time()),
            )
        finally:
            await node.drain()


def _way(wanted: Load) -> str:
    return GRAPH if wanted.way == "graph" else SUBMISSION


def _node(
    loop: VirtualLoop,
    directory: Path,
    emulator: Emulator,
    mailboxes: list[str] | None,
    outbound: str,
    cadence: Cadence | None,
    expire_after: str,
) -> Node:
    host, _, port = emulator.submission.rpartition(":")
    secret = directory / "secret"
    secret.write_text(emulator.client_secret)
    values = {
        "tenant": emulator.tenant.id,
        "client_id": emulator.client_id,
        "secret": secret,
        "authority": emulator.authority,
        "ca": emulator.ca,
        "host": host,
        "port": port,
        "mx_port": emulator.mx.rpartition(":")[2],
        "graph": emulator.graph.removesuffix("/v1.0"),
        "mailboxes": json.dumps(mailboxes or ["relay@contoso.example"]),
    }
    (directory / "posthouse.toml").write_text(NODE.format(expire_after=expire_after))
    (directory / "flow.toml").write_text(FLOW.format(**values, outbound=outbound.format(**values)))
    os.chmod(directory / "secret", 0o600)
    return Node(load(directory), clock=loop.now, cadence=cadence or SELDOM)


async def hand_in(loop: VirtualLoop, node: Node, wanted: Load) -> None:
    """Let the devices send: each in a session of its own, at its times."""
    span = read_duration(wanted.over).total_seconds()
    shares: dict[int, list[int]] = {}
    for number in range(wanted.messages):
        shares.setdefault(number % max(1, wanted.devices), []).append(number)
    start = loop.time()
    async with asyncio.TaskGroup() as crowd:
        for device, numbers in shares.items():
            address = f"127.{1 + device // 250}.0.{1 + device % 250}"
            crowd.create_task(_device(loop, node, wanted, numbers, address, start, span / max(1, wanted.messages)))


async def _device(loop: VirtualLoop, node: Node, wanted: Load, numbers: list[int], address: str, start: float, every: float) -> None:
    port = int(node.addresses.rpartition(":")[2])
    reader = writer = None
    for number in numbers:
        pause = start + number * every - loop.time()
        if pause > 0:
            if writer is not None:
                writer.close()
                writer = None
            await asyncio.sleep(pause)
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            await _expect(reader, b"220")
            writer.write(b"EHLO device.contoso.example\r\n")
            await _expect(reader, b"250")
        assert reader is not None
        sender = wanted.senders[number % len(wanted.senders)]
        recipient = wanted.recipients[number % len(wanted.recipients)]
        writer.write(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            await _expect(reader, code)
        writer.write(_message(number, sender, recipient))
        await _expect(reader, b"250")
    if writer is not None:
        writer.close()


def _message(number: int, sender: str, recipient: str) -> bytes:
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: Scan {number}\r\nDate: Mon, 23 Nov 2026 06:00:00 +0000\r\n"
        f"Message-ID: <scan-{number}@device.contoso.example>\r\n\r\nPage {number}.\r\n.\r\n"
    ).encode()


async def _expect(reader: asyncio.StreamReader, code: bytes) -> None:
    while True:
        line = await reader.readline()
        assert line.startswith(code), (code, line)
        if line[3:4] == b" ":
            return


async def _wait_until_empty(loop: VirtualLoop, node: Node, at_most: timedelta) -> None:
    until = at_most.total_seconds()
    while loop.time() < until and await node.store.open_count():
        await asyncio.sleep(min(60.0, until - loop.time()))


async def open_copies(node: Node) -> list[str]:
    """What still waits, for a failing test to show."""
    return [f"{e.state} {e.recipient} {e.last_reply}" for e in await node.store.entries(QueueFilter())]
