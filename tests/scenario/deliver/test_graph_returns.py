"""What Microsoft says later: reports that come back to the mailbox, and its own trace."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from tests.scenario.deliver.office import GRAPH, SUBMISSION, Office

from m365emu.emulator import Emulator
from posthouse.deliver.graph.other_half import microsoft_half
from posthouse.deliver.graph.returns import Returns, read_return
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId, show_message_id
from posthouse.operate.other_half_service import OtherHalfService
from posthouse.operate.other_half_shapes import OtherHalves
from posthouse.operate.shapes import Named, Refusal
from posthouse.trace.timeline import timeline

if TYPE_CHECKING:
    from posthouse.deliver.identities import Identities

ALICE, NOBODY = "alice@contoso.example", "nobody@contoso.example"
READ = "read_returns = true\n"


def returns_of(office: Office) -> Returns:
    return Returns(office.store, office.clients, ways=office.policy.ways.values, clock=office.clock)


async def returned(office: Office, message_id: MessageId) -> list[Event]:
    return [event for event in (await office.story(message_id)).events if event.kind is EventKind.RETURNED]


@pytest.mark.parametrize("outbound", [GRAPH, SUBMISSION], ids=["graph", "submission"])
async def test_a_report_is_shown_at_the_copy_it_speaks_of(emulator: Emulator, tmp_path: Path, outbound: str) -> None:
    async with Office(emulator, tmp_path, outbound, READ) as office:
        sent = await office.send(ALICE, NOBODY)
        await office.until(sent, "delivered", "delivered")
        returns = returns_of(office)
        await returns.look()
        (event,) = await returned(office, sent)
        assert event.recipient == 1
        assert event.detail["status"] == "5.1.10" and "RecipientNotFound" in str(event.detail["reply"])
        assert event.detail["source"] == "relay@contoso.example" and event.detail["explanation"]
        assert await office.states(sent) == ["delivered", "delivered"]
        line = next(line for line in timeline(await office.story(sent)) if line.kind is EventKind.RETURNED)
        assert line.recipient == NOBODY
        assert line.headline == "A report says that it came back (5.1.10), in relay@contoso.example"


async def test_where_each_sender_has_a_mailbox_its_reports_are_read(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH, READ + 'sender_handling = "mailbox_per_sender"\n') as office:
        content = b"From: website@contoso.example\r\nMessage-ID: <lost@contoso.example>\r\nSubject: s\r\n\r\nx\r\n"
        sent = await office.send(NOBODY, content=content, sender="website@contoso.example")
        await office.until(sent, "delivered")
        await returns_of(office).look()
        (event,) = await returned(office, sent)
        assert event.detail["source"] == "website@contoso.example"


async def test_a_report_is_noted_once_even_after_a_restart(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH, READ) as office:
        sent = await office.send(NOBODY)
        await office.until(sent, "delivered")
        first, restarted = returns_of(office), returns_of(office)
        for returns in (first, first, restarted):
            await returns.look()
        assert len(await returned(office, sent)) == 1


async def test_nothing_is_read_unless_the_connector_says_so(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(NOBODY)
        await office.until(sent, "delivered")
        await returns_of(office).look()
        assert await returned(office, sent) == []


async def test_a_mailbox_that_may_not_be_read_stops_nothing(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH, READ) as office:
        office.grant("Mail.Send")
        sent = await office.send(NOBODY)
        await office.until(sent, "delivered")
        returns = returns_of(office)
        await returns.look()
        office.grant("Mail.Send", "Mail.Read")
        await returns.look()
        assert len(await returned(office, sent)) == 1


async def test_microsofts_half_of_the_story_is_asked_for(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE, NOBODY)
        await office.until(sent, "delivered", "delivered")
        way, message = office.policy.ways["m365"], (await office.story(sent)).message
        early = await microsoft_half(office.clients, way, message, office.clock())
        assert isinstance(early, str) and "five to ten minutes" in early
        office.advance(minutes=6)
        half = await microsoft_half(office.clients, way, message, office.clock())
        assert not isinstance(half, str)
        assert {r.recipient: r.status for r in half} == {ALICE: "delivered", NOBODY: "failed"}
        assert half[0].events[0].event == "Receive"
        office.grant("Mail.Send")
        refused = await microsoft_half(office.clients, way, message, office.clock())
        assert isinstance(refused, str) and "ExchangeMessageTrace.Read.All" in refused


async def test_an_operator_sees_both_halves_by_our_own_id(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "delivered")
        office.advance(minutes=6)
        known = cast("Identities", SimpleNamespace(flow=lambda: office.policy.flow, tokens=office.tokens))
        service = OtherHalfService(office.store, known, office.clock)
        found = await service.show(Named(show_message_id(sent)), "root")
        assert isinstance(found, OtherHalves)
        (half,) = found.halves
        assert (half.connector, half.reason) == ("m365", "")
        assert [(r.recipient, r.status) for r in half.recipients] == [(ALICE, "delivered")]
        for name in ("6H00000000000", "no id"):
            assert isinstance(await service.show(Named(name), "root"), Refusal)


@pytest.mark.parametrize("data", [b"", b"Subject: hello\r\n\r\nx", b"delivery-status"])
def test_other_mail_is_no_report(data: bytes) -> None:
    assert read_return(data) is None
