"""What is attempted, when, and what follows, on a real store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.unit.queue.conftest import OK, TWO_HOSTS, Rig, policy_of

from posthouse.mail.message import InlineContent, Origin
from posthouse.mail.outcome import Deferred, Failed, Outcome, Scope, Unknown
from posthouse.mail.reply import Reply
from posthouse.queue.lines import NO_ROUTE_HOP
from posthouse.queue.port import Job
from posthouse.queue.sweep import reroute
from posthouse.store.port import QueueFilter, StoreUnavailable

DOWN = Deferred(reason="connection refused", scope=Scope.HOP, is_glitch=True)
BUSY = Deferred(reason="busy", reply=Reply.of(451, "4.7.1", "busy"))


def down_for(hop: str) -> object:
    def script(job: Job) -> Outcome:
        return DOWN if job.lease.hop == hop else OK

    return script


async def test_a_fresh_message_is_delivered_from_memory_with_its_octets(rig: Rig) -> None:
    message = await rig.send("x@a.example", body=b"the very octets")
    await rig.until(message, "delivered")
    (job,) = rig.deliveries.jobs
    assert isinstance(job.lease.message.content, InlineContent)
    assert job.lease.message.content.data.endswith(b"the very octets\r\n")
    kinds = [str(event.kind) for event in (await rig.story(message)).events]
    assert kinds == ["accepted", "delivered"]


async def test_ids_of_one_millisecond_never_meet(rig: Rig) -> None:
    ids = [rig.intake.new_id(rig.now) for _ in range(20_000)]
    assert ids == sorted(set(ids))
    rig.now -= timedelta(minutes=1)
    assert rig.intake.new_id(rig.now) > ids[-1], "also when the clock steps back"


async def test_copies_for_different_hops_are_different_attempts(rig: Rig) -> None:
    rig.deliveries.script = down_for("a")  # type: ignore[assignment]
    message = await rig.send("x@a.example", "y@b.example", "z@b.example")
    await rig.until(message, "pending", "delivered", "delivered")
    assert {job.lease.hop: len(job.lease.waiting) for job in rig.deliveries.jobs} == {"a": 1, "b": 2}


async def test_one_dead_hop_never_delays_another(rig: Rig) -> None:
    rig.deliveries.script = down_for("a")  # type: ignore[assignment]
    dead = [await rig.send("x@a.example") for _ in range(50)]
    alive = [await rig.send("x@b.example") for _ in range(50)]
    for message in alive:
        await rig.until(message, "delivered")
    await rig.settled()
    to_dead_hop = [job for job in rig.deliveries.jobs if job.lease.hop == "a"]
    assert len(to_dead_hop) <= 2, "a line that failed is not tried again by every message in it"
    assert await rig.states(dead[-1]) == ["pending"]


async def test_after_a_failure_one_attempt_tests_the_ground_before_the_others_follow(rig: Rig) -> None:
    rig.deliveries.script = down_for("a")  # type: ignore[assignment]
    messages = [await rig.send("x@a.example") for _ in range(10)]
    await rig.settled()
    before = len(rig.deliveries.jobs)
    rig.deliveries.gate.clear()
    rig.deliveries.most_running.clear()
    rig.advance(minutes=2)
    await rig.attempts(before + 1)
    assert rig.deliveries.most_running == {"a": 1}
    rig.deliveries.script = lambda job: OK
    rig.deliveries.gate.set()
    for message in messages:
        await rig.until(message, "delivered")


async def test_a_connectors_concurrency_is_never_exceeded(rig: Rig) -> None:
    rig.deliveries.gate.clear()
    messages = [await rig.send("x@a.example") for _ in range(20)]
    await rig.attempts(2)
    rig.deliveries.gate.set()
    for message in messages:
        await rig.until(message, "delivered")
    assert rig.deliveries.most_running["a"] == 2


async def test_a_deferred_copy_is_tried_again_after_its_interval_and_not_before(rig: Rig) -> None:
    rig.deliveries.script = lambda job: BUSY
    message = await rig.send("x@a.example")
    await rig.until(message, "pending")
    await rig.settled()
    (entry,) = await rig.store.entries(QueueFilter())
    assert (entry.attempts, entry.next_at, entry.last_reply) == (1, rig.now + timedelta(minutes=1), "451 4.7.1 busy")
    rig.deliveries.script = lambda job: OK
    rig.advance(seconds=59)
    await rig.dispatcher._look()
    assert len(rig.deliveries.jobs) == 1
    rig.advance(seconds=1)
    await rig.until(message, "delivered")


async def test_a_permanent_failure_bounces_to_the_sender_in_the_same_transaction(rig: Rig) -> None:
    def script(job: Job) -> Outcome:
        if job.lease.message.envelope.sender is None:
            return OK
        return Failed(status="5.1.1", reason="no such user", reply=Reply.of(550, "5.1.1", "who?"))

    rig.deliveries.script = script
    message = await rig.send("x@a.example")
    await rig.until(message, "failed")
    story = await rig.story(message)
    (notice,) = story.notices
    await rig.until(notice, "delivered")
    bounce = (await rig.story(notice)).message
    assert (bounce.origin, bounce.envelope.sender, bounce.parent) == (Origin.BOUNCE, None, message)
    assert [str(r.address) for r in bounce.envelope.recipients] == ["clerk@ours.example"]
    assert "bounced" in [str(event.kind) for event in story.events]


async def test_a_bounce_that_fails_makes_no_bounce(rig: Rig) -> None:
    rig.deliveries.script = lambda job: Failed(status="5.1.1", reason="no such user")
    message = await rig.send("x@a.example", sender=None)
    await rig.until(message, "failed")
    story = await rig.story(message)
    assert story.notices == ()
    assert "not_bounced" in [str(event.kind) for event in story.events]


@pytest.mark.parametrize(("retry", "state"), [(True, "pending"), (False, "unknown")])
async def test_an_unknown_outcome_waits_for_its_retry_or_for_an_operator(rig: Rig, retry: bool, state: str) -> None:
    rig.deliveries.script = lambda job: Unknown(reason="lost after the final dot", retry=retry)
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    await rig.until(message, state)
    await rig.settled()
    assert "unknown" in [str(event.kind) for event in (await rig.story(message)).events]
    assert (await rig.story(message)).notices == ()


async def test_a_fault_of_ours_leaves_the_copy_waiting(rig: Rig) -> None:
    def script(job: Job) -> Outcome:
        raise ZeroDivisionError

    rig.deliveries.script = script
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    await rig.until(message, "pending")
    await rig.settled()
    (entry,) = await rig.store.entries(QueueFilter())
    assert entry.attempts == 1
    assert "ZeroDivisionError" in entry.last_reply


async def test_a_result_that_the_store_could_not_take_is_written_when_it_can(rig: Rig) -> None:
    settle, failures = rig.store.settle, [StoreUnavailable("disk on fire")]

    def flaky(settlement: object) -> object:
        if failures:
            raise failures.pop()
        return settle(settlement)  # type: ignore[arg-type]

    rig.store.settle = flaky  # type: ignore[method-assign, assignment]
    message = await rig.send("x@a.example")
    await rig.until(message, "delivered")
    assert len(rig.deliveries.jobs) == 1, "the message was sent once, however often the result was written"


async def test_waiting_mail_follows_a_change_of_the_flow(rig: Rig) -> None:
    rig.deliveries.script = down_for("a")  # type: ignore[assignment]
    message = await rig.send("x@a.example")
    await rig.until(message, "pending")
    await rig.settled()
    changed = policy_of(TWO_HOSTS.replace('recipients = ["a.example"]', 'recipients = ["elsewhere.example"]'))
    assert await reroute(rig.store, changed) == 1
    rig.dispatcher.set_policy(changed)
    rig.advance(minutes=1)
    await rig.until(message, "delivered")
    assert rig.deliveries.jobs[-1].lease.hop == "b"


async def test_mail_without_a_route_waits_until_the_flow_has_one(rig: Rig) -> None:
    narrow = policy_of(
        TWO_HOSTS.replace(
            '{name = "rest", connectors = ["b"]}', '{name = "rest", recipients = ["z.example"], connectors = ["b"]}'
        )
    )
    rig.intake.set_policy(narrow)
    rig.dispatcher.set_policy(narrow)
    message = await rig.send("x@nowhere.example")
    await rig.until(message, "pending")
    await rig.settled()
    assert await rig.waiting() == [NO_ROUTE_HOP]
    assert rig.deliveries.jobs == []
    rig.dispatcher.set_policy(policy_of(TWO_HOSTS))
    assert await reroute(rig.store, policy_of(TWO_HOSTS)) == 1
    rig.advance(minutes=1)
    await rig.until(message, "delivered")


async def test_a_paused_connector_keeps_its_mail(rig: Rig) -> None:
    paused = policy_of(TWO_HOSTS.replace('"192.0.2.1"], max', '"192.0.2.1"], paused = true, max'))
    rig.intake.set_policy(paused)
    rig.dispatcher.set_policy(paused)
    message = await rig.send("x@a.example")
    await rig.dispatcher._look()
    assert rig.deliveries.jobs == []
    rig.dispatcher.set_policy(policy_of(TWO_HOSTS))
    await rig.until(message, "delivered")


async def test_more_messages_than_memory_takes_are_all_delivered(rig: Rig) -> None:
    rig.dispatcher._settings = rig.settings.model_copy(update={"in_memory": 10})
    rig.deliveries.gate.clear()
    messages = [await rig.send("x@a.example") for _ in range(300)]
    rig.deliveries.gate.set()
    for message in messages:
        await rig.until(message, "delivered")
    assert len(rig.deliveries.jobs) == 300


async def test_a_stop_gives_back_what_was_not_begun(rig: Rig) -> None:
    rig.deliveries.gate.clear()
    messages = [await rig.send("x@a.example") for _ in range(10)]
    await rig.attempts(2)
    stopping = asyncio.create_task(rig.dispatcher.stop(10))
    await asyncio.sleep(0)
    rig.deliveries.gate.set()
    await stopping
    states = [(await rig.states(m))[0] for m in messages]
    assert states.count("delivered") == 2
    assert states.count("pending") == 8


async def test_a_result_that_cannot_be_written_at_all_gives_the_copy_back_later(rig: Rig) -> None:
    settle, faults = rig.store.settle, [ValueError("a broken promise of ours")]

    def faulty(settlement: object) -> object:
        if faults:
            raise faults.pop()
        return settle(settlement)  # type: ignore[arg-type]

    rig.store.settle = faulty  # type: ignore[method-assign, assignment]
    message = await rig.send("x@a.example")
    await rig.until(message, "pending")
    (entry,) = await rig.store.entries(QueueFilter())
    assert entry.next_at == rig.now + timedelta(minutes=15)
    assert "lease_returned" in [str(event.kind) for event in (await rig.story(message)).events]
