"""Leases: who may attempt what, in which order, until when."""

from __future__ import annotations

from dataclasses import replace

from tests.store.conftest import OpenAs
from tests.store.samples import (
    CANCELLED,
    DELIVERED,
    HELD,
    HOUR,
    LEASED,
    LETTER,
    MINUTE,
    NOW,
    PENDING,
    SESSION,
    letter,
    message_id,
    settlement,
    taken,
    update,
)

from posthouse.mail.event import EventKind
from posthouse.store.port import Store


async def test_the_longest_due_comes_first(store: Store) -> None:
    await store.accept(taken(letter(1), due=NOW + 2 * MINUTE))
    await store.accept(taken(letter(2), due=NOW))
    await store.accept(taken(letter(3), due=NOW + MINUTE))
    leases = await store.lease("relay", now=NOW + HOUR, until=NOW + 2 * HOUR, limit=2)
    assert [lease.message.id for lease in leases] == [message_id(2), message_id(3)]


async def test_what_is_not_due_is_not_leased(store: Store) -> None:
    await store.accept(taken(letter(1), due=NOW + MINUTE))
    assert await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9) == []
    assert len(await store.lease("relay", now=NOW + MINUTE, until=NOW + HOUR, limit=9)) == 1


async def test_the_limit_counts_messages_not_copies(store: Store) -> None:
    for number in (1, 2, 3):
        await store.accept(taken(letter(number, to=("a@x.example", "b@x.example", "c@x.example"))))
    leases = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=2)
    assert [len(lease.waiting) for lease in leases] == [3, 3]


async def test_copies_of_a_message_that_are_not_due_stay_behind(store: Store) -> None:
    message = letter(1, to=("a@x.example", "b@x.example"))
    await store.accept(taken(message))
    await store.settle(settlement(message, update(1, PENDING, next_at=NOW + HOUR)))
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=9)
    assert [w.index for w in lease.waiting] == [0]


async def test_two_nodes_never_lease_the_same_copy(open_as: OpenAs) -> None:
    one, two = await open_as("one"), await open_as("two")
    for number in range(20):
        await one.accept(taken(letter(number)))
    first = await one.lease("relay", now=NOW, until=NOW + MINUTE, limit=12)
    second = await two.lease("relay", now=NOW, until=NOW + MINUTE, limit=12)
    assert len({lease.message.id for lease in first + second}) == len(first) + len(second) == 20


async def test_a_node_takes_back_only_its_own_leases(open_as: OpenAs) -> None:
    one, two = await open_as("one"), await open_as("two")
    await one.accept(taken(letter(1), state=LEASED))
    await two.accept(taken(letter(2), state=LEASED))
    assert await one.return_leases(owner="one", now=NOW + MINUTE) == 1
    (lease,) = await one.lease("relay", now=NOW + HOUR, until=NOW + HOUR, limit=9)
    assert lease.message.id == message_id(1)


async def test_a_lease_whose_time_is_over_comes_back(store: Store) -> None:
    await store.accept(taken(letter(1), state=LEASED, lease=MINUTE))
    await store.accept(taken(letter(2), state=LEASED, lease=HOUR))
    assert await store.return_leases(owner=None, now=NOW + 59 * MINUTE) == 1
    (due,) = await store.due(NOW + HOUR)
    assert due.due == 1
    (lease,) = await store.lease("relay", now=NOW + HOUR, until=NOW + 2 * HOUR, limit=9)
    assert lease.message.id == message_id(1)


async def test_a_node_that_lives_keeps_its_leases(open_as: OpenAs) -> None:
    one, two = await open_as("one"), await open_as("two")
    await one.accept(taken(letter(1), state=LEASED, lease=MINUTE))
    await one.accept(taken(letter(2), state=LEASED, lease=4 * HOUR))
    await two.accept(taken(letter(3), state=LEASED, lease=MINUTE))
    every = [message_id(1), message_id(2), message_id(3)]
    assert await one.renew_leases(every, below=NOW + HOUR, until=NOW + HOUR) == 1
    assert await one.renew_leases(every, below=NOW + HOUR, until=NOW + HOUR) == 0
    assert await one.return_leases(owner=None, now=NOW + 59 * MINUTE) == 1
    assert await one.return_leases(owner=None, now=NOW + 2 * HOUR) == 1


async def test_a_returned_lease_is_in_the_story_of_the_message(store: Store) -> None:
    message = letter(1, to=("a@x.example", "b@x.example"))
    await store.accept(taken(message, state=LEASED))
    await store.return_leases(owner="node", now=NOW + MINUTE)
    story = await store.story(message.id)
    assert story is not None
    returned = [e for e in story.events if e.kind is EventKind.LEASE_RETURNED]
    assert [(e.at, e.recipient, e.detail) for e in returned] == [
        (NOW + MINUTE, 0, {"owner": "node"}),
        (NOW + MINUTE, 1, {"owner": "node"}),
    ]


async def test_a_settled_copy_is_no_lease_any_more(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message, state=LEASED))
    await store.settle(settlement(message, update(0, DELIVERED)))
    assert await store.return_leases(owner="node", now=NOW + MINUTE) == 0
    assert await store.return_leases(owner=None, now=NOW + 24 * HOUR) == 0


async def test_attempts_and_the_delay_notice_come_with_the_lease(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message, state=LEASED))
    await store.settle(settlement(message, update(0, PENDING, next_at=NOW, delay_noticed=True)))
    await store.settle(settlement(message, update(0, PENDING, next_at=NOW)))
    await store.settle(settlement(message, update(0, PENDING, next_at=NOW, counts_as_attempt=False)))
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=1)
    assert (lease.waiting[0].attempts, lease.waiting[0].delay_noticed) == (2, True)


async def test_held_and_final_copies_are_not_leased(store: Store) -> None:
    held, gone = letter(1), letter(2)
    await store.accept(taken(held, state=HELD))
    await store.accept(taken(gone))
    await store.settle(settlement(gone, update(0, CANCELLED)))
    assert await store.lease("relay", now=NOW + HOUR, until=NOW + HOUR, limit=9) == []
    assert await store.due(NOW + HOUR) == []
    assert await store.next_due_at() is None


async def test_leases_bring_the_content_of_many_messages(store: Store) -> None:
    for number in range(150):
        await store.accept(taken(letter(number)))
    leases = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=150)
    assert len(leases) == 150
    assert {lease.message.content.data for lease in leases} == {LETTER}  # type: ignore[union-attr]


async def test_due_lines_are_counted_and_the_next_time_is_known(store: Store) -> None:
    await store.accept(taken(letter(1), hop="b"))
    await store.accept(taken(letter(2), hop="a", due=NOW + HOUR))
    await store.accept(taken(letter(3), hop="a", due=NOW + 2 * HOUR))
    assert [(d.hop, d.due) for d in await store.due(NOW)] == [("b", 1)]
    assert [(d.hop, d.due) for d in await store.due(NOW + HOUR)] == [("a", 1), ("b", 1)]
    assert await store.next_due_at() == NOW
    await store.lease("b", now=NOW, until=NOW + MINUTE, limit=1)
    assert await store.next_due_at() == NOW + HOUR


async def test_devices_take_turns_where_a_line_is_short_of_room(store: Store) -> None:
    others = replace(SESSION, peer_ip="192.0.2.99")
    for number in range(5):
        await store.accept(taken(letter(number)))
    await store.accept(taken(letter(9, session=others)))
    leases = await store.lease("relay", now=NOW, until=NOW + HOUR, limit=3, is_fair=True)
    assert message_id(9) in [lease.message.id for lease in leases]
