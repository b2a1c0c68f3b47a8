"""The queue view, expiry, delay notices and moves between waiting lines."""

from __future__ import annotations

from tests.store.samples import (
    CANCELLED,
    DAY,
    HELD,
    HOUR,
    LEASED,
    MINUTE,
    NOW,
    PENDING,
    UNKNOWN,
    letter,
    message_id,
    settlement,
    taken,
    update,
)

from posthouse.mail.ids import MessageId
from posthouse.store.port import QueueFilter, Store


async def entry_ids(store: Store, query: QueueFilter) -> list[MessageId]:
    """Messages of the queue view."""
    return [entry.message_id for entry in await store.entries(query)]


async def fill(store: Store) -> None:
    """Four copies: two pending, one held, one leased; a fifth is cancelled."""
    await store.accept(taken(letter(1, to=("anna@contoso.example",), sender="Scan@device.example"), hop="mx/contoso"))
    await store.accept(taken(letter(2, to=("bert@fabrikam.example",), at=NOW + MINUTE), hop="mx/fabrikam"))
    await store.accept(taken(letter(3, to=("carl@contoso.example",), at=NOW + HOUR), state=HELD, hop="mx"))
    await store.accept(taken(letter(4, sender="crm@apps.example", at=NOW + 2 * HOUR), state=LEASED, hop="mxx"))
    gone = letter(5)
    await store.accept(taken(gone))
    await store.settle(settlement(gone, update(0, CANCELLED)))


IDS = [message_id(1), message_id(2, NOW + MINUTE), message_id(3, NOW + HOUR), message_id(4, NOW + 2 * HOUR)]


async def test_the_queue_view_shows_what_is_open_oldest_first(store: Store) -> None:
    await fill(store)
    entries = await store.entries(QueueFilter())
    assert [entry.message_id for entry in entries] == IDS
    first = entries[0]
    assert (first.index, first.sender, first.recipient, first.subject) == (
        0,
        "Scan@device.example",
        "anna@contoso.example",
        "scan",
    )
    assert (first.received_at, first.expires_at, first.next_at) == (NOW, NOW + DAY, NOW)
    assert (first.state, first.hop, first.attempts, first.last_reply) == (PENDING, "mx/contoso", 0, "")


async def test_the_queue_view_is_filtered(store: Store) -> None:
    await fill(store)
    assert await entry_ids(store, QueueFilter(sender="SCAN@Device.Example")) == IDS[:3]
    assert await entry_ids(store, QueueFilter(sender="@apps.example")) == IDS[3:]
    assert await entry_ids(store, QueueFilter(recipient="@contoso.example")) == [IDS[0], IDS[2], IDS[3]]
    assert await entry_ids(store, QueueFilter(recipient="bert@fabrikam.example")) == [IDS[1]]
    assert await entry_ids(store, QueueFilter(message_ids=(IDS[1], IDS[3]))) == [IDS[1], IDS[3]]
    assert await entry_ids(store, QueueFilter(states=(HELD, LEASED))) == IDS[2:]
    assert await entry_ids(store, QueueFilter(states=(CANCELLED,))) == [message_id(5)]
    assert await entry_ids(store, QueueFilter(limit=2)) == IDS[:2]


async def test_the_name_of_a_line_stands_for_its_branches(store: Store) -> None:
    await fill(store)
    assert await entry_ids(store, QueueFilter(hop="mx")) == IDS[:3]
    assert await entry_ids(store, QueueFilter(hop="mx/contoso")) == IDS[:1]


async def test_lines_are_summed_up(store: Store) -> None:
    for number in (1, 2):
        message = letter(number, at=NOW + number * MINUTE)
        await store.accept(taken(message))
        await store.settle(
            settlement(message, update(0, PENDING, next_at=NOW + number * HOUR, last_reply=f"45{number} busy"))
        )
    await store.accept(taken(letter(3), state=HELD))
    await store.accept(taken(letter(4), state=HELD, hop="other"))
    relay, other = sorted(await store.hops(), key=lambda summary: summary.hop, reverse=True)
    assert (relay.hop, relay.counts) == ("relay", {PENDING: 2, HELD: 1})
    assert (relay.oldest_at, relay.next_at) == (NOW, NOW + HOUR)
    assert relay.last_reply in {"451 busy", "452 busy"}
    assert (other.counts, other.next_at, other.last_reply) == ({HELD: 1}, None, "")


