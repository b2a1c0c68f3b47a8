"""The operator's hand, time that runs out, and room that does."""

from __future__ import annotations

import asyncio
from collections import namedtuple
from datetime import timedelta

import pytest
from tests.unit.queue.conftest import OK, Rig

from posthouse.mail.message import Origin, RecipientState, Settlement
from posthouse.mail.outcome import Deferred, Failed, Outcome, Scope
from posthouse.queue.guard import Guard
from posthouse.queue.port import Job
from posthouse.queue.sweep import Sweep
from posthouse.store.port import QueueFilter, StoreUnavailable

DOWN = Deferred(reason="connection refused", scope=Scope.HOP)


def only_notices(job: Job) -> Outcome:
    return OK if job.lease.message.envelope.sender is None else DOWN


async def waiting_message(rig: Rig) -> int:
    rig.deliveries.script = only_notices
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    await rig.until(message, "pending")
    await rig.settled()
    return message


async def test_held_mail_is_not_tried_until_it_is_released(rig: Rig) -> None:
    message = await waiting_message(rig)
    changed = await rig.levers.hold(QueueFilter(sender="clerk@ours.example"), by="ada")
    assert (changed.messages, changed.copies) == (1, 1)
    rig.deliveries.script = lambda job: OK
    rig.advance(hours=1)
    await rig.dispatcher._look()
    assert await rig.states(message) == ["held"]
    await rig.levers.release(QueueFilter(), by="ada")
    await rig.until(message, "delivered")
    said = {str(e.kind): e.detail.get("by") for e in (await rig.story(message)).events}
    assert said["held"] == said["released"] == "ada"


async def test_holding_and_cancelling_leave_back_off_as_it_is(rig: Rig) -> None:
    await waiting_message(rig)
    assert rig.dispatcher.troubles == {"a": "connection refused"}
    await rig.levers.hold(QueueFilter(), by="ada")
    await rig.levers.cancel(QueueFilter(), by="ada")
    assert rig.dispatcher.troubles == {"a": "connection refused"}, "a log-in that was refused is not tried sooner"


async def test_a_retry_is_due_at_once_although_the_line_was_backing_off(rig: Rig) -> None:
    message = await waiting_message(rig)
    rig.deliveries.script = lambda job: OK
    await rig.levers.retry(QueueFilter(message_ids=(message,)), by="ada")
    await rig.until(message, "delivered")


async def test_a_cancelled_message_is_final_and_says_who_did_it(rig: Rig) -> None:
    message = await waiting_message(rig)
    other = await rig.send("y@a.example", sender="boss@ours.example")
    await rig.until(other, "pending")
    changed = await rig.levers.cancel(QueueFilter(sender="@ours.example", recipient="x@a.example"), by="ada")
    assert changed.copies == 1
    assert await rig.states(message) == ["cancelled"]
    assert await rig.states(other) == ["pending"]
    assert (await rig.levers.release(QueueFilter(states=tuple(RecipientState)), by="ada")).copies == 0


async def test_an_attempt_that_runs_is_not_taken_away_by_a_retry(rig: Rig) -> None:
    rig.deliveries.gate.clear()
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    assert (await rig.levers.retry(QueueFilter(), by="ada")).copies == 0
    rig.deliveries.gate.set()
    await rig.until(message, "delivered")
    await rig.settled()
    assert len(rig.deliveries.jobs) == 1


async def test_mail_whose_time_ran_out_is_bounced(rig: Rig) -> None:
    message = await waiting_message(rig)
    rig.advance(hours=25)
    await rig.settled()
    await rig.sweep.expire()
    await rig.until(message, "expired")
    (notice,) = (await rig.story(message)).notices
    await rig.until(notice, "delivered")
    assert (await rig.story(notice)).message.origin is Origin.BOUNCE


async def test_a_sender_is_told_of_a_delay_once_and_the_copy_still_waits(rig: Rig) -> None:
    message = await waiting_message(rig)
    rig.now += timedelta(hours=5)
    before = (await rig.store.entries(QueueFilter(recipient="x@a.example")))[0].next_at
    await rig.sweep.notice_delays()
    await rig.sweep.notice_delays()
    assert (await rig.store.entries(QueueFilter(recipient="x@a.example")))[0].next_at == before
    kinds = [str(e.kind) for e in (await rig.story(message)).events]
    assert kinds.count("delay_noticed") == 1
    (notice,) = (await rig.story(message)).notices
    assert (await rig.story(notice)).message.origin is Origin.DELAY_NOTICE


