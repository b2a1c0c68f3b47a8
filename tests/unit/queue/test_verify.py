"""Copies whose answer was lost are looked for at growing intervals, and what is found out is written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.queue.conftest import OK, Deliveries, Rig, policy_of

from posthouse.decide.ways import Way
from posthouse.mail.envelope import Notify, Recipient
from posthouse.mail.event import EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.outcome import AttemptResult, Outcome, Unknown
from posthouse.queue.port import CannotLook, Found, Job, Looked, Lost, NotFound
from posthouse.queue.settings import QueueSettings
from posthouse.queue.verify import NEVER, Verification
from posthouse.store.port import QueueFilter

FLOW = """
identity = [{name = "app", kind = "client_secret", tenant = "t", client_id = "c", client_secret = "env:X"}]
outbound = [{name = "m365", kind = "graph", identity = "app", mailboxes = ["r1@ours.example", "r2@ours.example"]}]
"""
LOST = Unknown(reason="no answer", retry=False, verify=True, mailbox="r2@ours.example")
FOUND = Found("Sent Items of r2@ours.example")
NOT_YET, GONE = NotFound(False, "not found yet"), NotFound(True, "not found anywhere")


class Mailing(Deliveries):
    """Deliveries that name the mailbox that sent."""

    mailbox = ""

    async def deliver(self, job: Job) -> Sequence[AttemptResult]:
        results = await super().deliver(job)
        return [replace(result, detail={"mailbox": self.mailbox}) if self.mailbox else result for result in results]


class PostRoom(Rig):
    """A queue in front of mailboxes."""

    deliveries: Mailing

    def build(self, flow: str) -> None:
        self.deliveries = Mailing()
        super().build(flow)


class Lookout:
    """A verifier that says what the test wants, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Looked = NOT_YET
        self.asked: list[Lost] = []

    async def look_up(self, way: Way, lost: Lost, now: datetime) -> Mapping[int, Looked]:
        self.asked.append(lost)
        return dict.fromkeys(lost.recipients, self.answer)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[PostRoom]:
    rig = PostRoom(tmp_path, FLOW, QueueSettings(jitter_percent=0))
    await rig.store.open()
    rig.task = asyncio.create_task(rig.dispatcher.run())
    rig.deliveries.script = lose_once
    rig.deliveries.gate.set()
    yield rig
    await rig.dispatcher.stop(5)
    rig.task.cancel()
    await rig.store.close()


def lose_once(job: Job) -> Outcome:
    return LOST if job.lease.waiting[0].attempts == 0 else OK


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


def verification(rig: Rig, lookout: Lookout, ways: Mapping[str, Way] | None = None) -> Verification:
    policy = rig.dispatcher._policy
    return Verification(
        rig.store,
        rig.settler,
        lookout,
        way_named=(policy.ways if ways is None else ways).get,
        clock=rig.clock,
        wake=rig.dispatcher.wake,
    )


async def lost(rig: Rig, *recipients: str) -> MessageId:
    sent = await rig.send(*recipients)
    await rig.until(sent, *("unknown" for _ in recipients))
    return sent


async def test_looks_come_at_growing_intervals_for_a_day(rig: Rig, lookout: Lookout) -> None:
    sent = await lost(rig, "a@x.example")
    duty, start, at = verification(rig, lookout), rig.now, list[float]()
    for _ in range(26 * 60 * 2):
        before = len(lookout.asked)
        await duty.look()
        at += [(rig.now - start).total_seconds()] * (len(lookout.asked) - before)
        rig.advance(seconds=30)
    assert at[:7] == [30, 60, 120, 240, 480, 960, 1560]
    assert max(at) <= 25 * 3600
    (entry,) = await rig.store.entries(QueueFilter())
    assert entry.next_at == NEVER and await rig.states(sent) == ["unknown"]


async def test_copies_of_one_attempt_are_looked_for_together_with_their_mailbox(rig: Rig, lookout: Lookout) -> None:
    lookout.answer = FOUND
    sent = await lost(rig, "a@x.example", "b@x.example")
    rig.advance(seconds=30)
    await verification(rig, lookout).look()
    (asked,) = lookout.asked
    assert {index: str(a) for index, a in asked.recipients.items()} == {0: "a@x.example", 1: "b@x.example"}
    assert asked.mailboxes == ("r2@ours.example",) and not asked.has_delivered
    assert await rig.states(sent) == ["delivered", "delivered"]


