"""Events: in the order of writing, at the door or in the story of a message."""

from __future__ import annotations

import asyncio

from tests.store.samples import HOUR, MINUTE, NOW, event, letter, message_id, taken

from posthouse.mail.event import Event, EventKind
from posthouse.store.port import Store


async def test_an_event_is_read_back_with_all_its_detail(store: Store) -> None:
    detail = {"text": "ü", "number": 3, "share": 0.5, "yes": True, "list": ["a", "b"], "nothing": None}
    written = Event(NOW, EventKind.ATTEMPTED, message_id(1), 4, detail)
    await store.accept(taken(letter(1)))
    await store.record([written])
    story = await store.story(message_id(1))
    assert story is not None
    assert story.events[-1] == written


async def test_events_at_the_door_are_listed_newest_first(store: Store) -> None:
    refusals = [event(None, EventKind.REFUSED, at=NOW + n * MINUTE, stage=str(n)) for n in range(5)]
    await store.record(refusals)
    await store.record([event(letter(1), EventKind.DEFERRED)])
    assert await store.door_events(NOW + 2 * MINUTE, 2) == [refusals[4], refusals[3]]
    assert await store.door_events(NOW + 2 * MINUTE, 9) == [refusals[4], refusals[3], refusals[2]]
    assert await store.door_events(NOW + HOUR, 9) == []


async def test_events_are_followed_with_a_cursor(store: Store) -> None:
    message = letter(1)
    await store.accept(taken(message))
    first = await store.events_after(0, 100)
    assert [e.kind for _, e in first] == [EventKind.ACCEPTED]
    happened = [event(message, EventKind.DEFERRED, n) for n in range(5)]
    await store.record([*happened, event(None, EventKind.LOGIN)])
    seen, cursor = [], first[-1][0]
    while page := await store.events_after(cursor, 2):
        seen += [e for _, e in page]
        cursor = page[-1][0]
    assert sorted(e.kind for e in seen) == sorted([EventKind.LOGIN, *[EventKind.DEFERRED] * 5])
    assert [e for e in seen if e.kind is EventKind.DEFERRED] == happened


async def test_no_event_is_numbered_below_one_that_was_read(store: Store) -> None:
    seen: list[object] = []
    cursor = 0
    for start in range(0, 60, 20):
        writes = [asyncio.ensure_future(_wait(store, n)) for n in range(start, start + 20)]
        while not all(write.done() for write in writes):
            cursor = _note(await store.events_after(cursor, 3), seen, cursor)
        cursor = _note(await store.events_after(cursor, 100), seen, cursor)
    assert sorted(seen, key=str) == sorted((str(n) for n in range(60)), key=str)


def _note(page: list[tuple[int, Event]], seen: list[object], cursor: int) -> int:
    seen += [happened.detail["number"] for _, happened in page]
    return page[-1][0] if page else cursor


async def _wait(store: Store, number: int) -> None:
    await store.record([event(None, EventKind.LOGIN, number=str(number))])


async def test_recording_nothing_is_allowed(store: Store) -> None:
    await store.record([])
    assert await store.events_after(0, 10) == []
