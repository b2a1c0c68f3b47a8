"""After a crash, what an attempt may have delivered is unknown; everything else is simply due again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.samples import HOUR, LEASED, MINUTE, NOW, PENDING, UNKNOWN, letter, settlement, taken, update

from posthouse.decide.identities import ClientSecret
from posthouse.decide.outbound import Smarthost, Submission
from posthouse.decide.ways import Way, limits_of
from posthouse.mail.event import Event, EventKind
from posthouse.mail.message import Lease, Message, Waiting
from posthouse.mail.outcome import OnUnknown
from posthouse.mail.route import Route
from posthouse.queue.port import Job, Permit
from posthouse.queue.recover import note_start, recover
from posthouse.store.port import QueueEntry, QueueFilter
from posthouse.store.sqlite.store import SqliteStore

APP = ClientSecret(name="app", tenant="t", client_id="c", client_secret="env:S")
SENDER = "relay@contoso.example"
PEOPLE = ("anna@contoso.example", "bert@contoso.example")


def way(on_unknown: OnUnknown = "verify") -> Way:
    connector = Submission(name="m365", identity="app", mailboxes=(SENDER,), on_unknown=on_unknown)
    return Way(connector=connector, identity=APP, limits=limits_of(connector))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path, node="node")
    await opened.open()
    yield opened
    await opened.close()


async def begin(store: SqliteStore, message: Message, out: Way, *indices: int) -> None:
    """Note the start of an attempt with these copies."""
    waiting = tuple(Waiting(n, message.envelope.recipients[n]) for n in indices)
    lease = Lease(message=message, hop="m365", waiting=waiting, until=NOW + HOUR)
    permit = Permit(way=out, mailbox=SENDER, charges=(), taken_at=NOW)
    job = Job(lease=lease, route=Route("default", ("m365",), "m365", ""), ways=(out,), permit=permit)
    await note_start(job, store, NOW + MINUTE)


async def leased(store: SqliteStore) -> Message:
    message = letter(1, to=PEOPLE)
    await store.accept(taken(message, state=LEASED, hop="m365"))
    return message


async def entries(store: SqliteStore) -> list[QueueEntry]:
    return sorted(await store.entries(QueueFilter()), key=lambda entry: entry.index)


async def test_a_copy_whose_attempt_had_begun_is_looked_for(store: SqliteStore) -> None:
    message = await leased(store)
    await begin(store, message, way(), 0)
    assert await recover(store, {"m365": way()}, NOW + HOUR) == 1
    one, other = await entries(store)
    assert (one.state, other.state) == (UNKNOWN, LEASED)
    story = await store.story(message.id)
    assert story is not None
    event = story.events[-1]
    assert event.kind is EventKind.UNKNOWN
    assert event.at == NOW + MINUTE, "it was lost when it was sent"
    assert (event.detail["connector"], event.detail["mailbox"], event.detail["then"]) == ("m365", SENDER, "look")


async def test_where_an_operator_decides_nobody_looks(store: SqliteStore) -> None:
    message = await leased(store)
    await begin(store, message, way("hold"), 0, 1)
    assert await recover(store, {"m365": way("hold")}, NOW + HOUR) == 2
    story = await store.story(message.id)
    assert story is not None
    assert "then" not in story.events[-1].detail


async def test_where_mail_may_be_sent_twice_nothing_is_noted(store: SqliteStore) -> None:
    message = await leased(store)
    await begin(store, message, way("retry"), 0, 1)
    assert await recover(store, {"m365": way()}, NOW + HOUR) == 0


async def test_an_attempt_that_ended_is_no_reason(store: SqliteStore) -> None:
    message = await leased(store)
    await begin(store, message, way(), 0, 1)
    later = NOW + 2 * MINUTE
    deferred = [Event(later, EventKind.DEFERRED, message.id, index, {"connector": "m365"}) for index in (0, 1)]
    await store.settle(
        settlement(message, update(0, PENDING, next_at=later), update(1, PENDING, next_at=later), events=deferred)
    )
    assert len(await store.lease("m365", now=NOW + HOUR, until=NOW + 2 * HOUR, limit=9)) == 1
    assert await recover(store, {"m365": way()}, NOW + HOUR) == 0


async def test_a_flow_without_microsoft_asks_nothing(store: SqliteStore) -> None:
    message = await leased(store)
    await begin(store, message, way(), 0)
    smarthost = Way(connector=Smarthost(name="m365", hosts=("192.0.2.1",)))
    assert await recover(store, {"m365": smarthost}, NOW + HOUR) == 0
