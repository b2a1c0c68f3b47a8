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
from random import Random
from typing import assert_never

from posthouse.decide.flow import Mx, Smarthost, Submission
from posthouse.deliver.carrier import Carrier, FixedHosts, IsOwn, MailExchangers
from posthouse.deliver.classify import may_try_elsewhere
from posthouse.deliver.dial import Dialer, Outbound
from posthouse.deliver.login import login_source
from posthouse.deliver.patience import Patience
from posthouse.deliver.pool import Pool
from posthouse.deliver.resolve import Resolver
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.smtp import SessionLog
from posthouse.deliver.tokens import TokenSource
from posthouse.mail.message import Message, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Outcome, Scope
from posthouse.queue.port import Job

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
        tokens: TokenSource | None = None,
        is_own: IsOwn = _nobody,
        open_log: OpenLog = _no_log,
        patience: Patience | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            hostname: For EHLO where a connector names nothing else, and to recognise ourselves in MX records.
            secrets: Opens references of the flow.
            random: Shuffles mail exchangers of equal preference.
            tokens: Access tokens; one source for the node.
            is_own: Tells our own listeners, so that no message goes in circles.
            open_log: Gives the protocol log of a new session, or None.
            patience: Time-outs; RFC 5321's by default.
        """
        self._hostname = hostname
        self._secrets = secrets
        self._random = random
        self._tokens = tokens or TokenSource()
        self._is_own = is_own
        self._open_log = open_log
        self._patience = patience or Patience()
        self._carriers: dict[str, Carrier] = {}
        self._resolvers: dict[str | None, Resolver] = {}

    async def deliver(self, job: Job) -> Sequence[AttemptResult]:
        """Attempt delivery once; see `posthouse.queue.port.Deliverer`."""
        lease = job.lease
        until = asyncio.get_running_loop().time() + self._patience.attempt
        if len(job.connectors) == 1:
            results = await self._carry(job.connectors[0], lease.message, lease.waiting, until)
        else:
            results = await self._fail_over(job.connectors, lease.message, lease.waiting, until)
        return [results[w.index] for w in lease.waiting]

    def close(self) -> None:
        """Close what is idle now and the rest as it is given back."""
        for carrier in self._carriers.values():
            carrier.pool.close()
        self._carriers.clear()

    async def _fail_over(
        self, connectors: Sequence[Outbound], message: Message, waiting: Sequence[Waiting], until: float
    ) -> dict[int, AttemptResult]:
        results: dict[int, AttemptResult] = {}
        left = waiting
        tried: list[str] = []
        for connector in sorted(connectors, key=lambda c: self._carrier(c).is_down):
            for index, result in (await self._carry(connector, message, left, until)).items():
                results[index] = _with_tried(result, tried) if tried else result
            left = [w for w in left if may_try_elsewhere(results[w.index].outcome)]
            if not left or asyncio.get_running_loop().time() > until:
                break
            tried = [*tried, f"{connector.name}: {_said(results[left[0].index].outcome)}"]
        return results

    async def _carry(
        self, connector: Outbound, message: Message, waiting: Sequence[Waiting], until: float
    ) -> dict[int, AttemptResult]:
        if connector.paused:
            outcome = Deferred(reason=f"the connector {connector.name} is paused", scope=Scope.HOP)
            return {w.index: AttemptResult(index=w.index, outcome=outcome, connector=connector.name) for w in waiting}
        return await self._carrier(connector).carry(message, waiting, until)

    def _carrier(self, connector: Outbound) -> Carrier:
        found = self._carriers.get(connector.name)
        if found is not None and (found.connector is connector or found.connector == connector):
            return found
        if found is not None:
            found.pool.close()
        made = self._carriers[connector.name] = self._make(connector)
        return made

    def _make(self, connector: Outbound) -> Carrier:
        dialer = Dialer(
            connector,
            hostname=self._hostname,
            login=login_source(connector, self._secrets, self._tokens),
            patience=self._patience,
            open_log=self._open_log,
        )
        pool = Pool(
            dialer.open,
            max_connections=connector.max_connections,
            max_messages=connector.max_messages_per_connection,
        )
        match connector:
            case Mx(resolver=server):
                return MailExchangers(connector, pool, self._resolver(server), self._is_own)
            case Smarthost(hosts=hosts):
                return FixedHosts(connector, hosts, pool, self._resolver(None), self._is_own)
            case Submission(host=host):
                return FixedHosts(connector, (host,), pool, self._resolver(None), self._is_own)
            case never:
                assert_never(never)

    def _resolver(self, server: str | None) -> Resolver:
        found = self._resolvers.get(server)
        if found is None:
            found = self._resolvers[server] = Resolver(server, hostname=self._hostname, random=self._random)
        return found


def _said(outcome: Outcome) -> str:
    text = outcome.reason if isinstance(outcome, Deferred) else ""
    if isinstance(outcome, Deferred) and outcome.reply is not None:
        text = f"{text}: {outcome.reply}"
    return text[:_MAX_TRIED_CHARACTERS]


def _with_tried(result: AttemptResult, tried: list[str]) -> AttemptResult:
    return AttemptResult(
        index=result.index,
        outcome=result.outcome,
        connector=result.connector,
        remote=result.remote,
        detail={**result.detail, "tried": tried},
    )