async def test_the_open_copies_are_counted(store: Store) -> None:
    await fill(store)
    assert await store.open_count() == 4


async def test_pending_copies_of_expired_messages_are_leased_for_the_bounce(store: Store) -> None:
    await store.accept(taken(letter(1, expires=HOUR, to=("a@x.example", "b@x.example")), due=NOW + 9 * HOUR))
    await store.accept(taken(letter(2, expires=2 * HOUR)))
    for number, state in ((3, HELD), (4, UNKNOWN)):
        message = letter(number, expires=MINUTE)
        await store.accept(taken(message))
        await store.settle(settlement(message, update(0, state)))
    await store.accept(taken(letter(5, expires=MINUTE), state=LEASED))
    (lease,) = await store.overdue(NOW + HOUR, limit=10)
    assert lease.message == letter(1, expires=HOUR, to=("a@x.example", "b@x.example"))
    assert [w.index for w in lease.waiting] == [0, 1]
    assert await store.overdue(NOW + HOUR, limit=10) == []


async def test_the_limit_of_overdue_counts_messages(store: Store) -> None:
    for number in (1, 2, 3):
        await store.accept(taken(letter(number, to=("a@x.example", "b@y.example"), expires=HOUR), hop=("a", "b")))
    leases = await store.overdue(NOW + HOUR, limit=2)
    assert [(lease.message.id, lease.hop) for lease in leases] == [
        (message_id(1), "a"),
        (message_id(1), "b"),
        (message_id(2), "a"),
        (message_id(2), "b"),
    ]


async def test_each_copy_is_named_once_for_the_delay_notice(store: Store) -> None:
    old, young = letter(1), letter(2, at=NOW + HOUR)
    await store.accept(taken(old, due=NOW + 3 * HOUR))
    await store.accept(taken(young))
    (lease,) = await store.undelayed(NOW + HOUR, NOW + HOUR, limit=9)
    assert lease.message.id == old.id
    assert await store.undelayed(NOW + HOUR, NOW + HOUR, limit=9) == []
    await store.settle(settlement(old, update(0, PENDING, counts_as_attempt=False, delay_noticed=True)))
    assert await store.undelayed(NOW + HOUR, NOW + HOUR, limit=9) == []
    assert await store.lease("relay", now=NOW + 2 * HOUR, until=NOW + 3 * HOUR, limit=1) != []
    (again,) = await store.lease("relay", now=NOW + 3 * HOUR, until=NOW + 4 * HOUR, limit=9)
    assert (again.message.id, again.waiting[0].delay_noticed) == (old.id, True)


async def test_an_expired_message_gets_no_delay_notice(store: Store) -> None:
    await store.accept(taken(letter(1, expires=HOUR)))
    assert await store.undelayed(NOW + 2 * HOUR, NOW + 2 * HOUR, limit=9) == []


async def test_pending_and_held_copies_move_to_other_lines(store: Store) -> None:
    await fill(store)
    await store.rename_hops([(number, 0, "new") for number in IDS])
    assert [entry.hop for entry in await store.entries(QueueFilter())] == ["new", "new", "new", "mxx"]
    assert [line.hop for line in await store.due(NOW + DAY)] == ["new"]
    await store.rename_hops([])


async def test_pending_and_held_copies_are_paged_through_once_each(store: Store) -> None:
    await fill(store)
    many = letter(6, to=[f"u{n}@x.example" for n in range(7)], at=NOW + 3 * HOUR)
    await store.accept(taken(many, hop=("a", "b", "a", "a", "b", "b", "a")))
    seen, after = [], None
    while page := await store.pending_copies(after, 3):
        seen += [(lease.message.id, w.index, lease.hop) for lease in page for w in lease.waiting]
        after = (page[-1].message.id, page[-1].waiting[-1].index)
    expected = [(IDS[0], 0, "mx/contoso"), (IDS[1], 0, "mx/fabrikam"), (IDS[2], 0, "mx")]
    assert seen == expected + [(many.id, index, hop) for index, hop in enumerate("abaabba")]
