"""A real `Receiver` with ports in memory, and a client that speaks line by line."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from tests.unit.receive.memory import Clock, MemoryAccounts, MemoryIntake

from posthouse.decide.flow import Flow
from posthouse.decide.policy import Policy
from posthouse.net.certificates import ServerCertificates
from posthouse.receive.accounts import Accounts
from posthouse.receive.server import Receiver
from posthouse.receive.settings import ListenerSettings, LoginSettings
from posthouse.store.port import Keeping
from posthouse.store.sealing import Sealer
from posthouse.trace.protocol_log import ProtocolLog

HOSTNAME = "relay.example"
FLOW: dict[str, Any] = {
    "domain": [{"name": "example.com"}],
    "inbound": [{"name": "devices", "networks": ["127.0.0.0/8"], "recipients": "any"}],
    "outbound": [{"name": "next", "kind": "smarthost", "hosts": ["127.0.0.1"]}],
}


def policy(**changes: object) -> Policy:
    """`FLOW` with parts replaced."""
    return Policy(Flow.model_validate(FLOW | changes))


STRANGERS = policy(inbound=[])


@dataclass
class Client:
    """One connection to the receiver."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(
        cls, port: int, tls: ssl.SSLContext | None = None, name: str | None = None, host: str = "127.0.0.1"
    ) -> Client:
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, server_hostname=name if tls is not None else None, limit=1 << 20
        )
        return cls(reader, writer)

    async def reply(self) -> str:
        """One reply, its lines joined by line ends; empty when the server has closed."""
        lines = []
        while True:
            line = (await self.reader.readline()).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    def send(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode())

    async def say(self, line: str) -> str:
        """One command and its reply."""
        self.send(line + "\r\n")
        return await self.reply()

    async def greet(self) -> str:
        """Banner and EHLO; gives the answer to EHLO."""
        assert (await self.reply()).startswith("220 ")
        return await self.say("EHLO printer")

    async def mail(self, content: str | bytes, sender: str = "a@example.com", recipient: str = "b@example.net") -> str:
        """A whole transaction without pipelining; gives the last reply."""
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            reply = await self.say(line)
            if reply[0] not in "23":
                return reply
        self.send(content)
        self.send("\r\n.\r\n")
        return await self.reply()

    async def start_tls(self, context: ssl.SSLContext, name: str = HOSTNAME) -> None:
        assert (await self.say("STARTTLS")).startswith("220 ")
        await self.writer.start_tls(context, server_hostname=name)

    async def plain(self, name: str, password: str) -> str:
        """AUTH PLAIN."""
        return await self.say("AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode())

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


@dataclass
class Office:
    """A receiver and everything around it.

    Attributes:
        slept: Delays that somebody was made to wait.
    """

    receiver: Receiver
    intake: MemoryIntake
    store: MemoryAccounts
    accounts: Accounts
    clock: Clock
    slept: list[float] = field(default_factory=list)

    def pass_time(self, seconds: int) -> None:
        """Move the wheel of time-outs without waiting."""
        wheel = self.receiver._reception.wheel
        for _ in range(seconds):
            wheel.advance(wheel.now + 1)

    def port(self, name: str = "in") -> int:
        return self.receiver.addresses[name][0].port

    async def client(self, name: str = "in", tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Client:
        return await Client.connect(self.port(name), tls, HOSTNAME, host)


def listener(**changes: object) -> ListenerSettings:
    """A plain listener on a free port of loopback."""
    wanted: dict[str, object] = {"name": "in", "address": "127.0.0.1:0", "tls": "none"}
    return ListenerSettings.model_validate(wanted | changes)


@asynccontextmanager
async def open_office(
    directory: Path,
    *listeners: ListenerSettings,
    flow: Policy | None = None,
    certificates: ServerCertificates | None = None,
    login: LoginSettings | None = None,
    protocol_log: ProtocolLog | None = None,
    inline_octets: int = 64 * 1024,
    max_connections: int = 1000,
    max_received: int = 30,
    intake: MemoryIntake | None = None,
    keeping: Keeping | None = None,
) -> AsyncIterator[Office]:
    """Start a receiver; it is stopped at the end.

    Args:
        intake, keeping: Take the place of those in memory.
    """
    clock, slept = Clock(), []
    intake = intake or MemoryIntake(directory, clock, inline_octets)
    memory, sealer = MemoryAccounts(), Sealer(b"k" * 32)
    store = keeping or cast("Keeping", memory)
    login = login or LoginSettings()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    receiver = Receiver(
        listeners or (listener(),),
        hostname=HOSTNAME,
        policy=flow or policy(),
        intake=intake,
        store=store,
        login=login,
        sealer=sealer,
        clock=clock.now,
        certificates=certificates,
        protocol_log=protocol_log,
        max_received=max_received,
        max_connections=max_connections,
        sleep=sleep,
    )
    accounts = Accounts(store, sealer, clock=clock.now, keeps_cram_secrets=login.allow_cram_md5)
    await receiver.start()
    try:
        yield Office(receiver, intake, memory, accounts, clock, slept)
    finally:
        await receiver.drain(timedelta(0))
