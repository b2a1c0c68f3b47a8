"""From a domain to hosts, from a host to addresses.

Source: RFC 5321 5.1 (MX, preference, implicit MX), RFC 7505 (null MX, 5.1.10), RFC 3463 (5.1.2, 5.4.4, 5.4.6).
Shape: `Resolver.exchangers` gives a domain's hosts in the order to try them, equal preferences shuffled;
`Resolver.addresses` gives a host's addresses. Answers are kept for their time to live.
Failures: `Unroutable` where DNS proves that there is no way, `LookupTrouble` for everything else (time-out, SERVFAIL).
Leaves to others: connecting, and trying the next address (``deliver.carrier``).

IPv4 comes before IPv6: receivers judge mail over IPv6 harder, and Microsoft refuses it from addresses without PTR.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby
from random import Random
from typing import Generic, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from posthouse.deliver.failure import LookupTrouble, Unroutable
from posthouse.net.names import to_ascii

DNS_PORT = 53
LIFETIME_SECONDS = 20.0
MAX_KEPT_SECONDS = 3600.0
NEGATIVE_KEPT_SECONDS = 60.0
SYSTEM_KEPT_SECONDS = 60.0
MAX_KEPT = 10_000
MAX_HOSTS = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Exchange:
    preference: int
    host: str


class _Cache(Generic[T]):
    """Values with an end of life."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, T]] = {}

    def get(self, key: str) -> T | None:
        found = self._kept.get(key)
        return found[1] if found is not None and self._monotonic() < found[0] else None

    def put(self, key: str, value: T, seconds: float) -> None:
        if len(self._kept) >= MAX_KEPT:
            now = self._monotonic()
            self._kept = {k: v for k, v in self._kept.items() if now < v[0]}
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
        self._kept[key] = (self._monotonic() + min(seconds, MAX_KEPT_SECONDS), value)


Addresses = tuple[str, ...] | Unroutable | LookupTrouble


