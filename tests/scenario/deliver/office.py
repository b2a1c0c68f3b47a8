"""A queue with its store, worker and verification in front of the offline Microsoft 365, on the emulator's clock."""

from __future__ import annotations

import asyncio
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import msgspec

from m365emu.emulator import Emulator
from posthouse.decide.flow import Flow
from posthouse.decide.policy import Policy
from posthouse.deliver.bounce import NoticeWriter
from posthouse.deliver.graph.verify import GraphClients, GraphVerifier
from posthouse.deliver.patience import Patience
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.tokens import TokenSource
from posthouse.deliver.worker import Worker
from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Recipient
from posthouse.mail.ids import MessageId, SessionId
from posthouse.mail.message import HeaderFacts, InlineContent, Message, Origin
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts
from posthouse.queue.budget import Budgets
from posthouse.queue.control import QueueLevers
from posthouse.queue.dispatch import Dispatcher
from posthouse.queue.guard import Guard
from posthouse.queue.intake import Intake
from posthouse.queue.settings import QueueSettings
from posthouse.queue.settle import Settler
from posthouse.queue.verify import Verification
from posthouse.store.port import Story
from posthouse.store.sqlite.store import SqliteStore

RELAY, LOST = "relay@contoso.example", "<lost@contoso.example>"
IDENTITY = """
[[identity]]
name = "app"
kind = "client_secret"
tenant = "{tenant}"
client_id = "{client_id}"
client_secret = "file:{secret}"
authority = "{authority}"
ca = "{ca}"
graph = "{graph}"
"""
GRAPH = """
[[outbound]]
name = "m365"
kind = "graph"
identity = "app"
mailboxes = "relay@contoso.example"
"""
SUBMISSION = """
[[outbound]]
name = "m365"
kind = "submission"
identity = "app"
mailboxes = "relay@contoso.example"
host = "{host}"
port = {port}
tls_ca = "{ca}"
tls = "domain"
tls_domain = "smtp.office365.com"
"""
HASTE = Patience(final=5.0, quit=0.1)


class Office:
    """The parts, connected as the service connects them."""

    def __init__(self, emulator: Emulator, directory: Path, outbound: str, settings: str = "") -> None:
        self.emulator, self.directory = emulator, directory
        secret = directory / "secret"
        secret.write_text(emulator.client_secret)
        host, _, port = emulator.submission.rpartition(":")
        values = {
            "tenant": emulator.tenant.id, "client_id": emulator.client_id, "secret": secret, "graph": emulator.graph,
            "authority": emulator.authority, "ca": emulator.ca, "host": host, "port": port,
        }  # fmt: skip
        flow = (IDENTITY + outbound + settings).format(**values)
        self.policy = Policy(Flow.model_validate(tomllib.loads(flow)))
        self.store = SqliteStore(directory / "store", node="node")
        self.random, queue = Random(7), QueueSettings(jitter_percent=0)
        self.settler = Settler(
            self.store, NoticeWriter("relay.example", Address("postmaster", "relay.example"), queue.expire_after),
            queue, clock=self.clock, random=self.random, on_final=lambda copies: None,
        )  # fmt: skip
        self.budgets = Budgets(
            self.store, is_internal=lambda domain: domain == "contoso.example", clock=self.clock,
            on_room=lambda: self.dispatcher.wake(),
        )  # fmt: skip
        secrets = SecretOpener(_no_secret)
        self.tokens = TokenSource(secrets, monotonic=lambda: self.clock().timestamp())
        self.worker = Worker(
            hostname="me.example", secrets=secrets, random=self.random, budgets=self.budgets, tokens=self.tokens,
            patience=HASTE,
        )  # fmt: skip
        self.dispatcher = Dispatcher(
            self.store, self.settler, self.worker, self.budgets, self.policy, queue,
            clock=self.clock, monotonic=lambda: self.clock().timestamp(), random=self.random,
        )  # fmt: skip
        self.intake = Intake(
            self.store, self.dispatcher, Guard(directory, 0, queue.max_open), self.policy, queue,
            clock=self.clock, random=self.random,
        )  # fmt: skip
        self.settler.connect(self.intake)
        self.levers = QueueLevers(self.store, clock=self.clock, resume=self.dispatcher.resume)
        self.clients = GraphClients(self.tokens)
        self.verification = Verification(
            self.store, self.settler, GraphVerifier(self.clients), way_named=self.policy.ways.get,
            clock=self.clock, wake=self.dispatcher.wake,
        )  # fmt: skip

    async def __aenter__(self) -> Office:
        (self.directory / "store").mkdir()
        await self.store.open()
        self.task = asyncio.create_task(self.dispatcher.run())
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.dispatcher.stop(5)
        self.task.cancel()
        self.worker.close()
        await self.clients.close()
        await self.store.close()

    def clock(self) -> datetime:
        """The emulator's."""
        return self.emulator.clock.now()

    def advance(self, **by: float) -> None:
        """Move all clocks ahead."""
        self.emulator.clock.advance(timedelta(**by))  # type: ignore[attr-defined]
        self.dispatcher.wake()

    def grant(self, *roles: str) -> None:
        """Give the application these rights and no others; tokens in use show it at once."""
        tenant = self.emulator.tenant
        application = msgspec.structs.replace(tenant.applications[self.emulator.client_id], roles=roles)
        self.emulator.control.patch({"applications": {self.emulator.client_id: {"roles": list(application.roles)}}})
        self.tokens.forget_identity("app")

    async def send(
        self, *recipients: str, content: bytes | None = None, sender: str = RELAY, message_id: str = LOST
    ) -> MessageId:
        """Hand a message in."""
        now = self.clock()
        content = content or (
            b"From: relay@contoso.example\r\nTo: alice@contoso.example\r\nMessage-ID: %b\r\n"
            b"Subject: scan\r\n\r\nA page\r\n" % message_id.encode()
        )
        message = Message(
            id=self.intake.new_id(now),
            received_at=now,
            expires_at=self.intake.expires_at(now),
            origin=Origin.SMTP,
            envelope=Envelope(
                sender=Address.parse(sender), recipients=tuple(Recipient(Address.parse(r)) for r in recipients)
            ),
            session=SessionFacts(
                id=SessionId("00000000000000AA"), listener="smtp", peer_ip="192.0.2.9", peer_port=4000, helo="mfp",
                protocol="ESMTP", tls=None, principal=Principal(PrincipalKind.INBOUND_CONNECTOR, "office"),
                started_at=now,
            ),
            content=InlineContent(content),
            header=HeaderFacts(message_id=message_id, subject="scan"),
        )  # fmt: skip
        await self.intake.enqueue(message)
        return message.id

    async def story(self, message_id: MessageId) -> Story:
        """What the trace knows."""
        story = await self.store.story(message_id)
        assert story is not None
        return story

    async def states(self, message_id: MessageId) -> list[str]:
        """State of each copy."""
        return [str(row.state) for row in sorted((await self.story(message_id)).rows, key=lambda row: row.index)]

    async def until(self, message_id: MessageId, *states: str) -> None:
        """Wait until the copies are in these states."""
        async with asyncio.timeout(10):
            while await self.states(message_id) != list(states):
                await asyncio.sleep(0.005)

    async def look(self, **after: float) -> None:
        """Let time pass, then look for what is unknown."""
        self.advance(**after)
        await self.verification.look()

    def arrived(self, folder: str = "alice@contoso.example") -> int:
        """How often a mailbox got it."""
        return len(self.emulator.store.messages(folder))


async def _no_secret(_: str) -> str | None:
    return None
