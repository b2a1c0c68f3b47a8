"""A running node: every part, connected.

Shape: `Node` is built inside a running loop, then `start`, later `drain` and `stop`. It is also what the control API
sees of the node (`operate.port.NodeControl`).
Failures: `StoreUnavailable`, `ReceiveProblem`, `SocketInUse` from `start`; nothing is left running then.
Leaves to others: the process around it (``service.process``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import structlog

from posthouse import __version__
from posthouse.config import ConfigurationRefused, judge_flow, load
from posthouse.decide.outbound import Outbound
from posthouse.decide.policy import Policy
from posthouse.deliver.bounce import NoticeWriter
from posthouse.deliver.graph.verify import GraphClients
from posthouse.deliver.identities import open_identities
from posthouse.deliver.smtp import SessionLog
from posthouse.deliver.worker import Worker
from posthouse.mail.address import Address
from posthouse.microsoft.replies import find
from posthouse.net.certificates import KeptOld
from posthouse.net.connect import is_own_address
from posthouse.operate.configuration import Configuration
from posthouse.operate.control import ControlServer
from posthouse.operate.names import FLOW_FILE
from posthouse.operate.port import ListenerStatus, NodeStatus, Reloaded
from posthouse.operate.services import Services
from posthouse.queue.budget import Budgets
from posthouse.queue.control import QueueLevers
from posthouse.queue.dispatch import Dispatcher
from posthouse.queue.guard import Guard
from posthouse.queue.intake import Intake
from posthouse.queue.recover import recover
from posthouse.queue.settings import Cadence
from posthouse.queue.settle import Settler
from posthouse.queue.sweep import reroute
from posthouse.receive.accounts import Accounts
from posthouse.receive.local import LocalDesk
from posthouse.receive.server import Receiver, open_certificates
from posthouse.service.alerts import Alerts
from posthouse.service.duties import build_sweep
from posthouse.service.kept import NODE, make_store, open_sealer, open_secrets, utc_now
from posthouse.service.sendlog import SendLog
from posthouse.store.port import QueueFilter, StoreUnavailable
from posthouse.trace.protocol_log import ProtocolLog

log = structlog.get_logger()

DRAIN_SECONDS = 30.0
CERTIFICATE_LOOK_SECONDS = 60.0
MAX_SHOWN = 20
"""Blocked waiting lines in the status."""


class Node:
    """All parts of one node."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Callable[[], datetime] = utc_now,
        cadence: Cadence = Cadence(),  # noqa: B008 - a frozen value
    ) -> None:
        """Build and connect everything; nothing is opened. Needs a running loop.

        Args:
            clock: Aware UTC; the machine's by default.
            cadence: How often duties are looked at.
        """
        node = configuration.node
        self._clock, self._cadence = clock, cadence
        self._configuration = configuration
        self._started_at = self._clock()
        self._tasks: list[asyncio.Task[Any]] = []
        self._flow_revision = 0
        self._warnings: tuple[str, ...] = ()
        self._random = Random()
        self.sealer = open_sealer(configuration)
        self.store = make_store(configuration)
        self._guard = Guard(node.store.directory, node.store.free_space_floor, node.queue.max_open)
        self._protocol_log = ProtocolLog(node.protocol_log, hostname=node.hostname, version=__version__)
        policy = self._policy = Policy(configuration.flow)
        self._build_limits(policy)
        self._build_queue(policy)
        self._build_duties()
        self._build_receiver(policy)
        self._build_levers()

    def _build_limits(self, policy: Policy) -> None:
        """Who logs in, what the limits leave, and who is told when something is wrong with either."""
        node, loop = self._configuration.node, asyncio.get_running_loop()
        postmaster = self._postmaster = Address.parse(node.queue.postmaster or f"postmaster@{node.hostname}")
        self._alerts = Alerts(
            node.alerts,
            hostname=node.hostname,
            postmaster=postmaster,
            intake=lambda: self.intake,
            clock=self._clock,
        )
        self.budgets = Budgets(
            self.store,
            is_internal=policy.router.is_internal,
            clock=self._clock,
            on_pause=self._alerts.paused,
            on_room=self._has_room,
        )
        self._secrets = open_secrets(self._configuration, self.store, self.sealer)
        self.identities = open_identities(
            flow=lambda: self._configuration.flow,
            store=self.store,
            sealer=self.sealer,
            secrets=self._secrets,
            clock=self._clock,
            monotonic=loop.time,
            on_warning=self._alerts.expires,
        )

    def _build_queue(self, policy: Policy) -> None:
        """From the intake to the worker."""
        node, loop = self._configuration.node, asyncio.get_running_loop()
        notices = NoticeWriter(node.hostname, self._postmaster, node.queue.expire_after)
        self._settler = Settler(
            self.store, notices, node.queue, clock=self._clock, random=self._random, on_final=self._count_final
        )
        self._worker = Worker(
            hostname=node.hostname,
            budgets=self.budgets,
            secrets=self._secrets,
            tokens=self.identities.tokens,
            random=self._random,
            is_own=self._is_own,
            open_log=self._open_send_log,
        )
        self._dispatcher = Dispatcher(
            self.store,
            self._settler,
            self._worker,
            self.budgets,
            policy,
            node.queue,
            clock=self._clock,
            monotonic=loop.time,
            random=self._random,
            cadence=self._cadence,
        )
        self._intake = Intake(
            self.store, self._dispatcher, self._guard, policy, node.queue, clock=self._clock, random=self._random
        )
        self._settler.connect(self._intake)

    def _build_duties(self) -> None:
        """What is done every few seconds, minutes or days."""
        self._graph = GraphClients(self.identities.tokens)
        self._sweep = build_sweep(
            self._configuration.node,
            store=self.store,
            settler=self._settler,
            guard=self._guard,
            dispatcher=self._dispatcher,
            budgets=self.budgets,
            identities=self.identities,
            graph=self._graph,
            ways=lambda: self._policy.ways,
            clock=self._clock,
            cadence=self._cadence,
        )

    def _build_receiver(self, policy: Policy) -> None:
        """All listeners, with their certificates."""
        node = self._configuration.node
        certificates = None
        if any(listener.tls != "none" for listener in node.listener):
            certificates = open_certificates(node.tls, node.store.directory, node.hostname, self._clock())
        self._receiver = Receiver(
            node.listener,
            hostname=node.hostname,
            policy=policy,
            intake=self._intake,
            store=self.store,
            login=node.login,
            sealer=self.sealer,
            clock=self._clock,
            certificates=certificates,
            protocol_log=self._protocol_log,
            max_received=node.queue.max_received,
        )

    def _build_levers(self) -> None:
        """What the operations work on (`operate.port.Parts`), and the control API that carries them."""
        node, directory = self._configuration.node, self._configuration.directory
        self.queue = QueueLevers(
            self.store,
            clock=self._clock,
            surrender=self._dispatcher.surrender,
            resume=self._dispatcher.resume,
            unblock=self._dispatcher.unblock,
            on_final=self._count_final,
        )
        self.intake = LocalDesk(self._receiver.reception, random=self._random)
        self.accounts = Accounts(
            self.store,
            self.sealer,
            clock=self._clock,
            keeps_cram_secrets=node.login.allow_cram_md5,
            on_change=self._receiver.accounts_changed,
        )
        services = Services(self, flow_file=directory / FLOW_FILE, judge=self._judge_flow, node=self, clock=self._clock)
        self._control = ControlServer(services, node.control)

    async def start(self) -> None:
        """Open the store, take back leases, open the doors, begin to deliver."""
        await self.store.open()
        if unknown := await recover(self.store, self._policy.ways, self._clock()):
            log.warning("node.attempts_cut_short", copies=unknown)
        returned = await self.store.return_leases(owner=NODE, now=self._clock())
        if returned:
            log.info("node.leases_taken_back", copies=returned)
        self._guard.look(await self.store.open_count())
        await self.budgets.open()
        await self._note_flow(self._configuration.flow_text, by="start")
        self._receiver.prime_quota(await self.store.recipients_since(self._clock() - timedelta(days=1)))
        self._protocol_log.start()
        await self._control.start()
        await self._receiver.start()
        self._run("dispatch", self._dispatcher.run)
        self._run("sweep", self._sweep.run)
        self._run("reroute", self._reroute)
        self._run("certificates", self._watch_certificates)
        self._run("catalogue", _read_catalogue)

    async def drain(self) -> None:
        """Finish what runs, refuse new mail, give leases back, close everything."""
        self._guard.stopping = True
        cut_off = await self._receiver.drain(timedelta(seconds=DRAIN_SECONDS))
        await self._dispatcher.stop(DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._worker.close()
        await self._graph.close()
        await self._control.close()
        await self.store.close()
        self._protocol_log.close()
        log.info("node.stopped", sessions_cut_off=cut_off)

    def status(self) -> NodeStatus:
        """A snapshot for the operator."""
        node = self._configuration.node
        connections = self._receiver.open_connections
        listeners = tuple(
            ListenerStatus(name=s.name, address=", ".join(map(str, ends)), tls=s.tls, connections=connections[s.name])
            for s in node.listener
            if (ends := self._receiver.addresses.get(s.name)) is not None
        )
        refusal = self._guard.refusal()
        blocked = tuple(f"{hop} is blocked: {reason}" for hop, reason in self._dispatcher.troubles.items())
        resting = tuple(f"{p.account.partition(':')[2]} rests: {p.reason}" for p in self.budgets.resting())
        full = tuple(
            f"{hop} waits for room: {reason}"
            for hop, reason in self._dispatcher.resting.items()
            if " rests: " not in reason
        )
        return NodeStatus(
            version=__version__,
            hostname=node.hostname,
            pid=os.getpid(),
            state="draining" if self._guard.stopping else "running",
            started_at=self._started_at,
            listeners=listeners,
            flow_revision=self._flow_revision,
            open_copies=self._guard.open_copies,
            warnings=(*self._warnings, *((refusal[1],) if refusal else ()), *(*resting, *blocked, *full)[:MAX_SHOWN]),
        )

    async def reload(self, *, by: str) -> Reloaded:
        """Read flow.toml and the certificates again; the node goes on with what it has where they are wrong."""
        certificates = self._receiver.reload_certificates(force=True)
        kept_old = (certificates.problem,) if isinstance(certificates, KeptOld) else ()
        try:
            fresh = await asyncio.to_thread(load, self._configuration.directory)
        except ConfigurationRefused as refused:
            problems = tuple(str(problem) for problem in refused.errors)
            self._warnings = tuple(f"reload refused: {problem}" for problem in problems)
            log.error("node.reload_refused", problems=problems)
            return Reloaded(flow_revision=self._flow_revision, problems=problems)
        await self._note_flow(fresh.flow_text, by=by)
        policy = Policy(fresh.flow)
        self._policy = policy
        self.budgets.is_internal = policy.router.is_internal
        # Whoever changes the flow or a secret wants to see it tried.
        await self.budgets.resume()
        for identity in fresh.flow.identity:
            self.identities.tokens.forget_identity(identity.name)
        self._intake.set_policy(policy)
        self._receiver.set_policy(policy)
        troubled = list(self._dispatcher.troubles)
        self._dispatcher.set_policy(policy)
        for hop in troubled:
            # Whoever mends what kept a line waiting wants to see it go.
            await self.queue.retry(QueueFilter(hop=hop), by=by)
        needs_restart = _changed_settings(self._configuration, fresh)
        self._configuration = Configuration(
            node=self._configuration.node,
            flow=fresh.flow,
            flow_text=fresh.flow_text,
            directory=fresh.directory,
            warnings=fresh.warnings,
        )
        restart = tuple(f"changed, but only a restart takes it over: {name}" for name in needs_restart)
        self._warnings = (*restart, *(f"the old certificate is kept: {problem}" for problem in kept_old))
        self._run("reroute", self._reroute)
        log.info("node.reloaded", by=by, flow_revision=self._flow_revision, needs_restart=needs_restart)
        return Reloaded(flow_revision=self._flow_revision, needs_restart=needs_restart)

    @property
    def addresses(self) -> str:
        """Where each listener listens, for the ready line."""
        return " ".join(f"{name}={','.join(map(str, ends))}" for name, ends in self._receiver.addresses.items())

    async def _note_flow(self, text: str, *, by: str) -> None:
        newest = await self.store.flow()
        if newest is None or newest.text != text:
            newest = await self.store.save_flow(text, by=by, comment="read from flow.toml", at=self._clock())
        self._flow_revision = newest.number

    async def _reroute(self) -> None:
        moved = await reroute(self.store, Policy(self._configuration.flow))
        if moved:
            log.info("node.copies_rerouted", copies=moved)
            self._dispatcher.wake()

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_LOOK_SECONDS)
            self._receiver.reload_certificates()

    def _has_room(self) -> None:
        self._dispatcher.wake()

    def _is_own(self, ip: str, port: int) -> bool:
        """Whether an address is one of our listeners, also where a listener takes every address of the machine."""
        for ends in self._receiver.addresses.values():
            for end in ends:
                if end.port == port and (end.ip == ip or (end.ip in {"0.0.0.0", "::"} and is_own_address(ip))):
                    return True
        return False

    def _open_send_log(self, connector: Outbound) -> SessionLog | None:
        return SendLog(self._protocol_log, connector.name) if connector.protocol_log else None

    def _judge_flow(self, text: str) -> Sequence[Any]:
        return judge_flow(text, self._configuration.directory)

    def _count_final(self, copies: int) -> None:
        self._guard.open_copies -= copies

    def _run(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        task = asyncio.create_task(self._supervise(name, work), name=name)
        self._tasks = [t for t in self._tasks if not t.done()]
        self._tasks.append(task)

    async def _supervise(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Keep a part running: whatever a fault of ours does to it, the node goes on and says so."""
        while True:
            try:
                await work()
                return
            except StoreUnavailable as error:
                log.error("node.part_failed", part=name, reason=str(error))
            except Exception:
                log.exception("node.part_crashed", part=name)
            await asyncio.sleep(1.0)


async def _read_catalogue() -> None:
    """Microsoft's replies take their time to be read; the first refusal must not wait for it on the loop."""
    await asyncio.to_thread(find, "")


def _changed_settings(old: Configuration, new: Configuration) -> tuple[str, ...]:
    """Groups of posthouse.toml that differ: they are read at start only."""
    before, after = old.node, new.node
    return tuple(name for name in type(before).model_fields if getattr(before, name) != getattr(after, name))