class Resolver:
    """Look-ups through one name server, or through the system's."""

    def __init__(
        self,
        server: str | None = None,
        *,
        hostname: str = "",
        random: Random,
        monotonic: Callable[[], float] = time.monotonic,
        lifetime: float = LIFETIME_SECONDS,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            server: ``address`` or ``address:port`` (IPv6 in brackets where a port follows); None for the system's.
            hostname: Our own name: where a domain's MX names it, the mail has come home.
            random: Shuffles equal preferences.
            lifetime: Seconds for one look-up with all its repetitions.
        """
        self._server = server
        self._hostname = to_ascii(hostname)
        self._random = random
        self._lifetime = lifetime
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._exchanges: _Cache[tuple[_Exchange, ...] | Unroutable] = _Cache(monotonic)
        self._addresses: _Cache[tuple[str, ...] | Unroutable] = _Cache(monotonic)
        self._system: _Cache[tuple[str, ...]] = _Cache(monotonic)

    async def exchangers(self, domain: str) -> tuple[str, ...] | Unroutable | LookupTrouble:
        """Hosts that take mail for a domain, first choice first; at most `MAX_HOSTS`.

        Args:
            domain: Domain of a recipient, or an address literal in brackets.
        """
        literal = _literal(domain)
        if literal is not None:
            return (literal,)
        name = to_ascii(domain)
        found = self._exchanges.get(name)
        if found is None:
            answer = await self._ask_exchanges(name)
            if isinstance(answer, LookupTrouble):
                return answer
            found = answer
        if isinstance(found, Unroutable):
            return found
        return self._in_order(name, found)

    def _in_order(self, domain: str, exchanges: tuple[_Exchange, ...]) -> tuple[str, ...] | Unroutable:
        ours = [e.preference for e in exchanges if e.host == self._hostname]
        if ours:
            # RFC 5321 5.1: hosts as good as ourselves or worse would only send the mail back to us.
            exchanges = tuple(e for e in exchanges if e.preference < min(ours))
            if not exchanges:
                return Unroutable(
                    "5.4.6", f"the best mail exchanger of {domain} is this node, which has no route for it"
                )
        hosts: list[str] = []
        for _, group in groupby(exchanges, key=lambda e: e.preference):
            equals = [e.host for e in group]
            self._random.shuffle(equals)
            hosts += equals
        return tuple(dict.fromkeys(hosts))[:MAX_HOSTS]

    async def _ask_exchanges(self, domain: str) -> tuple[_Exchange, ...] | Unroutable | LookupTrouble:
        answer = await self._query(domain, dns.rdatatype.MX)
        if isinstance(answer, LookupTrouble | Unroutable):
            if isinstance(answer, Unroutable):
                self._exchanges.put(domain, answer, NEGATIVE_KEPT_SECONDS)
            return answer
        exchanges: tuple[_Exchange, ...] | Unroutable
        seconds = NEGATIVE_KEPT_SECONDS
        if answer is None or answer.rrset is None:
            exchanges = (_Exchange(0, domain),)
        else:
            seconds = float(answer.rrset.ttl)
            records = sorted((_Exchange(r.preference, _host(r.exchange)) for r in answer), key=lambda e: e.preference)
            exchanges = tuple(e for e in records if e.host)
            if not exchanges:
                exchanges = Unroutable("5.1.10", f"{domain} accepts no mail (null MX)")
        self._exchanges.put(domain, exchanges, seconds)
        return exchanges

    async def addresses(self, host: str) -> Addresses:
        """Addresses of a mail exchanger, by DNS alone."""
        if _is_address(host):
            return (host,)
        found = self._addresses.get(host)
        if found is not None:
            return found
        four, six = await asyncio.gather(self._query(host, dns.rdatatype.A), self._query(host, dns.rdatatype.AAAA))
        addresses: list[str] = []
        seconds = MAX_KEPT_SECONDS
        for answer in (four, six):
            if isinstance(answer, dns.resolver.Answer) and answer.rrset is not None:
                addresses += [str(record.address) for record in answer]
                seconds = min(seconds, float(answer.rrset.ttl))
        if addresses:
            self._addresses.put(host, tuple(addresses), seconds)
            return tuple(addresses)
        trouble = next((answer for answer in (four, six) if isinstance(answer, LookupTrouble)), None)
        if trouble is not None:
            return trouble
        nothing = Unroutable("5.4.4", f"the mail exchanger {host} has no address")
        self._addresses.put(host, nothing, NEGATIVE_KEPT_SECONDS)
        return nothing

    def known_system_addresses(self, host: str) -> tuple[str, ...] | None:
        """What `system_addresses` found lately, without waiting."""
        return self._system.get(host)

    async def system_addresses(self, host: str) -> tuple[str, ...] | LookupTrouble:
        """Addresses of a configured host, as every program on this machine sees it (hosts file included)."""
        if _is_address(host):
            self._system.put(host, (host,), MAX_KEPT_SECONDS)
            return (host,)
        loop = asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(
                loop.getaddrinfo(to_ascii(host), None, type=socket.SOCK_STREAM), self._lifetime
            )
        except TimeoutError:
            return LookupTrouble(f"the look-up of {host} took too long")
        except OSError as error:
            return LookupTrouble(f"the host {host} was not found: {(error.strerror or 'unknown').lower()}")
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))
        self._system.put(host, addresses, SYSTEM_KEPT_SECONDS)
        return addresses

    async def _query(
        self, name: str, kind: dns.rdatatype.RdataType
    ) -> dns.resolver.Answer | Unroutable | LookupTrouble | None:
        """One question; None where the name exists without such a record."""
        try:
            answer = await self._made().resolve(name + ".", kind, lifetime=self._lifetime, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return Unroutable("5.1.2", f"the domain {name} does not exist")
        except (dns.resolver.NoNameservers, dns.resolver.NoResolverConfiguration) as error:
            return LookupTrouble(f"DNS could not answer for {name}: {_first_line(error)}")
        except dns.exception.Timeout:
            return LookupTrouble(f"DNS did not answer for {name} within {self._lifetime:g} s")
        except (dns.exception.DNSException, UnicodeError) as error:
            return LookupTrouble(f"{name} could not be looked up: {_first_line(error)}")
        except OSError as error:
            return LookupTrouble(f"DNS cannot be reached: {(error.strerror or str(error)).lower()}")
        return answer if answer.rrset is not None else None

    def _made(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            if self._server is None:
                self._resolver = dns.asyncresolver.Resolver()
            else:
                ip, port = _server(self._server)
                self._resolver = dns.asyncresolver.Resolver(configure=False)
                self._resolver.nameservers = [ip]
                self._resolver.port = port
        return self._resolver


def _server(text: str) -> tuple[str, int]:
    if text.startswith("["):
        ip, _, port = text[1:].partition("]")
        return ip, int(port.removeprefix(":") or DNS_PORT)
    if text.count(":") == 1:
        ip, _, port = text.partition(":")
        return ip, int(port)
    return text, DNS_PORT


def _host(name: dns.name.Name) -> str:
    """Empty for the root, which is the null MX."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _literal(domain: str) -> str | None:
    """The address in ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    text = domain[1:-1]
    text = text[5:] if text[:5].lower() == "ipv6:" else text
    return text if _is_address(text) else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
