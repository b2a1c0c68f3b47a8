"""An answer that was lost is looked for in Microsoft 365: delivered exactly once, or a person decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.deliver.office import GRAPH, SUBMISSION, Office

from m365emu.emulator import Emulator
from m365emu.faults import Fault
from posthouse.mail.event import EventKind
from posthouse.queue.verify import NEVER
from posthouse.store.port import QueueFilter

ALICE, BOB = "alice@contoso.example", "bob@contoso.example"
LOST_BY_GRAPH = Fault(stage="graph-send", reply="504 Gateway Timeout", keep=True)
NEVER_SENT_BY_GRAPH = Fault(stage="graph-send", reply="504 Gateway Timeout")
LOST_BY_SMTP = Fault(stage="end-of-data", keep=True)
NEVER_SENT_BY_SMTP = Fault(stage="end-of-data")
BOTH_WAYS = pytest.mark.parametrize(
    ("outbound", "fault"), [(GRAPH, LOST_BY_GRAPH), (SUBMISSION, LOST_BY_SMTP)], ids=["graph", "submission"]
)
NEITHER_WAY = pytest.mark.parametrize(
    ("outbound", "fault"), [(GRAPH, NEVER_SENT_BY_GRAPH), (SUBMISSION, NEVER_SENT_BY_SMTP)], ids=["graph", "submission"]
)


@BOTH_WAYS
async def test_a_message_that_arrived_is_delivered_once(
    emulator: Emulator, tmp_path: Path, outbound: str, fault: Fault
) -> None:
    emulator.faults.order(fault)
    async with Office(emulator, tmp_path, outbound) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.verification.look()
        assert await office.states(sent) == ["unknown"]
        await office.look(seconds=31)
        assert await office.states(sent) == ["delivered"]
        delivered = (await office.story(sent)).events[-1]
        assert delivered.kind is EventKind.DELIVERED
        assert delivered.detail["verified_by"] == "Sent Items of relay@contoso.example"
        await office.look(hours=25)
        assert office.arrived() == 1


@NEITHER_WAY
async def test_a_message_that_is_found_nowhere_is_sent_again_and_arrives_once(
    emulator: Emulator, tmp_path: Path, outbound: str, fault: Fault
) -> None:
    emulator.faults.order(fault)
    async with Office(emulator, tmp_path, outbound) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        for _ in range(5):
            await office.look(minutes=2)
            assert await office.states(sent) == ["unknown"]
        await office.look(minutes=11)
        await office.until(sent, "delivered")
        assert office.arrived() == 1
        kinds = [event.kind for event in (await office.story(sent)).events]
        assert EventKind.RETRIED in kinds


async def test_the_message_trace_alone_is_enough(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(LOST_BY_SMTP)
    async with Office(emulator, tmp_path, SUBMISSION) as office:
        office.grant("SMTP.SendAsApp", "ExchangeMessageTrace.Read.All")
        sent = await office.send(ALICE, BOB)
        await office.until(sent, "unknown", "unknown")
        await office.look(minutes=1)
        assert await office.states(sent) == ["unknown", "unknown"]
        await office.look(minutes=6)
        assert await office.states(sent) == ["delivered", "delivered"]
        detail = (await office.story(sent)).events[-1].detail
        assert detail["verified_by"] == "the message trace (delivered)"


async def test_sent_items_alone_are_enough_for_graph(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(NEVER_SENT_BY_GRAPH)
    async with Office(emulator, tmp_path, GRAPH) as office:
        office.grant("Mail.Send", "Mail.Read")
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=3)
        await office.until(sent, "delivered")
        assert office.arrived() == 1


async def test_a_mailbox_that_keeps_no_copies_proves_nothing(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(NEVER_SENT_BY_SMTP)
    async with Office(emulator, tmp_path, SUBMISSION) as office:
        office.grant("SMTP.SendAsApp", "Mail.Read")
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=30)
        (entry,) = await office.store.entries(QueueFilter())
        assert "no copies are kept" in entry.last_reply and entry.next_at == NEVER


@BOTH_WAYS
async def test_without_the_right_to_look_a_person_decides(
    emulator: Emulator, tmp_path: Path, outbound: str, fault: Fault
) -> None:
    emulator.faults.order(fault)
    async with Office(emulator, tmp_path, outbound) as office:
        office.grant("SMTP.SendAsApp", "Mail.Send")
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=1)
        (entry,) = await office.store.entries(QueueFilter())
        assert "Mail.Read" in entry.last_reply and "ExchangeMessageTrace.Read.All" in entry.last_reply
        await office.look(hours=30)
        assert await office.states(sent) == ["unknown"]
        await office.levers.release(QueueFilter(), by="root")
        await office.until(sent, "delivered")
        assert office.arrived() == 2


async def test_a_copy_of_other_recipients_is_no_proof(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", skip=1))
    async with Office(emulator, tmp_path, GRAPH, "recipients_per_message = 1\n") as office:
        sent = await office.send(ALICE, BOB)
        await office.until(sent, "delivered", "unknown")
        await office.look(minutes=1)
        assert await office.states(sent) == ["delivered", "unknown"]
        await office.look(minutes=16)
        await office.until(sent, "delivered", "delivered")
        assert (office.arrived(ALICE), office.arrived(BOB)) == (1, 1)


async def test_while_graph_does_not_answer_nothing_is_decided(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(LOST_BY_GRAPH)
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        emulator.faults.order(Fault(stage="graph", reply="503 Service Unavailable", count=100))
        await office.look(minutes=20)
        assert await office.states(sent) == ["unknown"]
        emulator.faults.clear()
        await office.look(minutes=20)
        assert await office.states(sent) == ["delivered"]


async def test_a_connector_that_holds_is_left_to_the_operator(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(LOST_BY_GRAPH)
    async with Office(emulator, tmp_path, GRAPH, 'on_unknown = "hold"\n') as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(hours=1)
        assert await office.states(sent) == ["unknown"]


async def test_an_operator_who_was_faster_is_not_overruled(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(NEVER_SENT_BY_GRAPH)
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.levers.cancel(QueueFilter(), by="root")
        await office.look(hours=1)
        assert await office.states(sent) == ["cancelled"]
        assert office.arrived() == 0


async def test_where_message_ids_are_not_kept_nothing_is_proven(emulator: Emulator, tmp_path: Path) -> None:
    emulator.control.patch({"assumptions": {"graph_keeps_message_id": False}})
    emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", skip=1, keep=True))
    async with Office(emulator, tmp_path, GRAPH) as office:
        first = await office.send(ALICE, message_id="<first@contoso.example>")
        await office.until(first, "delivered")
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=20)
        (entry,) = await office.store.entries(QueueFilter())
        assert "<first@contoso.example>" in entry.last_reply and entry.next_at == NEVER
        assert office.arrived() == 2


async def test_an_earlier_message_that_is_found_proves_the_loss_of_this_one(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="end-of-data", skip=1))
    async with Office(emulator, tmp_path, SUBMISSION) as office:
        office.grant("SMTP.SendAsApp", "Mail.Read")
        first = await office.send(ALICE, message_id="<first@contoso.example>")
        await office.until(first, "delivered")
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=3)
        await office.until(sent, "delivered")
        assert office.arrived() == 2


async def test_without_a_copy_the_trace_proves_a_delivery_and_its_lack_nothing(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.control.patch({"assumptions": {"graph_takes_internet_message_id": True}})
    emulator.faults.order(LOST_BY_GRAPH)
    async with Office(emulator, tmp_path, GRAPH, "save_to_sent_items = false\n") as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=6)
        assert await office.states(sent) == ["delivered"]
    emulator.control.patch({"assumptions": {"graph_takes_internet_message_id": False}})
    emulator.faults.order(LOST_BY_GRAPH)
    (tmp_path / "second").mkdir()
    async with Office(emulator, tmp_path / "second", GRAPH, "save_to_sent_items = false\n") as office:
        sent = await office.send(BOB, message_id="<second@contoso.example>")
        await office.until(sent, "unknown")
        await office.look(minutes=20)
        assert await office.states(sent) == ["unknown"]
        assert office.arrived(BOB) == 1


async def test_a_message_id_that_a_device_uses_again_proves_nothing(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", skip=1))
    async with Office(emulator, tmp_path, GRAPH) as office:
        first = await office.send(ALICE)
        await office.until(first, "delivered")
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=20)
        assert await office.states(sent) == ["unknown"]
        (entry,) = await office.store.entries(QueueFilter())
        assert "several messages bear" in entry.last_reply
