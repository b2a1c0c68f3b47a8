"""What is removed when its time is over, and what is not."""

from __future__ import annotations

import pytest
from tests.store.samples import (
    DAY,
    DELIVERED,
    HELD,
    HOUR,
    LETTER,
    NOW,
    event,
    letter,
    message_id,
    settlement,
    taken,
    update,
)

from posthouse.mail.event import EventKind
from posthouse.mail.message import InlineContent
from posthouse.store.port import Retired, Store, TraceQuery


@pytest.fixture
async def aged(store: Store) -> Store:
    """1 was settled at once, 2 a day later, 3 is held, 4 has one copy open; a refusal at the door."""
    for number in (1, 2, 3):
        await store.accept(taken(letter(number), state=HELD))
    await store.accept(taken(letter(4, to=("a@x.example", "b@x.example"))))
    for number, at in ((1, NOW), (2, NOW + DAY), (4, NOW)):
        message = letter(number)
        settled = event(message, EventKind.DELIVERED, 0, at=at)
        await store.settle(settlement(message, update(0, DELIVERED), events=[settled]))
    await store.record([event(None, EventKind.REFUSED)])
    await store.record([event(None, EventKind.LOGIN, at=NOW + 3 * DAY)])
    return store


async def test_content_goes_when_the_message_was_settled_long_enough_ago(aged: Store) -> None:
    gone = await aged.retire(content_before=NOW + HOUR, trace_before=NOW - DAY, limit=100)
    assert gone == Retired(messages=0, contents=1, door_events=0)
    assert await aged.content(message_id(1)) is None
    assert await aged.content(message_id(2)) == InlineContent(LETTER)
    story = await aged.story(message_id(1))
    assert story is not None
    assert (story.has_content, story.content_octets) == (False, len(LETTER))


async def test_the_trace_goes_later_and_takes_the_events_along(aged: Store) -> None:
    gone = await aged.retire(content_before=NOW + 2 * DAY, trace_before=NOW + 2 * DAY, limit=100)
    assert gone == Retired(messages=2, contents=2, door_events=1)
    assert await aged.story(message_id(1)) is None
    assert {row.message_id for row in await aged.search(TraceQuery())} == {message_id(3), message_id(4)}
    events = [e for _, e in await aged.events_after(0, 100)]
    assert {e.message_id for e in events} == {None, message_id(3), message_id(4)}
    assert [e.kind for e in await aged.door_events(NOW - DAY, 9)] == [EventKind.LOGIN]


async def test_a_message_with_an_open_copy_keeps_everything(aged: Store) -> None:
    await aged.retire(content_before=NOW + 9 * DAY, trace_before=NOW + 9 * DAY, limit=100)
    for number in (3, 4):
        story = await aged.story(message_id(number))
        assert story is not None
        assert story.has_content


async def test_a_run_removes_no_more_than_its_limit(store: Store) -> None:
    for number in range(250):
        message = letter(number)
        await store.accept(taken(message))
        await store.settle(settlement(message, update(0, DELIVERED)))
    late = NOW + DAY
    assert await store.retire(content_before=late, trace_before=NOW, limit=120) == Retired(
        messages=0, contents=120, door_events=0
    )
    assert (await store.retire(content_before=late, trace_before=late, limit=240)).messages == 240
    assert (await store.retire(content_before=late, trace_before=late, limit=240)).messages == 10
    assert await store.search(TraceQuery()) == []
    assert await store.check() == []


async def test_numbers_of_events_are_not_given_again_after_everything_is_gone(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message))
    await store.settle(settlement(message, update(0, DELIVERED), events=[event(message, EventKind.DELIVERED, 0)]))
    cursor = (await store.events_after(0, 9))[-1][0]
    await store.retire(content_before=NOW + DAY, trace_before=NOW + DAY, limit=100)
    await store.record([event(None, EventKind.LOGIN)])
    assert [e.kind for _, e in await store.events_after(cursor, 9)] == [EventKind.LOGIN]
