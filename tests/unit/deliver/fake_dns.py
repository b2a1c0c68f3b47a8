"""A name server on this machine that knows what a test tells it."""

from __future__ import annotations

import asyncio
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = dict[tuple[str, str], list[str]]


class FakeDns(asyncio.DatagramProtocol):
    """Use as ``async with FakeDns({("y.example", "MX"): ["10 mx.y.example."]}) as names``.

    A name with a record of any type exists; others get NXDOMAIN. `failing` names get SERVFAIL, `silent` ones nothing.
    """

    def __init__(
        self, zone: Zone, *, failing: tuple[str, ...] = (), silent: tuple[str, ...] = (), ttl: int = 60
    ) -> None:
        self.zone, self.failing, self.silent, self.ttl = zone, failing, silent, ttl
        self.asked: list[tuple[str, str]] = []
        self.address = ""

    async def __aenter__(self) -> FakeDns:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        name = question.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if name in self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(answer, name, kind)
        self._transport.sendto(answer.to_wire(), peer)

    def _fill(self, answer: dns.message.Message, name: str, kind: str) -> None:
        alias = self.zone.get((name, "CNAME"))
        if alias:
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", *alias))
            name = alias[0].rstrip(".")
        records = self.zone.get((name, kind))
        if records:
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *records))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
