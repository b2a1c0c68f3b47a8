"""Budgets: attempts stay inside the limits, over mailboxes, restarts and what the other side says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posthouse.decide.identities import ClientSecret
from posthouse.decide.outbound import Graph, Submission
from posthouse.decide.ways import Way, limits_of
from posthouse.mail.address import Address
from posthouse.mail.budget import Charge, Pause
from posthouse.mail.envelope import Recipient
from posthouse.mail.message import Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Delivered, Scope
from posthouse.mail.reply import Reply
from posthouse.queue.budget import Budgets
from posthouse.queue.port import NoRoom, Permit
from posthouse.store.sqlite.store import SqliteStore

SENDER = Address.parse("scanner@contoso.example")
APP = ClientSecret(name="app", tenant="t", client_id="c", client_secret="env:S")
DELIVERED = AttemptResult(index=0, outcome=Delivered(reply=Reply.of(250, "2.0.0", "OK")), connector="m365")


def waiting(count: int, domain: str = "contoso.example") -> list[Waiting]:
    return [Waiting(n, Recipient(Address.parse(f"r{n}@{domain}"))) for n in range(count)]


def way(*mailboxes: str, external_per_day: int | None = None, **settings: object) -> Way:
    connector = Submission(
        name="m365",
        identity="app",
        mailboxes=mailboxes or ("relay@contoso.example",),
        **settings,  # type: ignore[arg-type]
    )
    return Way(
        connector=connector, identity=APP, limits=limits_of(connector), tenant="t", external_per_day=external_per_day
    )


class Desk:
    """Budgets over a store, with a clock that is wound by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = datetime(2026, 11, 23, 9, tzinfo=UTC)
        self.told: list[Pause] = []

    async def open(self) -> None:
        self.store = SqliteStore(self.directory, node="node")
        await self.store.open()
        self.budgets = Budgets(
            self.store,
            is_internal=lambda domain: domain == "contoso.example",
            clock=lambda: self.now,
            on_pause=self.told.append,
        )
        await self.budgets.open()

    async def take(self, out: Way, count: int = 1, domain: str = "contoso.example") -> Permit | NoRoom:
        return await self.budgets.take(out, SENDER, waiting(count, domain))

    async def send(self, out: Way, count: int = 1, domain: str = "contoso.example") -> Permit | NoRoom:
        """Take and deliver at once."""
        answer = await self.take(out, count, domain)
        if isinstance(answer, Permit):
            await self.budgets.finish(answer, [DELIVERED])
        return answer

    async def send_until_refused(self, out: Way, count: int = 1, domain: str = "contoso.example") -> tuple[int, NoRoom]:
        for sent in range(20_000):
            answer = await self.send(out, count, domain)
            if isinstance(answer, NoRoom):
                return sent, answer
        raise AssertionError("no limit was met")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    await made.open()
    yield made
    await made.store.close()


async def test_thirty_messages_a_minute_and_not_one_more(desk: Desk) -> None:
    sent, room = await desk.send_until_refused(way())
    assert sent == 30
    assert room.reason == "the limit of 30 messages a minute of relay@contoso.example is used up"
    assert timedelta(seconds=60) <= room.wait <= timedelta(seconds=62)
    desk.now += timedelta(seconds=59)
    assert isinstance(await desk.take(way()), NoRoom)
    desk.now += timedelta(seconds=3)
    assert isinstance(await desk.take(way()), Permit)


async def test_no_minute_that_slides_ever_holds_more_than_the_limit(desk: Desk) -> None:
    moments: list[datetime] = []
    for _ in range(1200):
        if isinstance(await desk.send(way(max_connections=3)), Permit):
            moments.append(desk.now)
        desk.now += timedelta(milliseconds=370)
    assert len(moments) > 190
    for moment in moments:
        assert sum(moment <= other < moment + timedelta(minutes=1) for other in moments) <= 30


async def test_the_days_recipients_are_counted_in_any_24_hours(desk: Desk) -> None:
    out = way(recipients_per_day=1000, messages_per_minute=1000)
    sent, room = await desk.send_until_refused(out, count=100)
    assert sent == 10
    assert "1000 recipients a day" in room.reason
    desk.now += timedelta(hours=23, minutes=59)
    assert isinstance(await desk.take(out, 100), NoRoom)
    desk.now += timedelta(minutes=12)
    assert isinstance(await desk.take(out, 100), Permit)


async def test_what_was_used_is_remembered_over_a_restart(desk: Desk) -> None:
    await desk.send_until_refused(way())
    await desk.store.close()
    await desk.open()
    assert isinstance(await desk.take(way()), NoRoom)


