"""Devices that hand their mail in by plain SMTP, each in sessions of its own, at its times."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from m365emu.scenario import Load, read_duration

if TYPE_CHECKING:
    from tests.scenario.virtual.world import World

GREETING = b"EHLO device.contoso.example\r\n"


class Crowd:
    """All devices of a scenario.

    Attributes:
        taken: Message-IDs that the node answered 250 for.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.taken: set[str] = set()

    async def hand_in(
        self,
        load: Load,
        *,
        label: str = "scan",
        content: bytes = b"",
        padding: bytes = b"",
        first_device: int = 0,
        gives_up: bool = False,
    ) -> None:
        """Let the devices send what a load says.

        Args:
            label: Begins each Message-ID.
            content: More header fields and a body, instead of a short text.
            padding: More text behind it.
            first_device: Number of the first device.
            gives_up: A connection that breaks ends a device's work quietly.
        """
        span = read_duration(load.over).total_seconds()
        shares: dict[int, list[int]] = {}
        for number in range(load.messages):
            shares.setdefault(number % load.devices, []).append(number)
        start, every = self._world.loop.time(), span / max(1, load.messages)
        async with asyncio.TaskGroup() as crowd:
            for device, numbers in shares.items():
                work = ((start + number * every, *_letter(load, number, label, content, padding)) for number in numbers)
                crowd.create_task(self._device(first_device + device, work, gives_up=gives_up))

    async def _device(self, device: int, work: Iterable[tuple[float, str, str, str, bytes]], *, gives_up: bool) -> None:
        reader = writer = None
        try:
            for due, sender, recipient, message_id, content in work:
                pause = due - self._world.loop.time()
                if pause > 0:
                    if writer is not None:
                        writer.close()
                        writer = None
                    await asyncio.sleep(pause)
                if writer is None:
                    reader, writer = await self._open(device)
                assert reader is not None
                writer.write(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
                for code in (b"250", b"250", b"354"):
                    await _expect(reader, code)
                writer.write(content)
                await _expect(reader, b"250")
                self.taken.add(message_id)
        except (OSError, EOFError):
            if not gives_up:
                raise
        finally:
            if writer is not None:
                writer.close()

    async def _open(self, device: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = f"127.{1 + device // 250}.0.{1 + device % 250}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._world.port, local_addr=(address, 0))
        await _expect(reader, b"220")
        writer.write(GREETING)
        await _expect(reader, b"250")
        return reader, writer


def _letter(load: Load, number: int, label: str, content: bytes, padding: bytes) -> tuple[str, str, str, bytes]:
    sender = load.senders[number % len(load.senders)]
    recipient = load.recipients[number % len(load.recipients)]
    message_id = f"<{label}-{number}@device.contoso.example>"
    head = (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: {label} {number}\r\nDate: Mon, 23 Nov 2026 06:00:00 +0000\r\n"
        f"Message-ID: {message_id}\r\n"
    )
    body = content or f"\r\nPage {number}.\r\n".encode()
    return sender, recipient, message_id, head.encode() + body + padding + b".\r\n"


async def _expect(reader: asyncio.StreamReader, code: bytes) -> None:
    while True:
        line = await reader.readline()
        if not line:
            raise EOFError("the node hung up")
        assert line.startswith(code), (code, line)
        if line[3:4] == b" ":
            return
