"""A whole queue on a temporary SQLite store, with a hand-wound clock and a deliverer that the test scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from posthouse.decide.flow import Flow
from posthouse.decide.policy import Policy
from posthouse.deliver.bounce import NoticeWriter
from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Recipient
from posthouse.mail.ids import MessageId, SessionId
from posthouse.mail.message import HeaderFacts, InlineContent, Message, Origin
from posthouse.mail.outcome import AttemptResult, Delivered, Outcome
from posthouse.mail.reply import Reply
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts
from posthouse.queue.budget import Budgets
from posthouse.queue.control import QueueLevers
from posthouse.queue.dispatch import Dispatcher
from posthouse.queue.guard import Guard
from posthouse.queue.intake import Intake
from posthouse.queue.port import Job
from posthouse.queue.settings import QueueSettings
from posthouse.queue.settle import Settler
from posthouse.queue.sweep import Sweep
from posthouse.store.port import QueueFilter, Story
from posthouse.store.sqlite.store import SqliteStore

OK = Delivered(reply=Reply.of(250, "2.0.0", "OK"), relayed_dsn=True)
TWO_HOSTS = """
outbound = [
  {name = "a", kind = "smarthost", hosts = ["192.0.2.1"], max_connections = 2},
  {name = "b", kind = "smarthost", hosts = ["192.0.2.2"], max_connections = 2},
]
route = [{name = "to-a", recipients = ["a.example"], connectors = ["a"]}, {name = "rest", connectors = ["b"]}]
"""

Script = Callable[[Job], Outcome]


class Deliveries:
    """A deliverer whose outcomes the test decides; `gate` keeps attempts from ending while it is closed."""

    def __init__(self) -> None:
        self.script: Script = lambda job: OK
        self.jobs: list[Job] = []
        self.running = 0
        self.most_running: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def deliver(self, job: Job) -> Sequence[AttemptResult]:
        """Answer as the script says."""
        self.jobs.append(job)
        self.running += 1
        self.most_running[job.lease.hop] = max(self.most_running.get(job.lease.hop, 0), self.running)
        await self.gate.wait()
        self.running -= 1
        outcome = self.script(job)
        return [AttemptResult(index=w.index, outcome=outcome, connector=job.ways[0].name) for w in job.lease.waiting]


class Rig:
    """The parts, connected as the service connects them."""

    def __init__(self, directory: Path, flow: str, settings: QueueSettings) -> None:
        self.directory, self.settings = directory, settings
        self.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        self.deliveries = Deliveries()
        self.store = SqliteStore(directory, node="node")
        self.random = Random(7)
        self.guard = Guard(directory, 0, settings.max_open)
        self.build(flow)
        self.task: asyncio.Task[None] | None = None

    def build(self, flow: str) -> None:
        """Connect everything for a flow."""
        policy = policy_of(flow)
        writer = NoticeWriter("relay.example", Address("postmaster", "relay.example"), self.settings.expire_after)
        self.settler = Settler(
            self.store, writer, self.settings, clock=self.clock, random=self.random, on_final=lambda copies: None
        )
        self.budgets = Budgets(
            self.store, is_internal=policy.router.is_internal, clock=self.clock, on_room=lambda: self.dispatcher.wake()
        )
        self.dispatcher = Dispatcher(
            self.store, self.settler, self.deliveries, self.budgets, policy, self.settings,
            clock=self.clock, monotonic=lambda: self.now.timestamp(), random=self.random,
        )  # fmt: skip
        self.intake = Intake(
            self.store, self.dispatcher, self.guard, policy, self.settings, clock=self.clock, random=self.random
        )
        self.settler.connect(self.intake)
        self.levers = QueueLevers(
            self.store,
            clock=self.clock,
            surrender=self.dispatcher.surrender,
            resume=self.dispatcher.resume,
            unblock=self.dispatcher.unblock,
        )
        self.sweep = Sweep(
            self.store, self.settler, self.guard, self.settings, clock=self.clock, wake=self.dispatcher.wake,
            in_hand=self.dispatcher.in_hand,
            keep_content=timedelta(hours=1), keep_trace=timedelta(days=90),
        )  # fmt: skip

    def clock(self) -> datetime:
        """The hand-wound clock."""
        return self.now

    def advance(self, **by: float) -> None:
        """Wind it on and let the dispatcher look."""
        self.now += timedelta(**by)
        self.dispatcher.wake()

    async def send(self, *recipients: str, sender: str | None = "clerk@ours.example", body: bytes = b"x") -> MessageId:
        """Hand in a message; it is on disk when this returns."""
        message = self.message(*recipients, sender=sender, body=body)
        await self.intake.enqueue(message)
        return message.id

    def message(self, *recipients: str, sender: str | None = "clerk@ours.example", body: bytes = b"x") -> Message:
        """A message as receiving would build it."""
        content = b"Subject: page\r\nMessage-ID: <1@ours.example>\r\n\r\n" + body + b"\r\n"
        return Message(
            id=self.intake.new_id(self.now),
            received_at=self.now,
            expires_at=self.intake.expires_at(self.now),
            origin=Origin.SMTP,
            envelope=Envelope(
                sender=Address.parse(sender) if sender else None,
                recipients=tuple(Recipient(Address.parse(r)) for r in recipients),
            ),
            session=SessionFacts(
                id=SessionId("00000000000000AA"),
                listener="smtp",
                peer_ip="192.168.1.9",
                peer_port=40000,
                helo="mfp",
                protocol="ESMTP",
                tls=None,
                principal=Principal(PrincipalKind.INBOUND_CONNECTOR, "office"),
                started_at=self.now,
            ),
            content=InlineContent(content),
            header=HeaderFacts(message_id="<1@ours.example>", subject="page"),
        )

    async def story(self, message_id: MessageId) -> Story:
        """What the trace knows."""
        story = await self.store.story(message_id)
        assert story is not None
        return story

    async def states(self, message_id: MessageId) -> list[str]:
        """State of each copy."""
        return [str(row.state) for row in (await self.story(message_id)).rows]

    async def until(self, message_id: MessageId, *states: str) -> None:
        """Wait until the copies are in these states."""
        async with asyncio.timeout(10):
            while await self.states(message_id) != list(states):
                await asyncio.sleep(0)

    async def attempts(self, count: int) -> None:
        """Wait until so many attempts have begun."""
        async with asyncio.timeout(10):
            while len(self.deliveries.jobs) < count:
                await asyncio.sleep(0)

    async def settled(self) -> None:
        """Wait until no attempt runs and nothing that is due waits."""
        async with asyncio.timeout(10):
            while self.deliveries.running or any(line.running for line in self.dispatcher.lines.values()):
                await asyncio.sleep(0)

    async def waiting(self, **conditions: object) -> list[str]:
        """Hops of waiting copies, oldest first."""
        return [entry.hop for entry in await self.store.entries(QueueFilter(**conditions))]  # type: ignore[arg-type]


def policy_of(flow: str) -> Policy:
    """A flow written as TOML."""
    import tomllib

    return Policy(Flow.model_validate(tomllib.loads(flow)))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A running queue with two smart hosts."""
    rig = Rig(tmp_path, TWO_HOSTS, QueueSettings(jitter_percent=0))
    await rig.store.open()
    rig.task = asyncio.create_task(rig.dispatcher.run())
    yield rig
    rig.deliveries.gate.set()
    await rig.dispatcher.stop(5)
    rig.task.cancel()
    await rig.store.close()
