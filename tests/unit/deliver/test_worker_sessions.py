"""Sessions that are kept, sessions that turn out to be dead, and limits of both."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.deliver.jobs import HASTE, MakeWorker, job, message, one, smarthost
from tests.unit.deliver.scripted import Fault, Script, ScriptedServer

from posthouse.deliver.patience import Patience
from posthouse.mail.outcome import Deferred, Delivered, Failed, Unknown


def after(count: int, reply: object, verb_reply: bytes = b"250 Ok\r\n") -> object:
    """A verb that is answered well so many times, then otherwise."""
    calls = iter(range(10_000))
    return lambda _: verb_reply if next(calls) < count else reply


async def test_a_session_is_used_again_and_left_after_so_many_messages(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        worker, connector = make_worker(), smarthost(server.port, max_messages_per_connection=3)
        for _ in range(7):
            assert isinstance((await one(worker, connector)).outcome, Delivered)
        assert [len(seen.messages) for seen in server.sessions] == [3, 3, 1]
        await asyncio.wait_for(_until(lambda: len(server.commands("QUIT")) == 2), 2)


async def _until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0.005)


ENOUGH = b"450 4.7.0 Too many messages in this session\r\n"


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.ABORT, b"421 4.4.2 Idle for too long\r\n", ENOUGH], ids=str)
@pytest.mark.parametrize("keywords", [("PIPELINING",), (), ("PIPELINING", "CHUNKING")], ids=str)
async def test_a_kept_session_that_is_dead_is_no_attempt(
    make_worker: MakeWorker, fault: object, keywords: tuple[str, ...]
) -> None:
    first = Script(on={"MAIL": after(1, fault)}, keywords=keywords)  # type: ignore[dict-item]
    async with ScriptedServer(first, Script(keywords=keywords)) as server:
        # With on_unknown = hold, content never leaves before MAIL is answered on a kept session.
        worker, connector = make_worker(), smarthost(server.port, on_unknown="hold")
        assert isinstance((await one(worker, connector)).outcome, Delivered)
        assert isinstance((await one(worker, connector)).outcome, Delivered)
    assert [len(seen.messages) for seen in server.sessions] == [1, 1]


async def test_a_kept_session_that_dies_with_the_content_under_way_is_unknown(make_worker: MakeWorker) -> None:
    script = Script(on={"MAIL": after(1, Fault.DROP)}, keywords=("PIPELINING", "CHUNKING"))  # type: ignore[dict-item]
    async with ScriptedServer(script, Script()) as server:
        worker, connector = make_worker(), smarthost(server.port)
        assert isinstance((await one(worker, connector)).outcome, Delivered)
        outcome = (await one(worker, connector)).outcome
    assert isinstance(outcome, Unknown)
    assert len(server.messages) == 1


async def test_a_new_session_that_dies_at_mail_is_an_attempt(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(on={"MAIL": Fault.DROP})) as server:
        outcome = (await one(make_worker(), smarthost(server.port))).outcome
    assert isinstance(outcome, Deferred) and outcome.is_glitch
    assert len(server.sessions) == 1


async def test_a_server_that_closes_while_idle_is_noticed(make_worker: MakeWorker) -> None:
    first = Script(on={"CONTENT": b"250 2.0.0 Queued\r\n421 4.3.2 Shutting down\r\n"})
    async with ScriptedServer(first, Script()) as server:
        worker, connector = make_worker(), smarthost(server.port)
        for _ in range(2):
            assert isinstance((await one(worker, connector)).outcome, Delivered)
    assert len(server.sessions) == 2


async def test_an_idle_session_says_goodbye(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        worker = make_worker(Patience(idle=0.05))
        await one(worker, smarthost(server.port))
        await asyncio.wait_for(_until(lambda: server.commands("QUIT")), 2)


async def test_connections_are_never_more_than_allowed(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        worker, connector = make_worker(), smarthost(server.port, max_connections=3)
        results = await asyncio.gather(*(one(worker, connector) for _ in range(30)))
    assert all(isinstance(r.outcome, Delivered) for r in results)
    assert len(server.sessions) == 3


async def test_waiting_for_a_connection_survives_failures_and_cancelled_attempts(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(on={"MAIL": Fault.SILENCE}), Script()) as server:
        worker, connector = make_worker(), smarthost(server.port, max_connections=1)
        stuck = asyncio.create_task(one(worker, connector))
        await asyncio.wait_for(_until(lambda: server.commands("MAIL")), 2)
        given_up = asyncio.create_task(one(worker, connector))
        waiting = asyncio.create_task(one(worker, connector))
        await asyncio.sleep(0)
        given_up.cancel()
        assert isinstance((await waiting).outcome, Delivered)
        assert isinstance((await stuck).outcome, Deferred)


async def test_a_cancelled_attempt_closes_its_session(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(on={"RCPT": Fault.SILENCE}), Script()) as server:
        worker, connector = make_worker(Patience()), smarthost(server.port, max_connections=1)
        attempt = asyncio.create_task(one(worker, connector))
        await asyncio.wait_for(_until(lambda: server.commands("RCPT")), 2)
        attempt.cancel()
        # Nothing of the content was on its way, so the copy simply waits.
        assert isinstance((await attempt).outcome, Deferred)
        assert isinstance((await one(worker, connector)).outcome, Delivered)


async def test_a_stop_in_the_middle_leaves_unknown_only_what_may_have_arrived(make_worker: MakeWorker) -> None:
    begun = asyncio.Event()

    def say_nothing(_: str) -> Fault:
        begun.set()
        return Fault.SILENCE

    replies = iter([b"250 2.1.5 OK\r\n", b"550 5.1.1 User unknown\r\n"])
    script = Script(on={"RCPT": lambda _: next(replies), "CONTENT": say_nothing})
    async with ScriptedServer(script, Script()) as server:
        letter = message(["b@y.example", "c@y.example"])
        deliver = make_worker(Patience(final=30.0)).deliver(
            job(letter, smarthost(server.port), smarthost(1, name="next"))
        )
        attempt = asyncio.create_task(deliver)
        await begun.wait()
        attempt.cancel()
        results = await attempt
        assert [type(result.outcome) for result in results] == [Unknown, Failed]
        assert len(server.sessions) == 1


async def test_a_stop_begins_nothing_at_the_next_way(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(on={"RCPT": Fault.SILENCE})) as first, ScriptedServer() as second:
        ways = smarthost(first.port, name="first"), smarthost(second.port, name="second")
        attempt = asyncio.create_task(make_worker(Patience()).deliver(job(message(), *ways)))
        await asyncio.wait_for(_until(lambda: first.commands("RCPT")), 2)
        attempt.cancel()
        (result,) = await attempt
        assert isinstance(result.outcome, Deferred)
        assert second.sessions == []


async def test_new_settings_take_effect_with_the_next_message(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        worker = make_worker()
        await one(worker, smarthost(server.port))
        await one(worker, smarthost(server.port))
        await one(worker, smarthost(server.port, helo="other.example"))
    assert [seen.commands[0] for seen in server.sessions] == ["EHLO me.example", "EHLO other.example"]


async def test_more_than_a_hundred_recipients_take_several_transactions(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        letter = message([f"b{n}@y.example" for n in range(250)])
        results = await make_worker().deliver(job(letter, smarthost(server.port)))
    assert [len(recipients) for _, recipients, _ in server.messages] == [100, 100, 50]
    assert [r.index for r in results] == list(range(250))
    assert all(isinstance(r.outcome, Delivered) for r in results)
    assert len(server.sessions) == 1


async def test_recipients_turned_away_for_lack_of_room_follow_in_the_next_transaction(make_worker: MakeWorker) -> None:
    room = {"left": 0}

    def mail(_: str) -> bytes:
        room["left"] = 4
        return b"250 Ok\r\n"

    def rcpt(_: str) -> bytes:
        room["left"] -= 1
        return b"250 Ok\r\n" if room["left"] >= 0 else b"452 4.5.3 Too many recipients\r\n"

    async with ScriptedServer(Script(on={"MAIL": mail, "RCPT": rcpt})) as server:
        letter = message([f"b{n}@y.example" for n in range(10)])
        results = await make_worker().deliver(job(letter, smarthost(server.port)))
    assert all(isinstance(r.outcome, Delivered) for r in results)
    assert [len(recipients) for _, recipients, _ in server.messages] == [4, 4, 2]


async def test_a_server_with_room_for_nobody_is_not_asked_for_ever(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(on={"RCPT": b"452 4.5.3 Too many recipients\r\n"})) as server:
        letter = message(["b@y.example", "c@y.example"])
        results = await make_worker().deliver(job(letter, smarthost(server.port)))
    assert all(isinstance(r.outcome, Deferred) for r in results)
    assert len(server.commands("RCPT")) == 2


async def test_a_timeout_is_an_answer_too(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(on={"MAIL": Fault.SILENCE})) as server:
        outcome = (await one(make_worker(HASTE), smarthost(server.port))).outcome
    assert isinstance(outcome, Deferred)
    assert "no answer to mail within 0.3 s" in outcome.reason
