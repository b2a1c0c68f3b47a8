"""Handlers that the tests of ``net`` are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from posthouse.mail.session import TlsFacts
from posthouse.net.connection import Connection
from posthouse.net.handler import Handler


class Recorder:
    """Keeps what it is told; `ended` closes, as most handlers do."""

    def __init__(self) -> None:
        self.connection: Connection
        self.data = bytearray()
        self.calls: list[str] = []
        self.facts: TlsFacts | None = None
        self.reason = ""
        self.error: Exception | None = None
        self.closing = asyncio.Event()
        self._changed = asyncio.Condition()
        self._progress = asyncio.Event()

    def connected(self, connection: Connection) -> None:
        self.connection = connection
        self._note("connected")

    def received(self, data: memoryview | bytes) -> None:
        self.data += data
        self._note("received")

    def secured(self, facts: TlsFacts) -> None:
        self.facts = facts
        self._note("secured")

    def writable(self) -> None:
        self._note("writable")

    def ended(self) -> None:
        self._note("ended")
        self.connection.close()

    def closed(self, reason: str, error: Exception | None) -> None:
        self.reason, self.error = reason, error
        self._note("closed")
        self.closing.set()

    def _note(self, name: str) -> None:
        self.calls.append(name)
        self._progress.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was told makes the condition true."""
        while not condition():
            self._progress.clear()
            await self._progress.wait()

    async def until_data(self, expected: bytes) -> None:
        await self.until(lambda: bytes(self.data) == expected or "closed" in self.calls)
        assert bytes(self.data) == expected


class Echo(Recorder):
    """Sends back what it gets."""

    def received(self, data: memoryview | bytes) -> None:
        super().received(data)
        self.connection.write(bytes(data))


@asynccontextmanager
async def serving(make: Callable[[], Handler]) -> AsyncIterator[int]:
    """A server on a free port of loopback; gives the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(make(), loop), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