async def test_an_attempt_that_takes_longer_than_a_lease_is_not_made_twice(rig: Rig) -> None:
    rig.deliveries.gate.clear()
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    for _ in range(3):
        rig.advance(minutes=20)
        await rig.sweep.expire()
        await rig.dispatcher._look()
    assert await rig.states(message) == ["leased"]
    rig.deliveries.gate.set()
    await rig.until(message, "delivered")
    assert len(rig.deliveries.jobs) == 1


async def test_a_lease_that_this_node_has_not_in_hand_is_given_back(rig: Rig) -> None:
    rig.deliveries.gate.clear()
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    rig.dispatcher._held.clear()
    rig.now += timedelta(minutes=31)
    await rig.sweep.expire()
    assert "lease_returned" in [str(e.kind) for e in (await rig.story(message)).events]


async def test_a_store_that_was_away_longer_than_a_lease_leads_to_no_second_delivery(rig: Rig) -> None:
    settle, failures = rig.store.settle, [StoreUnavailable("away")]

    def away(settlement: Settlement) -> object:
        if failures:
            raise failures.pop()
        return settle(settlement)

    rig.store.settle = away  # type: ignore[method-assign, assignment]
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    rig.now += timedelta(minutes=45)
    await rig.sweep.expire()
    await rig.dispatcher._look()
    await rig.until(message, "delivered")
    assert len(rig.deliveries.jobs) == 1


async def test_a_notice_that_cannot_be_written_undoes_no_delivery(rig: Rig) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    rig.settler._notices.failure = broken  # type: ignore[method-assign, assignment]
    rig.deliveries.script = lambda job: Failed(status="5.1.1", reason="no such user")
    message = await rig.send("x@a.example")
    await rig.until(message, "failed")
    assert "not_bounced" in [str(e.kind) for e in (await rig.story(message)).events]


async def test_a_stop_that_cannot_wait_records_an_unknown_outcome(rig: Rig) -> None:
    rig.deliveries.gate.clear()
    message = await rig.send("x@a.example")
    await rig.attempts(1)
    await rig.dispatcher.stop(0)
    assert "unknown" in [str(e.kind) for e in (await rig.story(message)).events]
    assert await rig.states(message) == ["pending"]


async def test_content_is_removed_after_retention_and_the_trace_stays(rig: Rig) -> None:
    message = await rig.send("x@a.example")
    await rig.until(message, "delivered")
    rig.now += timedelta(hours=2)
    await rig.sweep.retire()
    assert not (await rig.story(message)).has_content
    rig.now += timedelta(days=91)
    await rig.sweep.retire()
    assert await rig.store.story(message) is None


async def test_a_queue_at_its_ceiling_takes_no_more(rig: Rig) -> None:
    rig.guard._max_open = 3
    rig.deliveries.gate.clear()
    for _ in range(3):
        assert rig.intake.refusal() is None
        await rig.send("x@a.example")
    refusal = rig.intake.refusal()
    assert refusal is not None
    assert str(refusal[0]) == "452 4.3.1 Insufficient system resources"
    assert "ceiling" in refusal[1]


def test_a_disk_below_its_floor_takes_no_mail_and_says_why(monkeypatch: pytest.MonkeyPatch, rig_free: Guard) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 5, 5))
    rig_free.look(0)
    refusal = rig_free.refusal()
    assert refusal is not None
    assert str(refusal[0]).startswith("452 4.3.1")
    assert "free_space_floor" in refusal[1]
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 0, 10**9))
    rig_free.look(0)
    assert rig_free.refusal() is None


@pytest.fixture
def rig_free(tmp_path: object) -> Guard:
    """A guard with a floor of 1 MiB."""
    return Guard(tmp_path, 1 << 20, 100)  # type: ignore[arg-type]


async def test_a_fault_in_one_duty_stops_no_other(rig: Rig) -> None:
    turns = asyncio.Queue[str]()

    async def crash() -> None:
        await turns.put("crashed")
        raise TypeError("a fault of ours")

    async def go_on() -> None:
        await turns.put("went on")

    sweep = Sweep(
        rig.store, rig.settler, rig.guard, rig.settings, clock=rig.clock, wake=rig.dispatcher.wake,
        in_hand=rig.dispatcher.in_hand, keep_content=timedelta(hours=1), keep_trace=timedelta(days=90),
        duties=((0.0, crash), (0.0, go_on)),
    )  # fmt: skip
    task = asyncio.create_task(sweep.run())
    seen = [await asyncio.wait_for(turns.get(), 5) for _ in range(6)]
    task.cancel()
    assert seen.count("crashed") == seen.count("went on") == 3
