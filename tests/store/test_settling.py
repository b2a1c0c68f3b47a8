"""Settling: new states, events and notices in one transaction, and what a settlement that comes late may still do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.store.samples import (
    CANCELLED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    FAILED,
    HELD,
    HOUR,
    LEASED,
    MINUTE,
    NOW,
    PENDING,
    UNKNOWN,
    event,
    letter,
    message_id,
    notice,
    settlement,
    taken,
    update,
)

from posthouse.mail.event import EventKind
from posthouse.mail.message import Message, RecipientState
from posthouse.store.port import QueueFilter, Store, TraceQuery

FINAL = (DELIVERED, FAILED, EXPIRED, CANCELLED, DISCARDED)


async def states(store: Store, message: Message) -> list[RecipientState]:
    """States of the copies of a message."""
    story = await store.story(message.id)
    assert story is not None
    return [row.state for row in story.rows]


async def kinds(store: Store, message: Message) -> Sequence[EventKind]:
    """Kinds of the events of a message, the acceptance left out."""
    story = await store.story(message.id)
    assert story is not None
    return [e.kind for e in story.events][1:]


async def test_each_recipient_gets_its_own_state(store: Store) -> None:
    message = letter(1, to=("a@x.example", "b@x.example", "c@x.example"))
    await store.accept(taken(message, state=LEASED))
    await store.settle(
        settlement(
            message,
            update(0, DELIVERED, status="2.0.0", last_reply="250 2.0.0 OK", remote="mx [192.0.2.1]:25", connector="b"),
            update(2, PENDING, next_at=NOW + MINUTE, last_reply="451 4.7.0 later", hop="other"),
            events=[event(message, EventKind.DELIVERED, 0, reply="250 2.0.0 OK")],
        )
    )
    story = await store.story(message.id)
    assert story is not None
    assert [(row.state, row.last_reply, row.remote, row.connector) for row in story.rows] == [
        (DELIVERED, "250 2.0.0 OK", "mx [192.0.2.1]:25", "b"),
        (LEASED, "", "", "relay"),
        (PENDING, "451 4.7.0 later", "", "other"),
    ]
    assert story.events[-1] == event(message, EventKind.DELIVERED, 0, reply="250 2.0.0 OK")
    assert await store.next_due_at() == NOW + MINUTE


async def test_without_a_time_the_copy_is_due_as_it_was(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message, due=NOW + HOUR))
    await store.settle(settlement(message, update(0, PENDING, counts_as_attempt=False)))
    assert await store.next_due_at() == NOW + HOUR


async def test_a_bounce_is_written_with_the_failure_it_speaks_of(store: Store) -> None:
    message, bounce = letter(1), notice(2, letter(1))
    await store.accept(taken(message, state=LEASED))
    bounced = event(message, EventKind.BOUNCED, notice="2")
    await store.settle(settlement(message, update(0, FAILED), events=[bounced], notices=[bounce]))
    story = await store.story(message.id)
    assert story is not None
    assert (story.notices, story.events[-1]) == ((message_id(2),), bounced)
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
    assert lease.message == bounce.message


async def test_a_bounce_that_cannot_be_written_leaves_the_failure_unwritten(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message, state=LEASED))
    await store.accept(taken(letter(2)))
    with pytest.raises(ValueError, match="already"):
        await store.settle(settlement(message, update(0, FAILED), notices=[notice(2, message)]))
    assert await states(store, message) == [LEASED]


@pytest.mark.parametrize("final", FINAL)
@pytest.mark.parametrize("late", [PENDING, HELD, UNKNOWN, FAILED, EXPIRED, CANCELLED])
async def test_a_late_settlement_brings_no_final_copy_back(
    store: Store, final: RecipientState, late: RecipientState
) -> None:
    message = letter(1)
    await store.accept(taken(message))
    await store.settle(settlement(message, update(0, final)))
    await store.settle(settlement(message, update(0, late), events=[event(message, EventKind.DEFERRED, 0)]))
    assert await states(store, message) == [final]
    assert await kinds(store, message) == [EventKind.DEFERRED]


@pytest.mark.parametrize("final", [FAILED, EXPIRED, CANCELLED, DISCARDED])
async def test_a_delivery_that_happened_is_always_written_down(store: Store, final: RecipientState) -> None:
    message = letter(1)
    await store.accept(taken(message))
    await store.settle(settlement(message, update(0, final)))
    await store.settle(settlement(message, update(0, DELIVERED)))
    assert await states(store, message) == [DELIVERED]


async def test_a_failure_that_comes_after_the_cancelling_sends_no_bounce(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message))
    await store.settle(settlement(message, update(0, CANCELLED)))
    happened = [event(message, EventKind.FAILED, 0), event(message, EventKind.BOUNCED, notice="2")]
    await store.settle(settlement(message, update(0, FAILED), events=happened, notices=[notice(2, message)]))
    assert await store.story(message_id(2)) is None
    assert await kinds(store, message) == [EventKind.FAILED]


async def test_the_same_failure_reported_twice_sends_one_bounce(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message, state=LEASED))
    await asyncio.gather(
        store.settle(settlement(message, update(0, FAILED), notices=[notice(2, message)])),
        store.settle(settlement(message, update(0, FAILED), notices=[notice(3, message)])),
    )
    story = await store.story(message.id)
    assert story is not None
    assert story.notices == (message_id(2),)


async def test_a_bounce_goes_out_when_one_of_its_copies_still_fails(store: Store) -> None:
    message = letter(1, to=("a@x.example", "b@x.example"))
    await store.accept(taken(message, state=LEASED))
    await store.settle(settlement(message, update(0, CANCELLED)))
    await store.settle(settlement(message, update(0, FAILED), update(1, FAILED), notices=[notice(2, message)]))
    assert await states(store, message) == [CANCELLED, FAILED]
    assert await store.story(message_id(2)) is not None


async def test_a_deferral_does_not_lift_a_hold_that_came_during_the_attempt(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message, state=LEASED))
    await store.settle(settlement(message, update(0, HELD, counts_as_attempt=False)))
    await store.settle(settlement(message, update(0, PENDING, next_at=NOW, last_reply="421 later")))
    (entry,) = await store.entries(QueueFilter())
    assert (entry.state, entry.attempts, entry.last_reply) == (HELD, 1, "421 later")


async def test_an_operator_releases_what_is_held_or_unknown(store: Store) -> None:
    for number, state in ((1, HELD), (2, UNKNOWN)):
        message = letter(number)
        await store.accept(taken(message))
        await store.settle(settlement(message, update(0, state)))
        await store.settle(settlement(message, update(0, PENDING, next_at=NOW, counts_as_attempt=False)))
        assert await states(store, message) == [PENDING]


async def test_an_operator_does_not_overtake_an_attempt_that_began_meanwhile(store: Store) -> None:
    message = letter(1, to=("a@x.example", "b@x.example"))
    await store.accept(taken(message, state=LEASED))
    await store.settle(settlement(message, update(1, PENDING, next_at=NOW)))
    cancelled = [event(message, EventKind.CANCELLED, n, by="ops") for n in (0, 1)]
    updates = [update(n, CANCELLED, counts_as_attempt=False, only_from=(PENDING, HELD)) for n in (0, 1)]
    await store.settle(settlement(message, *updates, events=cancelled))
    assert await states(store, message) == [LEASED, CANCELLED]
    story = await store.story(message.id)
    assert story is not None
    assert [e.recipient for e in story.events if e.kind is EventKind.CANCELLED] == [1]


async def test_two_steps_of_one_message_in_one_batch_are_written_in_order(store: Store) -> None:
    message = letter(1)
    await asyncio.gather(
        store.accept(taken(message, state=LEASED)),
        store.settle(settlement(message, update(0, PENDING, next_at=NOW + HOUR))),
        store.settle(settlement(message, update(0, HELD, counts_as_attempt=False, only_from=(PENDING,)))),
        store.settle(settlement(message, update(0, PENDING, next_at=NOW + MINUTE, counts_as_attempt=False))),
    )
    assert await states(store, message) == [PENDING]
    assert await store.next_due_at() == NOW + MINUTE


async def test_hundreds_of_messages_are_settled_together(store: Store) -> None:
    messages = [letter(number) for number in range(300)]
    await asyncio.gather(*(store.accept(taken(message, state=LEASED)) for message in messages))
    await asyncio.gather(
        *(store.settle(settlement(m, update(0, DELIVERED, last_reply=f"250 {m.id}"))) for m in messages)
    )
    rows = await store.search(TraceQuery(limit=1000))
    assert len(rows) == 300
    assert all((row.state, row.last_reply) == (DELIVERED, f"250 {row.message_id}") for row in rows)
    assert await store.open_count() == 0


async def test_a_settlement_that_names_a_copy_twice_is_refused(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message))
    with pytest.raises(ValueError, match="twice"):
        await store.settle(settlement(message, update(0, DELIVERED), update(0, FAILED)))


async def test_a_settlement_of_a_message_that_is_not_there_changes_nothing(store: Store) -> None:
    await store.settle(settlement(letter(1), update(0, FAILED), notices=[notice(2, letter(1))]))
    assert await store.search(TraceQuery()) == []


async def test_a_very_long_reply_is_cut(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message))
    await store.settle(settlement(message, update(0, FAILED, last_reply="x" * 9000)))
    (row,) = await store.search(TraceQuery())
    assert len(row.last_reply) == 2000


async def test_half_a_character_in_a_reply_keeps_no_result_from_being_written(store: Store) -> None:
    message = letter(1, to=("a@x.example",))
    await store.accept(taken(message, state=LEASED))
    said = "250 2.0.0 OK \udcff"
    await store.settle(
        settlement(
            message,
            update(0, DELIVERED, status="2.0.0", last_reply=said, remote="mx\ud800"),
            events=[event(message, EventKind.DELIVERED, 0, reply=said, tried=[said], count=1)],
        )
    )
    story = await store.story(message.id)
    assert story is not None
    assert [(row.state, row.last_reply, row.remote) for row in story.rows] == [(DELIVERED, "250 2.0.0 OK ?", "mx?")]
    assert story.events[-1].detail == {"reply": "250 2.0.0 OK ?", "tried": ["250 2.0.0 OK ?"], "count": 1}
