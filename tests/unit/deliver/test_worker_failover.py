"""Which host and which connector comes next, and when none may."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.unit.deliver.jobs import MakeWorker, Unlimited, job, message, one, smarthost
from tests.unit.deliver.scripted import Answer, Fault, Script, ScriptedServer

from posthouse.decide.outbound import Submission
from posthouse.decide.ways import Way
from posthouse.deliver.patience import Patience
from posthouse.mail.address import Address
from posthouse.mail.message import Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Delivered, Failed, Scope, Unknown
from posthouse.queue.port import NoRoom, Permit

MOVES_ON: list[tuple[str, Script]] = [
    ("refused in the greeting", Script(greeting=b"554 no\r\n")),
    ("4xx in the greeting", Script(greeting=b"450 later\r\n")),
    ("drop before the greeting", Script(greeting=Fault.DROP)),
    ("421 at MAIL", Script(on={"MAIL": b"421 4.3.2 closing\r\n"})),
    ("drop at RCPT", Script(on={"RCPT": Fault.DROP})),
    ("log-in wanted", Script(on={"MAIL": b"530 5.7.57 Client not authenticated\r\n"})),
    ("432", Script(on={"CONTENT": b"432 4.3.2 Concurrent connections limit exceeded\r\n"})),
]
STAYS: list[tuple[str, dict[str, Answer], type]] = [
    ("no answer to the final dot", {"CONTENT": Fault.DROP}, Unknown),
    ("5xx at RCPT", {"RCPT": b"550 5.1.1 unknown\r\n"}, Failed),
    ("greylisted at RCPT", {"RCPT": b"450 4.2.0 greylisted\r\n"}, Deferred),
    ("5xx at the content", {"CONTENT": b"554 5.6.0 no\r\n"}, Failed),
]


@pytest.mark.parametrize("script", [s for _, s in MOVES_ON], ids=[n for n, _ in MOVES_ON])
async def test_the_next_connector_takes_over_where_the_hop_failed(make_worker: MakeWorker, script: Script) -> None:
    async with ScriptedServer(script) as first, ScriptedServer() as second:
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        (result,) = await make_worker().deliver(job(message(), *connectors))
    assert isinstance(result.outcome, Delivered)
    assert result.connector == "second"
    tried = result.detail["tried"]
    assert isinstance(tried, list) and tried[0].startswith("first: ")


@pytest.mark.parametrize(("on", "kind"), [c[1:] for c in STAYS], ids=[c[0] for c in STAYS])
async def test_the_next_connector_is_not_asked_otherwise(
    make_worker: MakeWorker, on: dict[str, Answer], kind: type
) -> None:
    async with ScriptedServer(Script(on=on)) as first, ScriptedServer() as second:
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        (result,) = await make_worker().deliver(job(message(), *connectors))
    assert isinstance(result.outcome, kind)
    assert result.connector == "first"
    assert second.sessions == []


async def test_recipients_move_on_one_by_one(make_worker: MakeWorker) -> None:
    replies = iter([b"250 Ok\r\n", b"550 5.1.1 unknown\r\n", b"421 4.3.2 closing\r\n"])
    async with ScriptedServer(Script(on={"RCPT": lambda _: next(replies)})) as first, ScriptedServer() as second:
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        letter = message(["b@y.example", "c@y.example", "d@y.example"])
        results = await make_worker().deliver(job(letter, *connectors))
    assert [type(r.outcome).__name__ for r in results] == ["Delivered", "Failed", "Delivered"]
    assert [r.connector for r in results] == ["second", "first", "second"]
    assert second.messages[0][1] == ["<b@y.example>", "<d@y.example>"]


async def test_a_connector_that_failed_a_moment_ago_comes_second(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(greeting=b"554 no\r\n")) as first, ScriptedServer() as second:
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        worker = make_worker()
        for _ in range(3):
            (result,) = await worker.deliver(job(message(), *connectors))
            assert isinstance(result.outcome, Delivered)
    assert len(first.sessions) == 1


async def test_when_all_failed_the_last_word_counts_and_all_are_named(make_worker: MakeWorker) -> None:
    async with (
        ScriptedServer(Script(greeting=b"554 first\r\n")) as first,
        ScriptedServer(Script(greeting=b"554 second\r\n")) as second,
    ):
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        (result,) = await make_worker().deliver(job(message(), *connectors))
    assert isinstance(result.outcome, Deferred)
    assert result.outcome.reply is not None and result.outcome.reply.text == "second"
    assert result.detail["tried"] == ["first: the greeting was refused: 554 first"]


async def test_the_next_host_of_a_smart_host_takes_over(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        connector = smarthost(server.port, hosts=("127.0.0.2", "127.0.0.1"), source_address="127.0.0.1")
        worker = make_worker()
        result = await one(worker, connector)
        assert isinstance(result.outcome, Delivered)
        assert result.remote.startswith("127.0.0.1 ")
    assert len(server.sessions) == 1


async def test_an_attempt_that_took_too_long_tries_nothing_further(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(greeting=Fault.SILENCE)) as first, ScriptedServer() as second:
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        worker = make_worker(Patience(greeting=0.1, attempt=0.05))
        (result,) = await worker.deliver(job(message(), *connectors))
    assert isinstance(result.outcome, Deferred)
    assert result.connector == "first"


async def test_a_paused_connector_is_left_alone(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        outcome = (await one(make_worker(), smarthost(server.port, paused=True))).outcome
    assert isinstance(outcome, Deferred) and "paused" in outcome.reason
    assert server.sessions == []


async def test_mail_is_never_handed_to_ourselves(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        worker = make_worker(is_own=lambda ip, port: (ip, port) == ("127.0.0.1", server.port))
        outcome = (await one(worker, smarthost(server.port))).outcome
    assert isinstance(outcome, Deferred) and "in circles" in outcome.reason
    assert server.sessions == []


async def test_a_host_that_is_not_found_makes_the_hop_wait(make_worker: MakeWorker) -> None:
    outcome = (await one(make_worker(), smarthost(25, hosts=("no-such-host.invalid",)))).outcome
    assert isinstance(outcome, Deferred)
    assert "no-such-host.invalid" in outcome.reason


def takes_one_of_two() -> Script:
    """Takes the first recipient, and demands a log-in for the second."""
    replies = iter([b"250 Ok\r\n", b"530 5.7.57 Client not authenticated\r\n"])
    return Script(on={"RCPT": lambda _: next(replies)})


async def test_a_node_that_stops_during_the_second_way_knows_what_the_first_has_delivered(
    make_worker: MakeWorker,
) -> None:
    begun = asyncio.Event()

    def say_nothing(_: str) -> Fault:
        begun.set()
        return Fault.SILENCE

    async with (
        ScriptedServer(takes_one_of_two()) as first,
        ScriptedServer(Script(on={"CONTENT": say_nothing})) as second,
    ):
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        attempt = asyncio.create_task(
            make_worker(Patience(final=30.0)).deliver(job(message(["b@y.example", "c@y.example"]), *connectors))
        )
        await begun.wait()
        attempt.cancel()
        results = await attempt
    assert [type(r.outcome) for r in results] == [Delivered, Unknown]
    assert [r.connector for r in results] == ["first", "second"]


async def test_a_fault_of_ours_at_the_second_way_takes_no_delivery_back(make_worker: MakeWorker) -> None:
    def open_log(connector: object) -> None:
        if getattr(connector, "name", "") == "second":
            raise RuntimeError("a fault of ours")

    async with ScriptedServer(takes_one_of_two()) as first, ScriptedServer() as second:
        connectors = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        letter = message(["b@y.example", "c@y.example"])
        results = await make_worker(open_log=open_log).deliver(job(letter, *connectors))
    assert [type(r.outcome) for r in results] == [Delivered, Deferred]


class Full(Unlimited):
    """Budgets without room for a while."""

    def __init__(self, wait: timedelta) -> None:
        self.wait = wait

    async def take(self, way: Way, sender: Address | None, waiting: Sequence[Waiting]) -> Permit | NoRoom:
        return NoRoom(wait=self.wait, reason="3 connections are in use")


async def refused_first_and_full_then(make_worker: MakeWorker, reply: bytes, wait: timedelta) -> AttemptResult:
    async with ScriptedServer(Script(on={"RCPT": reply})) as first:
        second = Submission(name="second", identity="app", mailboxes=("relay@x.example",))
        worker = make_worker()
        worker._budgets = Full(wait)
        (result,) = await worker.deliver(job(message(), smarthost(first.port, name="first"), second))
    return result


DIRECT_SEND = b"550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization\r\n"
EXTERNAL = b"550 5.5.105 External sending is not supported for High Volume Email accounts.\r\n"


async def test_a_way_that_has_room_soon_is_waited_for_and_blocks_no_line(make_worker: MakeWorker) -> None:
    result = await refused_first_and_full_then(make_worker, DIRECT_SEND, timedelta(seconds=1))
    assert isinstance(result.outcome, Deferred)
    assert (result.connector, result.outcome.scope) == ("second", Scope.MAILBOX)
    assert str(result.detail["tried"]).startswith("['first: ")


async def test_a_way_that_has_no_room_for_long_changes_nothing(make_worker: MakeWorker) -> None:
    result = await refused_first_and_full_then(make_worker, DIRECT_SEND, timedelta(hours=20))
    assert result.connector == "first"


async def test_a_refusal_by_one_way_is_not_final_while_another_waits_for_room(make_worker: MakeWorker) -> None:
    for wait in (timedelta(seconds=1), timedelta(hours=20)):
        result = await refused_first_and_full_then(make_worker, EXTERNAL, wait)
        assert isinstance(result.outcome, Deferred), result
        assert result.connector == "second"
