"""Graph and client submission side by side: the next one takes what Graph cannot carry, never what it may have sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.deliver.office import GRAPH, SUBMISSION, Office

from m365emu.emulator import Emulator
from m365emu.faults import Fault

ALICE = "alice@contoso.example"
REWRITE = 'sender_handling = "rewrite"\n'
BOTH = (GRAPH + SUBMISSION.replace("relay@", "printer@") + REWRITE).replace("m365", "{name}")
BOTH = BOTH.replace("{name}", "graph", 1).replace("{name}", "smtp", 1)
ROUTE = '[[route]]\nname = "all"\nconnectors = ["graph", "smtp"]\n'


async def way_of(office: Office, **sending: bytes) -> str:
    sent = await office.send(ALICE, **sending)  # type: ignore[arg-type]
    await office.until(sent, "delivered")
    assert office.arrived() == 1
    (row,) = (await office.story(sent)).rows
    return row.connector


async def test_graph_is_the_first_choice(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, BOTH, ROUTE) as office:
        assert await way_of(office) == "graph"


async def test_a_text_that_is_too_large_for_graph_goes_by_smtp(emulator: Emulator, tmp_path: Path) -> None:
    head = b"From: relay@contoso.example\r\nTo: alice@contoso.example\r\nMessage-ID: <lost@contoso.example>\r\n\r\n"
    async with Office(emulator, tmp_path, BOTH, ROUTE) as office:
        assert await way_of(office, content=head + b"A line of text.\r\n" * 250_000) == "smtp"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(stage="graph", reply="403 Forbidden", count=9),
        Fault(stage="graph", reply="429 Too Many Requests", retry_after_seconds=3600, count=9),
        Fault(stage="graph-send", reply="413 Request Entity Too Large", count=9),
    ],
    ids=["refused", "throttled", "too large"],
)
async def test_what_graph_refuses_goes_by_smtp(emulator: Emulator, tmp_path: Path, fault: Fault) -> None:
    emulator.faults.order(fault)
    async with Office(emulator, tmp_path, BOTH, ROUTE) as office:
        assert await way_of(office) == "smtp"


async def test_a_request_cut_off_is_never_sent_by_smtp_unseen(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="graph"))
    async with Office(emulator, tmp_path, BOTH, ROUTE) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=20)
        await office.until(sent, "delivered")
        assert office.arrived() == 1


async def test_what_graph_may_have_sent_is_never_sent_by_smtp(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", keep=True))
    async with Office(emulator, tmp_path, BOTH, ROUTE) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=1)
        assert await office.states(sent) == ["delivered"]
        assert office.arrived() == 1


RELAY_BY_CONNECTOR = """
[[outbound]]
name = "m365"
kind = "direct"
identity = "app"
host = "127.0.0.1"
port = {mx_port}
tls = "none"
"""


async def test_direct_send_is_looked_for_in_the_message_trace(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="end-of-data", keep=True))
    outbound = RELAY_BY_CONNECTOR.replace("{mx_port}", emulator.mx.rpartition(":")[2])
    domain = '[[domain]]\nname = "contoso.example"\n'
    async with Office(emulator, tmp_path, outbound, domain) as office:
        sent = await office.send(ALICE)
        await office.until(sent, "unknown")
        await office.look(minutes=6)
        assert await office.states(sent) == ["delivered"]
        detail = (await office.story(sent)).events[-1].detail
        assert str(detail["verified_by"]).startswith("the message trace")