async def test_what_arrived_is_written_once_however_many_look(rig: Rig, lookout: Lookout) -> None:
    lookout.answer = FOUND
    sent = await lost(rig, "a@x.example")
    rig.advance(seconds=30)
    await asyncio.gather(*(verification(rig, lookout).look() for _ in range(3)))
    kinds = [event.kind for event in (await rig.story(sent)).events]
    assert kinds.count(EventKind.DELIVERED) == 1


async def test_what_never_arrived_is_tried_again_at_once(rig: Rig, lookout: Lookout) -> None:
    lookout.answer = GONE
    sent = await lost(rig, "a@x.example")
    rig.advance(seconds=30)
    await verification(rig, lookout).look()
    await rig.until(sent, "delivered")
    assert len(rig.deliveries.jobs) == 2


async def test_a_sender_who_asked_is_told_of_a_delivery_that_was_found(rig: Rig, lookout: Lookout) -> None:
    lookout.answer = FOUND
    message = rig.message("a@x.example")
    asks = tuple(Recipient(r.address, Notify.SUCCESS) for r in message.envelope.recipients)
    await rig.intake.enqueue(replace(message, envelope=replace(message.envelope, recipients=asks)))
    await rig.until(message.id, "unknown")
    rig.advance(seconds=30)
    await verification(rig, lookout).look()
    story = await rig.story(message.id)
    assert len(story.notices) == 1


async def test_where_nobody_can_look_the_reason_is_shown_and_nobody_looks_again(rig: Rig, lookout: Lookout) -> None:
    lookout.answer = CannotLook("grant Mail.Read")
    await lost(rig, "a@x.example")
    duty = verification(rig, lookout)
    for _ in range(5):
        rig.advance(hours=1)
        await duty.look()
    (entry,) = await rig.store.entries(QueueFilter())
    assert entry.last_reply == "grant Mail.Read" and entry.next_at == NEVER
    assert len(lookout.asked) == 1


async def test_a_loss_that_is_proven_after_the_time_is_over_is_bounced(rig: Rig, lookout: Lookout) -> None:
    sent = await lost(rig, "a@x.example")
    rig.now += rig.settings.expire_after + timedelta(hours=1)
    await rig.sweep.expire()
    assert await rig.states(sent) == ["unknown"]
    lookout.answer = GONE
    rig.deliveries.script = lambda job: LOST
    rig.dispatcher._stopping = True
    await verification(rig, lookout).look()
    rig.now += timedelta(minutes=1)
    await rig.sweep.expire()
    assert await rig.states(sent) == ["expired"]
    assert len((await rig.story(sent)).notices) == 1


async def test_a_connector_that_is_gone_leaves_its_copies_to_the_operator_until_it_is_back(
    rig: Rig, lookout: Lookout
) -> None:
    sent = await lost(rig, "a@x.example")
    ways: dict[str, Way] = {}
    duty = verification(rig, lookout, ways)
    rig.advance(minutes=1)
    await duty.look()
    await duty.look()
    assert lookout.asked == []
    ways.update(rig.dispatcher._policy.ways)
    lookout.answer = FOUND
    await duty.look()
    assert await rig.states(sent) == ["delivered"]


async def test_an_earlier_message_of_the_same_mailbox_is_handed_in_for_comparison(
    rig: PostRoom, lookout: Lookout
) -> None:
    for mailbox, name in (("r2@ours.example", "<2@ours.example>"), ("r1@ours.example", "<3@ours.example>")):
        rig.deliveries.script = lambda job: OK
        rig.deliveries.mailbox = mailbox
        message = rig.message("a@x.example")
        await rig.intake.enqueue(replace(message, header=replace(message.header, message_id=name)))
        await rig.until(message.id, "delivered")
        rig.advance(minutes=1)
    rig.deliveries.script, rig.deliveries.mailbox = lose_once, ""
    await lost(rig, "a@x.example")
    rig.advance(minutes=1)
    await verification(rig, lookout).look()
    (asked,) = lookout.asked
    assert asked.control is not None and asked.control.message_id == "<2@ours.example>"
    assert not asked.has_twins


async def test_another_part_of_the_message_that_is_lost_too_may_be_what_is_found(rig: Rig, lookout: Lookout) -> None:
    rig.dispatcher.set_policy(policy_of(FLOW.replace("mailboxes", "recipients_per_message = 1, mailboxes")))

    def lose_later(job: Job) -> Outcome:
        rig.now += timedelta(seconds=1)
        return LOST

    rig.deliveries.script = lose_later
    await lost(rig, "a@x.example", "b@x.example")
    rig.advance(seconds=31)
    await verification(rig, lookout).look()
    assert [(list(asked.recipients), asked.has_delivered) for asked in lookout.asked] == [([0], True), ([1], True)]
