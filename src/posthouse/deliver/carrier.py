"""Carry one message over one outbound connector: its hosts in order, until nothing more can be gained.

Source: RFC 5321 5.1 (try the next address).
Shape: `Carrier.carry` gives exactly one result for each recipient. `SmtpCarrier` is what all ways by SMTP share:
`FixedHosts` serves configured hosts, `TenantExchangers` a tenant's MX, `MailExchangers` asks DNS for each domain.
Failures: results.
Leaves to others: one address (``deliver.handover``), the choice among connectors (``deliver.worker``).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from posthouse.decide.outbound import Graph
from posthouse.decide.ways import Way
from posthouse.deliver.classify import classify_lookup, classify_session, may_try_next_address
from posthouse.deliver.failure import LookupTrouble, SessionFailure, Unroutable
from posthouse.deliver.handover import hand_over, is_cut_off
from posthouse.deliver.pool import Pool
from posthouse.deliver.resolve import Resolver
from posthouse.deliver.target import Target
from posthouse.mail.message import Message, Waiting
from posthouse.mail.outcome import AttemptResult, Outcome
from posthouse.wire.smtp.client_events import Stage

MAX_ADDRESSES = 10
"""Addresses tried in one attempt."""
DOWN_SECONDS = 30.0
"""A host without a session comes last for this long."""
_MAX_DOWN = 10_000

IsOwn = Callable[[str, int], bool]
"""Whether an address and port belongs to one of this node's own listeners."""


class Trip:
    """One message on its way: who is left, and what is known so far.

    Attributes:
        left: Recipients that another host may still help.
        results: By index of the recipient.
        tried: Number of addresses.
        until: Time of the loop after which no further address is tried.
        mailbox: The mailbox that sends, where one logs in.
    """

    __slots__ = ("left", "mailbox", "message", "results", "tried", "until")

    def __init__(self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str = "") -> None:
        self.mailbox = mailbox
        self.message = message
        self.left = waiting
        self.results: dict[int, AttemptResult] = {}
        self.tried = 0
        self.until = until


