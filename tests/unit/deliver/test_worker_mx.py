"""Mail exchangers: what DNS says, and what follows from it."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from tests.unit.deliver.fake_dns import FakeDns, Zone
from tests.unit.deliver.jobs import MakeWorker, job, message, one
from tests.unit.deliver.scripted import Fault, Script, ScriptedServer

from posthouse.decide.outbound import Mx
from posthouse.deliver.failure import LookupTrouble, Unroutable
from posthouse.deliver.resolve import Resolver
from posthouse.mail.outcome import Deferred, Delivered, Failed, Scope


def connector(names: FakeDns, port: int, **settings: object) -> Mx:
    return Mx(
        name="mx", port=port, resolver=names.address, tls="none", connect_timeout=timedelta(seconds=2), **settings
    )  # type: ignore[arg-type]


def resolver(names: FakeDns, **more: object) -> Resolver:
    return Resolver(names.address, hostname="me.example", random=random.Random(1), lifetime=0.3, **more)  # type: ignore[arg-type]


LOCAL = ["127.0.0.1"]
DELIVERS: list[tuple[str, Zone]] = [
    ("MX", {("y.example", "MX"): ["10 mx.y.example."], ("mx.y.example", "A"): LOCAL}),
    ("no MX: the domain itself", {("y.example", "A"): LOCAL}),
    (
        "MX through a CNAME",
        {
            ("y.example", "CNAME"): ["z.example."],
            ("z.example", "MX"): ["1 mx.z.example."],
            ("mx.z.example", "A"): LOCAL,
        },
    ),
    (
        "host through a CNAME",
        {
            ("y.example", "MX"): ["10 mx.y.example."],
            ("mx.y.example", "CNAME"): ["h.example."],
            ("h.example", "A"): LOCAL,
        },
    ),
    (
        "a host without address is passed over",
        {("y.example", "MX"): ["10 dead.y.example.", "20 mx.y.example."], ("mx.y.example", "A"): LOCAL},
    ),
]


@pytest.mark.parametrize("zone", [z for _, z in DELIVERS], ids=[n for n, _ in DELIVERS])
async def test_a_message_finds_its_way(make_worker: MakeWorker, zone: Zone) -> None:
    async with FakeDns(zone) as names, ScriptedServer() as server:
        result = await one(make_worker(), connector(names, server.port))
    assert isinstance(result.outcome, Delivered), result.outcome
    assert server.messages[0][1] == ["<b@y.example>"]


async def test_an_address_literal_needs_no_dns(make_worker: MakeWorker) -> None:
    async with FakeDns({}) as names, ScriptedServer() as server:
        result = await one(make_worker(), connector(names, server.port), message(["b@[127.0.0.1]"]))
        assert names.asked == []
    assert isinstance(result.outcome, Delivered)


FAILS: list[tuple[str, Zone, str]] = [
    ("no such domain", {}, "5.1.2"),
    ("null MX", {("y.example", "MX"): ["0 ."]}, "5.1.10"),
    ("neither MX nor address", {("y.example", "TXT"): ['"v=spf1 -all"']}, "5.4.4"),
    ("MX hosts that do not exist", {("y.example", "MX"): ["10 mx.y.example."]}, "5.4.4"),
    ("the MX is this node", {("y.example", "MX"): ["10 me.example."], ("me.example", "A"): LOCAL}, "5.4.6"),
    (
        "better than this node there is none",
        {("y.example", "MX"): ["10 me.example.", "20 mx.y.example."], ("mx.y.example", "A"): LOCAL},
        "5.4.6",
    ),
]


@pytest.mark.parametrize(("zone", "status"), [c[1:] for c in FAILS], ids=[c[0] for c in FAILS])
async def test_what_dns_proves_is_permanent(make_worker: MakeWorker, zone: Zone, status: str) -> None:
    async with FakeDns(zone) as names, ScriptedServer() as server:
        outcome = (await one(make_worker(), connector(names, server.port))).outcome
    assert isinstance(outcome, Failed)
    assert outcome.status == status
    assert server.sessions == []


async def test_our_own_listener_is_recognised_by_its_address(make_worker: MakeWorker) -> None:
    zone: Zone = {("y.example", "MX"): ["10 mx.y.example."], ("mx.y.example", "A"): LOCAL}
    async with FakeDns(zone) as names, ScriptedServer() as server:
        worker = make_worker(is_own=lambda ip, port: port == server.port)
        outcome = (await one(worker, connector(names, server.port))).outcome
    assert isinstance(outcome, Failed) and outcome.status == "5.4.6"
    assert server.sessions == []


@pytest.mark.parametrize("trouble", [{"failing": ("y.example",)}, {"silent": ("y.example",)}], ids=str)
async def test_dns_trouble_is_temporary(trouble: dict[str, tuple[str, ...]]) -> None:
    async with FakeDns({}, **trouble) as names:
        answer = await resolver(names).exchangers("y.example")
    assert isinstance(answer, LookupTrouble)


async def test_dns_trouble_with_a_host_is_temporary(make_worker: MakeWorker) -> None:
    zone: Zone = {("y.example", "MX"): ["10 dead.y.example.", "20 mx.y.example."]}
    async with FakeDns(zone, failing=("mx.y.example",)) as names:
        outcome = (await one(make_worker(), connector(names, 25))).outcome
    assert isinstance(outcome, Deferred) and outcome.scope is Scope.HOP


async def test_the_next_preference_takes_over(make_worker: MakeWorker) -> None:
    zone: Zone = {
        ("y.example", "MX"): ["10 a.y.example.", "20 b.y.example."],
        ("a.y.example", "A"): ["127.0.0.2"],
        ("b.y.example", "A"): ["127.0.0.1"],
    }
    async with FakeDns(zone) as names, ScriptedServer() as server:
        result = await one(make_worker(), connector(names, server.port, source_address="127.0.0.1"))
    assert isinstance(result.outcome, Delivered)
    assert result.remote.startswith("b.y.example [127.0.0.1]")


async def test_a_busy_exchanger_gives_way_to_the_next(make_worker: MakeWorker) -> None:
    zone: Zone = {
        ("y.example", "MX"): ["10 a.y.example.", "20 b.y.example."],
        ("a.y.example", "A"): LOCAL,
        ("b.y.example", "A"): LOCAL,
    }
    busy = Script(on={"MAIL": b"421 4.3.2 busy\r\n"})
    async with FakeDns(zone) as names, ScriptedServer(busy, Script()) as server:
        result = await one(make_worker(), connector(names, server.port))
    assert isinstance(result.outcome, Delivered)
    assert result.remote.startswith("b.y.example")


async def test_an_unknown_outcome_ends_the_search(make_worker: MakeWorker) -> None:
    zone: Zone = {
        ("y.example", "MX"): ["10 a.y.example.", "20 b.y.example."],
        ("a.y.example", "A"): LOCAL,
        ("b.y.example", "A"): LOCAL,
    }
    async with FakeDns(zone) as names, ScriptedServer(Script(on={"CONTENT": Fault.DROP}), Script()) as server:
        result = await one(make_worker(), connector(names, server.port))
    assert type(result.outcome).__name__ == "Unknown"
    assert len(server.sessions) == 1


async def test_recipients_of_several_domains_go_their_own_ways(make_worker: MakeWorker) -> None:
    zone: Zone = {("y.example", "A"): LOCAL, ("z.example", "A"): LOCAL}
    async with FakeDns(zone) as names, ScriptedServer() as server:
        letter = message(["b@y.example", "c@nowhere.example", "d@z.example", "e@y.example"])
        results = await make_worker().deliver(job(letter, connector(names, server.port)))
    assert [type(r.outcome).__name__ for r in results] == ["Delivered", "Failed", "Delivered", "Delivered"]
    assert [recipients for _, recipients, _ in server.messages] == [
        ["<b@y.example>", "<e@y.example>"],
        ["<d@z.example>"],
    ]


async def test_equal_preferences_are_shuffled_and_unequal_ones_are_not() -> None:
    zone: Zone = {("y.example", "MX"): ["5 first.example.", "10 a.example.", "10 b.example.", "20 last.example."]}
    async with FakeDns(zone) as names:
        asked = resolver(names)
        orders = {await asked.exchangers("y.example") for _ in range(50)}
    assert orders == {
        ("first.example", "a.example", "b.example", "last.example"),
        ("first.example", "b.example", "a.example", "last.example"),
    }


async def test_answers_are_kept_for_their_time_to_live() -> None:
    now = [0.0]
    zone: Zone = {("y.example", "MX"): ["10 mx.y.example."], ("mx.y.example", "A"): LOCAL}
    async with FakeDns(zone, ttl=60) as names:
        asked = resolver(names, monotonic=lambda: now[0])
        for seconds, questions in ((0, 1), (59, 1), (61, 2)):
            now[0] = seconds
            await asked.exchangers("y.example")
            assert names.asked.count(("y.example", "MX")) == questions
        for seconds, questions in ((100, 1), (159, 1), (161, 2)):
            now[0] = seconds
            assert await asked.addresses("mx.y.example") == ("127.0.0.1",)
            assert names.asked.count(("mx.y.example", "A")) == questions


async def test_trouble_is_not_kept() -> None:
    async with FakeDns({("y.example", "A"): LOCAL}, failing=("y.example",)) as names:
        asked = resolver(names)
        assert isinstance(await asked.exchangers("y.example"), LookupTrouble)
        names.failing = ()
        assert await asked.exchangers("y.example") == ("y.example",)


async def test_ipv4_comes_before_ipv6() -> None:
    zone: Zone = {("mx.y.example", "AAAA"): ["2001:db8::1"], ("mx.y.example", "A"): ["192.0.2.1"]}
    async with FakeDns(zone) as names:
        assert await resolver(names).addresses("mx.y.example") == ("192.0.2.1", "2001:db8::1")


async def test_a_domain_beyond_ascii_is_asked_for_by_its_a_labels() -> None:
    async with FakeDns({("xn--bcher-kva.example", "MX"): ["0 ."]}) as names:
        answer = await resolver(names).exchangers("b\u00fccher.example")
    assert isinstance(answer, Unroutable) and answer.status == "5.1.10"


@pytest.mark.parametrize("domain", ["a..b", "x" * 64 + ".example", "[999.1.1.1]", "."])
async def test_a_domain_that_is_none_is_not_a_fault_of_ours(domain: str) -> None:
    async with FakeDns({}) as names:
        assert isinstance(await resolver(names).exchangers(domain), LookupTrouble | Unroutable)
