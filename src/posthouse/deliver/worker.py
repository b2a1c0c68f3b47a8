"""Carry a job: its connectors in order, fail-over recipient by recipient.

Source: the queue's port (``queue.port``).
Shape: `Worker` implements `Deliverer`. It keeps one carrier for each outbound connector and builds it anew when the
connector's settings change; sessions of the old settings finish what they carry.
Failures: results; an exception is a fault of ours.
Leaves to others: when (``queue``), what follows (``queue.schedule``), each connector's way (``deliver.carrier``).

The next connector is tried for a recipient only where the whole hop or the connection failed, and never after an
outcome that may have been a delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import assert_never

import structlog

from posthouse.decide.outbound import Acs, Direct, Graph, Hve, Mx, Outbound, Relay, Smarthost, Submission
from posthouse.decide.ways import Way
from posthouse.deliver.carrier import Carrier, FixedHosts, IsOwn, MailExchangers, TenantExchangers
from posthouse.deliver.classify import may_try_elsewhere
from posthouse.deliver.dial import Dialer
from posthouse.deliver.graph.carrier import GraphCarrier
from posthouse.deliver.handover import is_cut_off
from posthouse.deliver.login import login_source
from posthouse.deliver.patience import Patience
from posthouse.deliver.pool import Pool
from posthouse.deliver.resolve import Resolver
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.senders import shape_sender
from posthouse.deliver.smtp import SessionLog
from posthouse.deliver.tokens import TokenSource
from posthouse.mail.message import Message, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Failed, Outcome, Scope, Unknown
from posthouse.microsoft.clouds import CLOUDS
from posthouse.queue.port import Budgeting, Job, NoRoom, Permit

log = structlog.get_logger()

OpenLog = Callable[[Outbound], SessionLog | None]
_MAX_TRIED_CHARACTERS = 300


def _no_log(_: Outbound) -> SessionLog | None:
    return None


def _nobody(_ip: str, _port: int) -> bool:
    return False


class Worker:
    """Delivers for the whole node."""

    def __init__(
        self,
        *,
        hostname: str,
        secrets: SecretOpener,
        random: Random,
        budgets: Budgeting,
        tokens: TokenSource | None = None,
        is_own: IsOwn = _nobody,
        open_log: OpenLog = _no_log,
        patience: Patience | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            hostname: For EHLO where a connector names nothing else, and to recognise ourselves in MX records.
            secrets: Opens references of the flow.
            budgets: Grants what a further connector of a route may take.
            random: Shuffles mail exchangers of equal preference.
            tokens: Access tokens; one source for the node.
            is_own: Tells our own listeners, so that no message goes in circles.
            open_log: Gives the protocol log of a new session, or None.
            patience: Time-outs; RFC 5321's by default.
        """
        self._hostname = hostname
        self._secrets = secrets
        self._random = random
        self._budgets = budgets
        self._tokens = tokens or TokenSource(secrets)
        self._is_own = is_own
        self._open_log = open_log
        self._patience = patience or Patience()
        self._carriers: dict[str, Carrier] = {}
        self._resolvers: dict[str | None, Resolver] = {}

    async def deliver(self, job: Job) -> Sequence[AttemptResult]:
        """Attempt delivery once; see `posthouse.queue.port.Deliverer`."""
        lease = job.lease
        until = asyncio.get_running_loop().time() + self._patience.attempt
        if len(job.ways) == 1:
            results = await self._carry_permitted(job.ways[0], job.permit, lease.message, lease.waiting, until)
        else:
            results = await self._fail_over(job, until)
        return [results[w.index] for w in lease.waiting]

    def close(self) -> None:
        """Close what is idle now and the rest as it is given back."""
        for carrier in self._carriers.values():
            carrier.close()
        self._carriers.clear()

    async def _fail_over(self, job: Job, until: float) -> dict[int, AttemptResult]:
        message, left = job.lease.message, job.lease.waiting
        results: dict[int, AttemptResult] = {}
        tried: list[str] = []
        unused = job.permit
        try:
            for way in sorted(job.ways, key=lambda w: self._carrier(w).is_down):
                permit = await self._permit(job, way, left)
                unused = None if permit is unused else unused
                if isinstance(permit, NoRoom):
                    for index, result in _no_room(way, left, permit).items():
                        if _rather_waits(results.get(index), way, permit):
                            results[index] = _with_detail(result, tried=tried) if tried else result
                    tried = [*tried, f"{way.name}: {permit.reason}"]
                    continue
                carried = await self._carry_whatever_comes(way, permit, message, left, until)
                for index, result in carried.items():
                    results[index] = _with_detail(result, tried=tried) if tried else result
                left = tuple(w for w in left if may_try_elsewhere(results[w.index].outcome))
                if is_cut_off() or not left or asyncio.get_running_loop().time() > until:
                    break
                tried = [*tried, f"{way.name}: {_said(results[left[0].index].outcome)}"]
        except asyncio.CancelledError:
            # The node stops between two ways: who was carried stays carried, the others wait.
            stopped = Deferred(reason="the node stopped before the attempt", scope=Scope.MESSAGE)
            first = job.ways[0].name
            waiting = {w.index: AttemptResult(index=w.index, outcome=stopped, connector=first) for w in left}
            results = waiting | results
        finally:
            if unused is not None:
                await self._budgets.give_back(unused)
        return results

    async def _carry_whatever_comes(
        self, way: Way, permit: Permit | None, message: Message, waiting: Sequence[Waiting], until: float
    ) -> dict[int, AttemptResult]:
        """Carry. What breaks off here must not take away what an earlier way is known to have done."""
        try:
            return await self._carry_permitted(way, permit, message, waiting, until)
        except asyncio.CancelledError:
            then, mailbox = way.connector.on_unknown, permit.mailbox if permit is not None else ""
            reason = "the node stopped during the attempt"
            outcome: Outcome = Unknown(reason=reason, retry=then == "retry", verify=then == "verify", mailbox=mailbox)
        except Exception as error:  # a fault of ours: the copies wait for their next attempt
            log.exception("deliver.attempt_crashed", message_id=message.id, connector=way.name)
            outcome = Deferred(reason=f"internal fault during the attempt: {type(error).__name__}")
        return {w.index: AttemptResult(index=w.index, outcome=outcome, connector=way.name) for w in waiting}

    async def _permit(self, job: Job, way: Way, waiting: Sequence[Waiting]) -> Permit | NoRoom | None:
        if way is job.ways[0] and job.permit is not None:
            return job.permit
        if not way.is_microsoft:
            return None
        return await self._budgets.take(way, job.lease.message.envelope.sender, waiting)

    async def _carry_permitted(
        self, way: Way, permit: Permit | None, message: Message, waiting: Sequence[Waiting], until: float
    ) -> dict[int, AttemptResult]:
        """Carry, and let the budgets hear of this way's own results, whatever another way makes of it later."""
        if permit is None:
            return await self._carry(way, message, waiting, until, "")
        results: dict[int, AttemptResult] = {}
        try:
            results = await self._carry(way, message, waiting, until, permit.mailbox)
        finally:
            await self._budgets.finish(permit, list(results.values()))
        if permit.mailbox:
            results = {index: _with_detail(result, mailbox=permit.mailbox) for index, result in results.items()}
        return results

    async def _carry(
        self, way: Way, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        if way.connector.paused:
            outcome = Deferred(reason=f"the connector {way.name} is paused", scope=Scope.HOP)
            return {w.index: AttemptResult(index=w.index, outcome=outcome, connector=way.name) for w in waiting}
        shaped = await shape_sender(way, message, mailbox) if way.is_microsoft else message
        return await self._carrier(way).carry(shaped, waiting, until, mailbox)

    def _carrier(self, way: Way) -> Carrier:
        found = self._carriers.get(way.name)
        if found is not None and (found.way is way or found.way == way):
            return found
        if found is not None:
            found.close()
        made = self._carriers[way.name] = self._make(way)
        return made

    def _make(self, way: Way) -> Carrier:
        match way.connector:
            case Graph():
                return GraphCarrier(way, self._tokens, self._patience)
            case Mx(resolver=server):
                return MailExchangers(way, self._pool(way), self._resolver(server), self._is_own)
            case Smarthost(hosts=hosts):
                return FixedHosts(way, hosts, self._pool(way), self._resolver(None), self._is_own)
            case (
                Relay(host=None, domain=str() as domain, resolver=server)
                | Direct(host=None, domain=str() as domain, resolver=server)
            ):
                return TenantExchangers(way, domain, self._pool(way), self._resolver(server), self._is_own)
            case Submission() | Hve() | Acs() | Relay() | Direct():
                return FixedHosts(way, (submission_host(way),), self._pool(way), self._resolver(None), self._is_own)
            case never:
                assert_never(never)

    def _pool(self, way: Way) -> Pool:
        dialer = Dialer(
            way.connector,
            hostname=self._hostname,
            login=login_source(way, self._secrets, self._tokens),
            patience=self._patience,
            open_log=self._open_log,
        )
        return Pool(
            dialer.open, max_connections=way.connections, max_messages=way.connector.max_messages_per_connection
        )

    def _resolver(self, server: str | None) -> Resolver:
        found = self._resolvers.get(server)
        if found is None:
            found = self._resolvers[server] = Resolver(server, hostname=self._hostname, random=self._random)
        return found


def submission_host(way: Way) -> str:
    """The host of a way by SMTP that has one: as configured, or the cloud's."""
    connector = way.connector
    cloud = CLOUDS[way.identity.cloud if way.identity is not None else "worldwide"]
    match connector:
        case Submission(host=host):
            return host or cloud.submission_host
        case Hve(host=host):
            return host or cloud.hve_host
        case Acs(host=host):
            return host or cloud.acs_host
        case Relay(host=host) | Direct(host=host):
            return host or ""
        case _:
            return ""


def _no_room(way: Way, waiting: Sequence[Waiting], room: NoRoom) -> dict[int, AttemptResult]:
    outcome = Deferred(reason=room.reason, scope=Scope.MAILBOX, retry_after=room.wait)
    return {w.index: AttemptResult(index=w.index, outcome=outcome, connector=way.name) for w in waiting}


def _rather_waits(known: AttemptResult | None, way: Way, room: NoRoom) -> bool:
    """Whether a copy waits for the room of this way, whatever an earlier one said.

    A way that has room soon is better than one that refuses for an hour, and a refusal is final only where no other way
    is left.
    """
    if known is None or isinstance(known.outcome, Failed):
        return True
    if not isinstance(known.outcome, Deferred) or room.wait > way.connector.failover_after:
        return False
    after = known.outcome.retry_after
    return after is None or room.wait < after


def _said(outcome: Outcome) -> str:
    text = outcome.reason if isinstance(outcome, Deferred | Failed) else ""
    if isinstance(outcome, Deferred | Failed) and outcome.reply is not None:
        text = f"{text}: {outcome.reply}"
    return text[:_MAX_TRIED_CHARACTERS]


def _with_detail(result: AttemptResult, **more: str | list[str]) -> AttemptResult:
    return replace(result, detail={**result.detail, **more})
