"""The trace search: what an administrator types, and what comes back, newest first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.store.samples import (
    DELIVERED,
    FAILED,
    HOUR,
    MINUTE,
    NOW,
    PENDING,
    SESSION,
    letter,
    message_id,
    notice,
    settlement,
    taken,
    update,
)

from posthouse.mail.ids import MessageId, show_message_id
from posthouse.mail.session import Principal, PrincipalKind
from posthouse.store.port import Store, TraceQuery, TraceRow

CRM = replace(SESSION, listener="submission", principal=Principal(PrincipalKind.INBOUND_CONNECTOR, "crm"))


async def found(store: Store, **query: object) -> list[int]:
    """Numbers of the messages found (the lowest bits of their ids)."""
    rows = await store.search(TraceQuery(**query))  # type: ignore[arg-type]
    return [row.message_id & 0xFF for row in rows]


@pytest.fixture
async def filled(store: Store) -> Store:
    """Five messages, an hour between each two."""
    letters = [
        letter(1, sender="Scan_A@device.example", to=("anna@contoso.example",), subject="Rechnung 17"),
        letter(2, sender="scanXa@device.example", to=("bert@fabrikam.example",), at=NOW + HOUR, subject="ÜBERSICHT"),
        letter(3, sender="crm@apps.example", to=("Anna@Contoso.example",), at=NOW + 2 * HOUR, session=CRM),
        letter(4, sender=None, to=("scan_a@device.example",), at=NOW + 3 * HOUR, subject="100% [done]*"),
        letter(5, to=("anna@contoso.example", "carl@contoso.example"), at=NOW + 4 * HOUR, header_id="<a@b>"),
    ]
    for message, hop in zip(letters, ("eop", "mx/fabrikam.example", "eop", "eop", "eop"), strict=True):
        await store.accept(taken(message, hop=hop))
    await store.settle(
        settlement(letters[1], update(0, DELIVERED, connector="backup", remote="mx.fabrikam.example [192.0.2.9]:25"))
    )
    await store.settle(settlement(letters[4], update(1, FAILED, last_reply="550 5.1.1 unknown")))
    return store


async def test_without_conditions_everything_comes_newest_first(filled: Store) -> None:
    assert await found(filled) == [5, 5, 4, 3, 2, 1]
    rows = await filled.search(TraceQuery(limit=2))
    assert [(row.index, row.state) for row in rows] == [(1, FAILED), (0, PENDING)]


async def test_a_row_tells_what_exchange_tells(filled: Store) -> None:
    (row,) = await filled.search(TraceQuery(recipient="bert@fabrikam.example"))
    assert row == TraceRow(
        message_id=message_id(2, NOW + HOUR),
        index=0,
        received_at=NOW + HOUR,
        sender="scanXa@device.example",
        recipient="bert@fabrikam.example",
        subject="ÜBERSICHT",
        state=DELIVERED,
        peer_ip="192.0.2.10",
        remote="mx.fabrikam.example [192.0.2.9]:25",
        size_octets=row.size_octets,
        header_message_id="<2@device.example>",
        principal="account:printer",
        connector="backup",
        last_reply="",
    )


@pytest.mark.parametrize(
    ("sender", "numbers"),
    [
        ("scan_a@device.example", [1]),
        ("SCAN_A@DEVICE.EXAMPLE", [1]),
        ("<scan_a@device.example>", [1]),
        ("@device.example", [5, 5, 2, 1]),
        ("@device", []),
        ("scan*@device.example", [5, 5, 2, 1]),
        ("*_a@device.example", [1]),
        ("*@*.example", [5, 5, 3, 2, 1]),
        ("crm*", [3]),
        ("*apps*", [3]),
        ("@*.example", [5, 5, 3, 2, 1]),
        ("scan_a", []),
        ("<>", [4]),
        ("", [4]),
        ("%", []),
    ],
)
async def test_senders_are_found_by_address_domain_or_pattern(filled: Store, sender: str, numbers: list[int]) -> None:
    assert await found(filled, sender=sender) == numbers


@pytest.mark.parametrize(
    ("recipient", "numbers"),
    [
        ("anna@contoso.example", [5, 3, 1]),
        ("@contoso.example", [5, 5, 3, 1]),
        ("*rl@contoso.example", [5]),
        ("b*", [2]),
        ("nobody@contoso.example", []),
    ],
)
async def test_recipients_are_found_in_the_same_ways(filled: Store, recipient: str, numbers: list[int]) -> None:
    assert await found(filled, recipient=recipient) == numbers


@pytest.mark.parametrize(
    ("subject", "numbers"),
    [("rechnung", [1]), ("übersicht", [2]), ("0% [", [4]), ("]*", [4]), ("?", []), ("", [5, 5, 4, 3, 2, 1])],
)
async def test_subjects_are_found_by_a_part_in_any_case(filled: Store, subject: str, numbers: list[int]) -> None:
    assert await found(filled, subject=subject) == numbers


async def test_a_message_is_found_by_its_message_id_or_by_ours(filled: Store) -> None:
    assert await found(filled, message_id="<3@device.example>") == [3]
    assert await found(filled, message_id="3@device.example") == [3]
    assert await found(filled, message_id="<a@b>") == [5, 5]
    assert await found(filled, message_id=show_message_id(message_id(3, NOW + 2 * HOUR))) == [3]
    assert await found(filled, message_id=show_message_id(message_id(99))) == []
    assert await found(filled, message_id="<nobody@device.example>") == []


@pytest.mark.parametrize(
    ("connector", "numbers"),
    [("crm", [3]), ("submission", [3]), ("printer", [5, 5, 4, 2, 1]), ("mx", [2]), ("backup", [2]), ("nix", [])],
)
async def test_a_connector_is_a_listener_an_account_or_either_end(
    filled: Store, connector: str, numbers: list[int]
) -> None:
    assert await found(filled, connector=connector) == numbers


async def test_states_and_times_narrow_the_search(filled: Store) -> None:
    assert await found(filled, states=(DELIVERED, FAILED)) == [5, 2]
    assert await found(filled, since=NOW + HOUR, until=NOW + 3 * HOUR) == [4, 3, 2]
    assert await found(filled, since=NOW + HOUR + MINUTE, until=NOW + 2 * HOUR) == [3]
    assert await found(filled, sender="@device.example", until=NOW + HOUR) == [2, 1]


async def test_conditions_are_joined_by_and(filled: Store) -> None:
    assert await found(filled, sender="@device.example", recipient="@contoso.example", states=(PENDING,)) == [5, 1]
    assert await found(filled, message_id="<3@device.example>", recipient="@fabrikam.example") == []


async def test_the_next_page_begins_below_the_last_row(filled: Store) -> None:
    for query in (TraceQuery(limit=2), TraceQuery(limit=2, recipient="@contoso.example")):
        rows: list[TraceRow] = []
        while page := await filled.search(query):
            rows += page
            query = replace(query, before=(page[-1].message_id, page[-1].index))
        assert rows == await filled.search(replace(query, limit=100, before=None))


async def test_pages_are_complete_across_many_segments(store: Store) -> None:
    """Accepted out of order, so that ids and the order of writing differ."""
    numbers = [n * 7919 % 5000 for n in range(5000)]
    for start in range(0, 5000, 250):
        await store.accept_many([taken(letter(n, at=NOW + n * MINUTE)) for n in numbers[start : start + 250]])
    query, seen = TraceQuery(sender="scan@device.example", limit=700), list[MessageId]()
    while page := await store.search(query):
        seen += [row.message_id for row in page]
        query = replace(query, before=(page[-1].message_id, page[-1].index))
    assert seen == [message_id(n, NOW + n * MINUTE) for n in reversed(range(5000))]
    assert await store.seen_before("<4999@device.example>", NOW) == 1


async def test_a_message_id_seen_before_is_counted(store: Store) -> None:
    for number, at in ((1, NOW), (2, NOW + HOUR), (3, NOW + 2 * HOUR)):
        await store.accept(taken(letter(number, at=at, header_id="<same@x>" if number != 2 else "<other@x>")))
    assert await store.seen_before("<same@x>", NOW) == 2
    assert await store.seen_before("<same@x>", NOW + HOUR) == 1
    assert await store.seen_before("<never@x>", NOW) == 0
    assert await store.seen_before("", NOW) == 0


async def test_the_story_of_a_message_names_its_notices(store: Store) -> None:
    message = letter(1, to=("a@x.example", "b@x.example"))
    await store.accept(taken(message))
    await store.accept(notice(2, message))
    story = await store.story(message.id)
    assert story is not None
    assert [row.recipient for row in story.rows] == ["a@x.example", "b@x.example"]
    assert (story.notices, story.has_content) == ((message_id(2),), True)
    assert story.content_octets == message.content.size_octets
    other = await store.story(message_id(2))
    assert other is not None
    assert other.message.parent == message.id
    assert await store.story(message_id(3)) is None
