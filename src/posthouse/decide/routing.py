"""Which outbound connectors carry a copy, in Exchange's matching order.

Source: Exchange Online, "Set up connectors to route mail": exact recipient domain, then all accepted domains, then
wildcard. Full addresses come before exact domains, longer ``*.domain`` before shorter ones, ``*`` last; within one
rank the order of the file decides. Sender, inbound connector and size are conditions that a route must also meet.
Shape: `Router.route` answers with `Route` or `NoRoute`; both say why.
"""

from __future__ import annotations

from functools import lru_cache

from posthouse.decide.flow import Flow, RouteSettings
from posthouse.decide.outbound import Mx
from posthouse.decide.patterns import sender_is_listed
from posthouse.mail.address import Address
from posthouse.mail.route import NoRoute, Route

_RANK_ADDRESS, _RANK_EXACT, _RANK_ACCEPTED, _RANK_SUFFIX, _RANK_ALL = range(5)


class Router:
    """The routes of one revision of the flow, sorted by rank for each recipient domain."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._exact = frozenset(d.name for d in flow.domain)
        self._suffixes = tuple("." + d.name for d in flow.domain if d.subdomains)
        self._kinds = {c.name: c for c in flow.outbound}
        self._by_address = any("@" in p for r in flow.route for p in r.recipients)
        self._candidates = lru_cache(maxsize=8192)(self._rank)
        self._made = lru_cache(maxsize=8192)(self._make)

    def is_internal(self, domain: str) -> bool:
        """Whether a domain is an accepted domain."""
        return domain in self._exact or domain.endswith(self._suffixes)

    def route(self, sender: Address | None, recipient: Address, inbound: str, size_octets: int) -> Route | NoRoute:
        """Choose connectors for one copy.

        Args:
            sender: Reverse-path.
            recipient: Forward-path.
            inbound: Name of the inbound connector or account that brought the message.
            size_octets: Size of the content.
        """
        key = str(recipient).lower() if self._by_address else "@" + recipient.domain
        for pattern, settings in self._candidates(key):
            if _conditions_hold(settings, sender, inbound, size_octets):
                return self._made(settings.name, settings.connectors, recipient.domain, f"recipient matches {pattern}")
        if not self._flow.route and len(self._flow.outbound) == 1:
            only = self._flow.outbound[0].name
            return self._made("default", (only,), recipient.domain, "the only outbound connector")
        return NoRoute(f"no route of the flow matches {recipient}")

    def _rank(self, recipient: str) -> tuple[tuple[str, RouteSettings], ...]:
        domain = recipient.rpartition("@")[2]
        found: list[tuple[tuple[int, int, int], str, RouteSettings]] = []
        for order, settings in enumerate(self._flow.route):
            ranks = [(self._rank_of(pattern, recipient, domain), pattern) for pattern in settings.recipients]
            matching = [(rank, pattern) for rank, pattern in ranks if rank is not None]
            if matching:
                (kind, length), pattern = min(matching)
                found.append(((kind, length, order), pattern, settings))
        found.sort(key=lambda item: item[0])
        return tuple((pattern, settings) for _, pattern, settings in found)

    def _rank_of(self, pattern: str, recipient: str, domain: str) -> tuple[int, int] | None:
        if pattern == "*":
            return (_RANK_ALL, 0)
        if pattern == "accepted":
            return (_RANK_ACCEPTED, 0) if self.is_internal(domain) else None
        if pattern.startswith("*."):
            return (_RANK_SUFFIX, -len(pattern)) if domain.endswith(pattern[1:]) else None
        if pattern.startswith("@*."):
            return (_RANK_SUFFIX, -len(pattern)) if domain.endswith(pattern[2:]) else None
        if pattern.startswith("@"):
            return (_RANK_EXACT, 0) if pattern[1:] == domain else None
        if "@" in pattern:
            return (_RANK_ADDRESS, 0) if pattern.lower() == recipient else None
        return (_RANK_EXACT, 0) if pattern == domain else None

    def _make(self, name: str, connectors: tuple[str, ...], domain: str, reason: str) -> Route:
        first = connectors[0]
        hop = f"{first}/{domain}" if isinstance(self._kinds[first], Mx) else first
        if len(connectors) > 1:
            # A waiting line with fail-over is its own line: it must not share the fate of the first connector alone.
            hop = f"{hop}+{name}"
        return Route(name, connectors, hop, reason)


def _conditions_hold(route: RouteSettings, sender: Address | None, inbound: str, size_octets: int) -> bool:
    if route.inbound and inbound not in route.inbound:
        return False
    if route.larger_than is not None and size_octets <= route.larger_than:
        return False
    if route.smaller_than is not None and size_octets >= route.smaller_than:
        return False
    return not route.senders or sender_is_listed(route.senders, sender)