class Carrier(ABC):
    """One way out at work.

    Attributes:
        way: Its settings, identity and limits.
    """

    def __init__(self, way: Way) -> None:
        self.way = way

    @property
    def is_down(self) -> bool:
        """Everything it could try failed a moment ago: another connector is the better first choice."""
        return False

    @abstractmethod
    async def carry(
        self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        """Attempt delivery once, for all of `waiting` in one transaction where that is possible.

        Args:
            message: Already in the shape that the connector's sender handling asks for.
            until: Time of the loop after which nothing further is tried.
            mailbox: The mailbox that sends; empty where none does.
        """

    @abstractmethod
    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""


class SmtpCarrier(Carrier):
    """A way by SMTP.

    Attributes:
        pool: Its sessions.
    """

    def __init__(self, way: Way, pool: Pool, resolver: Resolver, is_own: IsOwn) -> None:
        super().__init__(way)
        self.connector = way.connector
        self.pool = pool
        self._resolver = resolver
        self._is_own = is_own
        self._down: dict[str, float] = {}

    def close(self) -> None:
        self.pool.close()

    @abstractmethod
    def came_home(self, target: Target) -> Outcome:
        """What it means that a host is this node itself."""

    async def over_addresses(self, trip: Trip, host: str, ips: Iterable[str]) -> bool:
        """Try the addresses of one host. True when no further host need be tried."""
        for ip in ips:
            target = Target(host, ip, self._port, trip.mailbox)
            if self._is_own(ip, target.port):
                self.settle(trip, self.came_home(target), str(target))
                continue
            if trip.tried and (trip.tried >= MAX_ADDRESSES or _now() > trip.until):
                return True
            trip.tried += 1
            results, failure = await hand_over(self.way, self.pool, target, trip.message, trip.left)
            for result in results:
                trip.results[result.index] = result
            if is_cut_off():
                return True
            if failure is None:
                self._down.pop(host, None)
            else:
                self._note_down(host)
                if failure.is_ours or _is_refused_login(failure):
                    return True
            trip.left = [w for w in trip.left if may_try_next_address(trip.results[w.index].outcome)]
            if not trip.left:
                return True
        return False

    @property
    def _port(self) -> int:
        assert not isinstance(self.connector, Graph)  # which does not speak SMTP
        return self.connector.port

    def healthy_first(self, hosts: Sequence[str]) -> Sequence[str]:
        """Hosts that failed a moment ago come last."""
        return sorted(hosts, key=self._is_host_down) if self._down else hosts

    def _note_down(self, host: str) -> None:
        now = _now()
        if len(self._down) >= _MAX_DOWN:
            self._down = {known: until for known, until in self._down.items() if now < until}
        self._down[host] = now + DOWN_SECONDS

    def _is_host_down(self, host: str) -> bool:
        until = self._down.get(host)
        if until is None:
            return False
        if _now() < until:
            return True
        del self._down[host]
        return False

    def settle(self, trip: Trip, outcome: Outcome, remote: str = "") -> None:
        """Give all that are left the same result."""
        for w in trip.left:
            trip.results[w.index] = AttemptResult(
                index=w.index, outcome=outcome, connector=self.connector.name, remote=remote
            )


class FixedHosts(SmtpCarrier):
    """Hosts from the configuration: smart hosts, and Microsoft's submission hosts."""

    def __init__(self, way: Way, hosts: Sequence[str], pool: Pool, resolver: Resolver, is_own: IsOwn) -> None:
        super().__init__(way, pool, resolver, is_own)
        self._hosts = tuple(hosts)

    @property
    def is_down(self) -> bool:
        return bool(self._down) and all(self._is_host_down(host) for host in self._hosts)

    async def carry(
        self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        trip = Trip(message, waiting, until, mailbox)
        for host in self.healthy_first(self._hosts):
            ips = self._resolver.known_system_addresses(host)
            if ips is None:
                found = await self._resolver.system_addresses(host)
                if isinstance(found, LookupTrouble):
                    self.settle(trip, classify_lookup(found))
                    continue
                ips = found
            if await self.over_addresses(trip, host, ips):
                break
        return trip.results

    def came_home(self, target: Target) -> Outcome:
        cause = f"{target} is a listener of this node itself; the message would go in circles"
        return classify_session(SessionFailure(Stage.CONNECT, cause, is_ours=True))


class MailExchangers(SmtpCarrier):
    """Hosts from DNS, domain by domain: ``mx``."""

    async def carry(
        self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        by_domain: dict[str, list[Waiting]] = {}
        for w in waiting:
            by_domain.setdefault(w.recipient.address.domain, []).append(w)
        results: dict[int, AttemptResult] = {}
        for domain, group in by_domain.items():
            results |= await self.carry_to(domain, Trip(message, group, until, mailbox))
        return results

    async def carry_to(self, domain: str, trip: Trip) -> dict[int, AttemptResult]:
        """Carry over the exchangers of one domain."""
        hosts = await self._resolver.exchangers(domain)
        if isinstance(hosts, Unroutable | LookupTrouble):
            self.settle(trip, classify_lookup(hosts))
            return trip.results
        problems: list[Unroutable | LookupTrouble] = []
        for host in self.healthy_first(hosts):
            ips = await self._resolver.addresses(host)
            if isinstance(ips, Unroutable | LookupTrouble):
                problems.append(ips)
            elif await self.over_addresses(trip, host, ips):
                break
        if not trip.results:
            # No host had an address. Only if all of them are proven to have none is that for good.
            trouble = next((p for p in problems if isinstance(p, LookupTrouble)), problems[0])
            self.settle(trip, classify_lookup(trouble))
        return trip.results

    def came_home(self, target: Target) -> Outcome:
        reason = f"the mail exchanger {target} is this node itself, which has no other route for the domain"
        return classify_lookup(Unroutable("5.4.6", reason))


class TenantExchangers(MailExchangers):
    """The MX of one tenant, for all recipients: ``relay`` and ``direct``."""

    def __init__(self, way: Way, domain: str, pool: Pool, resolver: Resolver, is_own: IsOwn) -> None:
        super().__init__(way, pool, resolver, is_own)
        self._domain = domain

    async def carry(
        self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        return await self.carry_to(self._domain, Trip(message, waiting, until, mailbox))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_refused_login(failure: SessionFailure) -> bool:
    """The same log-in would be refused by the next host too, and each refusal brings the account nearer to a lock."""
    return failure.stage is Stage.AUTH and failure.reply is not None and failure.reply.is_permanent
