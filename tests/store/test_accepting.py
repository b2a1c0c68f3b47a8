"""What was accepted is there, whole, after the store was closed and opened again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from tests.store.conftest import OpenAs
from tests.store.samples import (
    DISCARDED,
    HELD,
    HOUR,
    LEASED,
    LETTER,
    MINUTE,
    NOW,
    PENDING,
    SESSION,
    event,
    letter,
    message_id,
    settlement,
    taken,
    update,
)

from posthouse.mail.event import EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import InlineContent, Placement, RecipientState
from posthouse.store.port import QueueFilter, Store, TraceQuery


async def test_an_accepted_message_is_read_back_as_it_was_written(open_as: OpenAs) -> None:
    store = await open_as("node")
    message = letter(1, to=("Anna.B@contoso.example", "bernd@fabrikam.example"))
    await store.accept(taken(message))
    await store.close()
    store = await open_as("node")
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=10)
    assert lease.message == message
    assert [w.recipient for w in lease.waiting] == list(message.envelope.recipients)
    assert (lease.hop, lease.until) == ("relay", NOW + MINUTE)


async def test_a_session_without_tls_and_a_stranger_are_read_back(store: Store) -> None:
    stranger = replace(SESSION, tls=None, principal=None, peer_ip="2001:db8::1")
    message = letter(1, sender=None, session=stranger)
    await store.accept(taken(message))
    story = await store.story(message.id)
    assert story is not None
    assert (story.message.session, story.message.envelope.sender) == (stranger, None)


async def test_content_is_read_back_octet_for_octet(store: Store) -> None:
    octets = bytes(range(256)) * 300
    await store.accept(taken(letter(1, content=InlineContent(octets))))
    assert await store.content(message_id(1)) == InlineContent(octets)
    assert await store.content(MessageId(77)) is None


async def test_each_recipient_waits_in_its_own_line(store: Store) -> None:
    message = letter(1, to=("a@one.example", "b@two.example", "c@one.example"))
    await store.accept(taken(message, hop=("mx/one.example", "mx/two.example", "mx/one.example")))
    (lease,) = await store.lease("mx/one.example", now=NOW, until=NOW + MINUTE, limit=10)
    assert [w.index for w in lease.waiting] == [0, 2]
    assert [h.hop for h in await store.due(NOW)] == ["mx/two.example"]


async def test_messages_of_one_transaction_come_together(store: Store) -> None:
    await store.accept_many([taken(letter(1)), taken(letter(2), state=HELD)])
    assert await store.open_count() == 2


async def test_a_message_among_many_that_is_wrong_takes_all_of_its_transaction_with_it(store: Store) -> None:
    await store.accept(taken(letter(1)))
    with pytest.raises(ValueError, match="already"):
        await store.accept_many([taken(letter(2)), taken(letter(1))])
    assert await store.story(message_id(2)) is None


async def test_a_job_that_fails_does_not_hurt_the_others_of_its_batch(store: Store) -> None:
    first = letter(1)
    results = await asyncio.gather(
        store.accept(taken(first)),
        store.accept(taken(letter(2))),
        store.accept(taken(letter(1))),
        store.settle(settlement(first, update(0, PENDING, next_at=NOW + HOUR))),
        store.accept(taken(letter(3))),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), type(None), ValueError, type(None), type(None)]
    assert await store.open_count() == 3
    assert await store.next_due_at() == NOW


async def test_accepting_the_same_message_twice_keeps_the_first(store: Store) -> None:
    await store.accept(taken(letter(1, subject="first")))
    with pytest.raises(ValueError, match="already"):
        await store.accept(taken(letter(1, subject="second")))
    assert [row.subject for row in await store.search(TraceQuery())] == ["first"]


@pytest.mark.parametrize("state", [PENDING, LEASED, HELD, DISCARDED])
async def test_a_copy_can_be_born_in_four_states(store: Store, state: RecipientState) -> None:
    await store.accept(taken(letter(1), state=state))
    assert [row.state for row in await store.search(TraceQuery())] == [state]


async def test_a_copy_born_leased_is_nobody_elses_until_it_is_returned(store: Store) -> None:
    await store.accept(taken(letter(1), state=LEASED))
    assert await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=10) == []
    assert await store.return_leases(owner="node", now=NOW) == 1
    assert len(await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=10)) == 1


async def test_a_lease_without_end_is_refused(store: Store) -> None:
    new = taken(letter(1))
    with pytest.raises(ValueError, match="lease_until"):
        await store.accept(replace(new, placements=(Placement(0, LEASED, "relay", NOW),)))


async def test_a_time_without_zone_is_refused_and_nothing_is_kept(store: Store) -> None:
    naive = datetime(2026, 3, 2, 10, 20)
    with pytest.raises(ValueError, match="zone"):
        await store.accept(taken(letter(1), due=naive))
    assert await store.open_count() == 0


async def test_a_thousand_recipients_are_one_message(store: Store) -> None:
    message = letter(1, to=[f"user{n}@contoso.example" for n in range(1000)])
    new = taken(message)
    routed = tuple(event(message, EventKind.ROUTED, n, hop="relay") for n in range(1000))
    await store.accept(replace(new, events=new.events + routed * 3))
    (lease,) = await store.lease("relay", now=NOW, until=NOW + MINUTE, limit=1)
    assert [w.index for w in lease.waiting] == list(range(1000))
    story = await store.story(message.id)
    assert story is not None
    assert len(story.events) == 3001


async def test_a_cancelled_wait_does_not_take_the_message_back(store: Store) -> None:
    waiting = asyncio.ensure_future(store.accept(taken(letter(1))))
    waiting.cancel()
    await store.accept(taken(letter(2)))
    assert await store.open_count() == 2


async def test_recipients_are_counted_for_each_principal_since_a_time(store: Store) -> None:
    await store.accept(taken(letter(1, to=("a@x.example", "b@x.example"), at=NOW)))
    await store.accept(taken(letter(2, at=NOW + HOUR)))
    await store.accept(taken(letter(3, at=NOW + HOUR, session=replace(SESSION, principal=None))))
    assert await store.recipients_since(NOW) == {"account:printer": 3}
    assert await store.recipients_since(NOW + MINUTE) == {"account:printer": 1}


async def test_a_sender_and_recipient_keep_their_letters(store: Store) -> None:
    await store.accept(taken(letter(1, to=("Änne.Müller@contoso.example",), sender="Scan.To@device.example")))
    (entry,) = await store.entries(QueueFilter())
    assert (entry.sender, entry.recipient) == ("Scan.To@device.example", "Änne.Müller@contoso.example")
    assert (await store.content(message_id(1))) == InlineContent(LETTER)