async def test_two_connectors_of_one_mailbox_share_its_day(desk: Desk) -> None:
    connector = Graph(name="graph", identity="app", mailboxes=("relay@contoso.example",), recipients_per_day=500)
    by_graph = Way(connector=connector, identity=APP, limits=limits_of(connector))
    out = way(recipients_per_day=500)
    assert isinstance(await desk.send(out, 400), Permit)
    assert isinstance(await desk.send(by_graph, 200), NoRoom)
    assert isinstance(await desk.send(by_graph, 100), Permit)


async def test_a_connector_with_a_smaller_share_of_a_mailbox_is_full_for_itself_alone(desk: Desk) -> None:
    connector = Graph(name="graph", identity="app", mailboxes=("relay@contoso.example",), recipients_per_day=500)
    by_graph = Way(connector=connector, identity=APP, limits=limits_of(connector))
    small = way(recipients_per_day=20)
    assert isinstance(await desk.send(small, 20), Permit)
    assert isinstance(await desk.send(small, 1), NoRoom)
    assert isinstance(await desk.send(by_graph, 1), Permit)


async def test_a_pool_multiplies_the_room_and_shares_the_load(desk: Desk) -> None:
    boxes = tuple(f"box{n}@contoso.example" for n in range(4))
    sent, _ = await desk.send_until_refused(way(*boxes))
    assert sent == 4 * 30


async def test_only_recipients_outside_count_for_the_tenant(desk: Desk) -> None:
    out = way(external_per_day=50, messages_per_minute=1000)
    assert isinstance(await desk.send(out, 400), Permit)
    sent, room = await desk.send_until_refused(out, count=10, domain="elsewhere.example")
    assert sent == 5
    assert "50 external recipients a day of t" in room.reason


async def test_no_more_than_three_attempts_of_a_mailbox_run_at_once(desk: Desk) -> None:
    permits = [await desk.take(way()) for _ in range(3)]
    assert all(isinstance(permit, Permit) for permit in permits)
    refused = await desk.take(way())
    assert isinstance(refused, NoRoom) and "3 connections" in refused.reason
    assert isinstance(permits[0], Permit)
    await desk.budgets.finish(permits[0], [DELIVERED])
    assert isinstance(await desk.take(way()), Permit)


async def test_an_attempt_that_takes_long_counts_when_it_ends(desk: Desk) -> None:
    out = way(messages_per_minute=1)
    permit = await desk.take(out)
    assert isinstance(permit, Permit)
    desk.now += timedelta(seconds=50)
    await desk.budgets.finish(permit, [DELIVERED])
    desk.now += timedelta(seconds=20)
    assert isinstance(await desk.take(out), NoRoom)
    desk.now += timedelta(seconds=45)
    assert isinstance(await desk.take(out), Permit)


async def test_an_attempt_without_a_session_costs_nothing(desk: Desk) -> None:
    out = way(messages_per_minute=1)
    permit = await desk.take(out)
    assert isinstance(permit, Permit)
    lost = Deferred(reason="no connection", scope=Scope.HOP, is_glitch=True)
    await desk.budgets.finish(permit, [AttemptResult(index=0, outcome=lost, connector="m365")])
    assert isinstance(await desk.take(out), Permit)


async def test_a_refused_log_in_rests_its_mailbox_and_the_others_go_on(desk: Desk) -> None:
    out = way("a@contoso.example", "b@contoso.example")
    permit = await desk.take(out)
    assert isinstance(permit, Permit) and permit.mailbox == "a@contoso.example"
    refused = Deferred(
        reason="the password is wrong",
        reply=Reply.of(535, "5.7.139", "Authentication unsuccessful"),
        scope=Scope.MAILBOX,
        needs_operator=True,
    )
    await desk.budgets.finish(permit, [AttemptResult(index=0, outcome=refused, connector="m365")])
    assert [(pause.account, pause.until) for pause in desk.told] == [("mailbox:a@contoso.example", None)]
    for _ in range(4):
        answer = await desk.send(out)
        assert isinstance(answer, Permit) and answer.mailbox == "b@contoso.example"


async def test_a_rest_that_needs_a_person_survives_a_restart_and_ends_by_a_persons_hand(desk: Desk) -> None:
    await desk.budgets.pause("mailbox:relay@contoso.example", None, "the account is locked", "535 5.7.139 locked")
    await desk.store.close()
    await desk.open()
    desk.now += timedelta(days=3)
    room = await desk.take(way())
    assert isinstance(room, NoRoom) and room.reason == "relay@contoso.example rests: the account is locked"
    assert await desk.budgets.resume(["mailbox:relay@contoso.example"]) == ["mailbox:relay@contoso.example"]
    assert isinstance(await desk.take(way()), Permit)


