"""A route's next connector takes over for a cause, and never after an outcome that may have been a delivery."""

from __future__ import annotations

import base64
import socket
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenario.virtual.ways import IDENTITIES, OUTBOUND, flow_of, route
from tests.scenario.virtual.world import RELAY, World, running
from tests.virtual_time import VirtualLoop, run

from m365emu.faults import Fault
from m365emu.scenario import Load
from m365emu.web.orders import Lock
from posthouse.store.port import TraceQuery

INSIDE, OUTSIDE = "alice@contoso.example", "someone@elsewhere.example"
BOTH = (OUTBOUND["submission"], OUTBOUND["graph"], route("microsoft365", "graph"))
HOURS = timedelta(hours=1)
MIB = 1 << 20


def load(messages: int, *recipients: str, sender: str = RELAY) -> Load:
    return Load(messages=messages, senders=(sender,), recipients=recipients or (INSIDE,))


async def ways_taken(world: World) -> Counter[str]:
    """How many messages each connector carried, after a look that every message arrived exactly once."""
    rows = await world.node.store.search(TraceQuery(limit=1000))
    arrived = Counter(record.message_id for record in world.emulator.store.messages() if record.envelope_from)
    assert (await world.ended()).open_copies == []
    assert arrived == Counter(world.crowd.taken)
    assert {row.state for row in rows} == {"delivered"}
    found: Counter[str] = Counter()
    for message_id in {row.message_id for row in rows}:
        story = await world.node.store.story(message_id)
        assert story is not None
        found.update(row.connector for row in story.rows)
    return found


def test_graph_takes_over_where_the_port_is_blocked(prepared: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]

        async def scene(loop: VirtualLoop) -> None:
            flow = flow_of("secret", *BOTH).replace("{port}", str(closed))
            async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
                await world.crowd.hand_in(load(20, INSIDE, OUTSIDE))
                await world.until_empty(HOURS)
                assert await ways_taken(world) == {"graph": 20}

        run(scene)


def test_graph_takes_over_where_the_log_in_is_refused(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        password = IDENTITIES["password"].replace('"app"', '"old"')
        by_password = OUTBOUND["submission"].replace('"app"', '"old"')
        flow = flow_of("secret", password, by_password, OUTBOUND["graph"], route("microsoft365", "graph"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
            world.emulator.control.carry_out(Lock(mailbox=RELAY))
            await world.crowd.hand_in(load(20))
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"graph": 20}
            assert (await world.ended()).refused["locked"] <= 3

    run(scene)


def test_the_tenants_connector_takes_what_is_too_large_for_submission(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        flow = flow_of("secret", "submission", "relay by certificate", route("microsoft365", "relay"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
            await world.crowd.hand_in(
                load(1), label="large", padding=b"A line of a large scan, by the million.\r\n" * MIB
            )
            await world.crowd.hand_in(load(1), label="small")
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"relay": 1, "microsoft365": 1}

    run(scene)


def test_an_upload_to_graph_takes_what_a_connector_may_not_carry(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        small = OUTBOUND["submission"] + "max_message = 5000000\n"
        flow = flow_of("secret", small, OUTBOUND["graph"], route("microsoft365", "graph"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
            await world.crowd.hand_in(load(1), label="large", content=scan(10 * MIB))
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"graph": 1}

    run(scene)


def scan(octets: int) -> bytes:
    """Header fields and body of a message with a large attachment, to follow the fields of an address."""
    document = base64.encodebytes(bytes(octets * 3 // 4)).replace(b"\n", b"\r\n")
    return (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nA scan.\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="scan.pdf"\r\n\r\n' + document + b"--b--\r\n"
    )


def test_graph_takes_what_would_wait_too_long_for_the_limits(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        little = OUTBOUND["submission"] + "recipients_per_day = 20\n"
        flow = flow_of("secret", little, OUTBOUND["graph"], route("microsoft365", "graph"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
            await world.crowd.hand_in(load(50))
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"microsoft365": 20, "graph": 30}

    run(scene)


def test_a_short_wait_for_the_limits_is_no_reason(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        async with running(loop, tmp_path, prepared=prepared, flow=flow_of("secret", *BOTH)) as world:
            await world.crowd.hand_in(load(100))
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"microsoft365": 100}

    run(scene)


def test_submission_takes_external_recipients_of_high_volume_email(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        rewrite = OUTBOUND["submission"] + 'sender_handling = "rewrite"\n'
        flow = flow_of("secret", "bulk password", "hve", rewrite, route("hve", "microsoft365"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
            await world.crowd.hand_in(load(20, INSIDE, OUTSIDE, sender="bulk@contoso.example"))
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"hve": 10, "microsoft365": 10}

    run(scene)


def test_submission_takes_what_direct_send_is_refused(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        rewrite = OUTBOUND["submission"] + 'sender_handling = "rewrite"\n'
        flow = flow_of("secret", "direct", rewrite, route("direct", "microsoft365"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow, scenario="direct-send-rejected") as world:
            await world.crowd.hand_in(world.load)
            await world.until_empty(HOURS)
            assert await ways_taken(world) == {"microsoft365": 10}
            assert (await world.ended()).unmet == []

    run(scene)


@pytest.mark.parametrize("keep", [True, False], ids=["taken", "lost"])
@pytest.mark.parametrize("first", ["microsoft365", "graph"])
def test_nobody_takes_over_after_an_unknown_outcome(first: str, keep: bool, prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        second = "graph" if first == "microsoft365" else "microsoft365"
        flow = flow_of("secret", OUTBOUND["submission"], OUTBOUND["graph"], route(first, second))
        async with running(loop, tmp_path, prepared=prepared, flow=flow) as world:
            stage = "end-of-data" if first == "microsoft365" else "graph-send"
            world.emulator.faults.order(Fault(stage=stage, keep=keep, every=3, count=5))  # type: ignore[arg-type]
            await world.crowd.hand_in(load(30))
            await world.until_empty(2 * HOURS)
            assert await ways_taken(world) == {first: 30}

    run(scene)


def test_a_burst_waits_for_the_next_way_rather_than_be_returned(prepared: Path, tmp_path: Path) -> None:
    async def scene(loop: VirtualLoop) -> None:
        rewrite = OUTBOUND["submission"] + 'sender_handling = "rewrite"\nmessages_per_minute = 5\n'
        flow = flow_of("secret", "direct", rewrite, route("direct", "microsoft365"))
        async with running(loop, tmp_path, prepared=prepared, flow=flow, scenario="direct-send-rejected") as world:
            await world.crowd.hand_in(load(40, sender="scanner@contoso.example"))
            await world.until_empty(6 * HOURS)
            assert await ways_taken(world) == {"microsoft365": 40}

    run(scene)