async def test_told_to_slow_down_it_slows_down_and_recovers(desk: Desk) -> None:
    out = way()
    permit = await desk.take(out)
    assert isinstance(permit, Permit)
    told = Deferred(
        reason="too many connections of this sender at once",
        reply=Reply.of(432, "4.3.2", "Concurrent connections limit exceeded."),
        scope=Scope.MAILBOX,
        retry_after=timedelta(minutes=1),
    )
    await desk.budgets.finish(permit, [AttemptResult(index=0, outcome=told, connector="m365")])
    assert isinstance(await desk.take(out), NoRoom)
    assert desk.told == []
    desk.now += timedelta(minutes=2)
    sent, _ = await desk.send_until_refused(out)
    assert 15 <= sent < 20
    for _ in range(6):
        desk.now += timedelta(minutes=2)
        sent, _ = await desk.send_until_refused(out)
    assert sent == 30


async def test_uses_are_shown_with_their_reset(desk: Desk) -> None:
    for _ in range(5):
        await desk.send(way(), count=7)
    uses = {(use.what, use.window): use for use in await desk.budgets.uses()}
    day = uses[("recipients", timedelta(days=1))]
    assert day.used == 35
    assert day.reset_at is not None and timedelta(hours=24) <= day.reset_at - desk.now <= timedelta(
        hours=24, minutes=10
    )
    assert uses[("messages", timedelta(minutes=1))].used == 5


async def test_all_charges_are_taken_or_none(desk: Desk) -> None:
    small = Charge("mailbox:x", "messages", timedelta(minutes=1), 10, 1)
    large = Charge("mailbox:x", "recipients", timedelta(days=1), 5, 6)
    assert await desk.store.spend((small, large), desk.now) is not None
    assert await desk.store.budget_uses(desk.now) == []


async def test_old_counts_are_forgotten(desk: Desk) -> None:
    await desk.send(way())
    desk.now += timedelta(days=4)
    await desk.budgets.forget_old()
    rows = await desk.store.reader.run(lambda c: c.execute("SELECT count(*) FROM budget").get)
    assert rows == 0


async def test_a_store_that_cannot_count_grants_nothing_and_takes_no_result_away(desk: Desk) -> None:
    out = way()
    granted = await desk.take(out)
    other = await desk.take(out)
    assert isinstance(granted, Permit) and isinstance(other, Permit)
    refused = Deferred(reason="no", scope=Scope.MAILBOX, reply=Reply.of(535, "5.7.139", "no"), needs_operator=True)
    await desk.store.close()
    desk.now += timedelta(seconds=2)
    assert isinstance(await desk.take(out), NoRoom)
    await desk.budgets.give_back(other)
    await desk.budgets.finish(granted, [AttemptResult(index=0, outcome=refused, connector="m365")])
    assert [pause.account for pause in desk.budgets.resting()] == ["mailbox:relay@contoso.example"]
    assert len(desk.told) == 1
    await desk.open()
    assert [isinstance(await desk.take(out), Permit) for _ in range(3)] == [True, True, True]


async def test_what_graph_refuses_keeps_no_log_in_by_smtp_from_its_mailbox(desk: Desk) -> None:
    connector = Graph(name="graph", identity="app", mailboxes=("relay@contoso.example",))
    by_graph = Way(connector=connector, identity=APP, limits=limits_of(connector))
    permit = await desk.take(by_graph)
    assert isinstance(permit, Permit)
    told = Deferred(
        reason="Graph asks for peace",
        reply=Reply.of(429, "4.7.0", "TooManyRequests"),
        scope=Scope.MAILBOX,
        retry_after=timedelta(minutes=5),
    )
    await desk.budgets.finish(permit, [AttemptResult(index=0, outcome=told, connector="graph")])
    assert isinstance(await desk.take(by_graph), NoRoom)
    assert isinstance(await desk.take(way()), Permit)


async def test_an_attempt_that_outlasts_the_window_keeps_its_place_in_the_next(desk: Desk) -> None:
    out = way()
    slow = await desk.take(out)
    assert isinstance(slow, Permit)
    desk.now += timedelta(seconds=70)
    assert (await desk.send_until_refused(out))[0] == 29
    desk.now += timedelta(seconds=5)
    await desk.budgets.finish(slow, [DELIVERED])
    assert isinstance(await desk.take(out), NoRoom)
    desk.now += timedelta(seconds=70)
    assert (await desk.send_until_refused(out))[0] == 30


async def test_pauses_that_are_long_over_are_forgotten(desk: Desk) -> None:
    await desk.budgets.pause("mailbox:invented@contoso.example", desk.now + timedelta(hours=1), "no such mailbox")
    await desk.budgets.pause("mailbox:locked@contoso.example", None, "the account is locked")
    desk.now += timedelta(days=3)
    await desk.budgets.forget_old()
    assert [pause.account for pause in await desk.store.pauses()] == ["mailbox:locked@contoso.example"]
