"""Bounds on what a stranger can make the receiver do: time, memory, patience."""

from __future__ import annotations

import asyncio
import hashlib
import resource
from datetime import timedelta
from pathlib import Path

from tests.unit.receive.memory import octets_of
from tests.unit.receive.office import listener, open_office

from posthouse.mail.message import SpooledContent

LETTER = "From: a@example.com\r\nSubject: Hello\r\n\r\nHi"
ENVELOPE = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"


def resident_octets() -> int:
    """Memory of this process at this moment."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_message_of_150_megabytes_leaves_memory_flat(tmp_path: Path) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    piece = line * 910
    pieces = 157_000_000 // len(piece)
    async with open_office(tmp_path, inline_octets=256 * 1024) as office:
        client = await office.client()
        await client.greet()
        await client.mail(LETTER)
        client.send(ENVELOPE)
        for _ in range(3):
            await client.reply()
        before = peak = resident_octets()
        digest = hashlib.sha256(b"Subject: big\r\n\r\n")
        client.send("Subject: big\r\n\r\n")
        for number in range(pieces):
            client.send(piece)
            digest.update(piece)
            await client.writer.drain()
            if number % 100 == 0:
                peak = max(peak, resident_octets())
        client.send(".\r\n")
        assert (await client.reply()).startswith("250 2.0.0 OK queued")
        content = office.intake.messages[1].content
        assert isinstance(content, SpooledContent)
        assert (content.size_octets, content.sha256) == (16 + pieces * len(piece), digest.digest())
        assert max(peak, resident_octets()) - before < 30 * 1024 * 1024


async def test_a_larger_message_than_allowed_is_refused_at_its_end_and_the_session_goes_on(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(max_message=100_000), inline_octets=10_000) as office:
        client = await office.client()
        await client.greet()
        assert (await client.mail("x: y\r\n\r\n" + "line\r\n" * 50_000)).startswith("552 5.3.4 ")
        assert all(spool.was_discarded for spool in office.intake.spools)
        assert (await client.mail(LETTER)).startswith("250 ")


async def test_silence_ends_with_421_and_a_running_store_is_waited_for(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(idle_timeout=timedelta(minutes=5))) as office:
        silent, busy = await office.client(), await office.client()
        await silent.greet()
        await busy.greet()
        office.intake.gate = asyncio.Event()
        busy.send(f"{ENVELOPE}{LETTER}\r\n.\r\n")
        await office.intake.asked.wait()
        office.pass_time(298)
        await silent.say("NOOP")
        office.pass_time(298)
        assert await silent.say("NOOP") == "250 2.0.0 OK"
        office.pass_time(301)
        assert await silent.reply() == "421 4.4.1 Connection timed out"
        assert await silent.rest() == b""
        office.intake.gate.set()
        assert "250 2.0.0 OK queued" in [await busy.reply() for _ in range(4)][3]
        assert office.receiver.statistics.timed_out == 1


async def test_octets_of_a_command_that_never_ends_do_not_keep_a_session(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(idle_timeout=timedelta(minutes=1))) as office:
        client = await office.client()
        await client.greet()
        for _ in range(8):
            client.send("N")
            await client.writer.drain()
            office.pass_time(10)
        assert b"421 4.4.1 Connection timed out" in await client.rest()


async def test_content_that_trickles_is_not_waited_for(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(idle_timeout=timedelta(minutes=1))) as office:
        client = await office.client()
        await client.greet()
        client.send(ENVELOPE)
        for _ in range(3):
            await client.reply()
        for _ in range(8):
            client.send("x\r\n")
            await client.writer.drain()
            office.pass_time(10)
        assert b"421 4.4.1 Connection timed out" in await client.rest()
        assert office.intake.messages == []


async def test_a_trusted_proxy_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async with open_office(tmp_path, listener(proxy_from=["127.0.0.0/8"])) as office:
        client = await office.client()
        client.send("PROXY TCP4")
        await client.writer.drain()
        office.pass_time(11)
        try:
            assert await client.rest() == b""
        except ConnectionError:
            assert office.receiver.open_connections == {"in": 0}


async def test_a_client_that_pipelines_for_ever_and_never_reads_is_held_back(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        (session,) = office.receiver._listeners[0].door.sessions
        flood, sent = b"NOOP\r\n" * 10_000, 0
        while not session._is_paused:
            client.send(flood)
            sent += len(flood)
            await asyncio.sleep(0)
            assert sent < 400_000_000
        client.close()


async def test_input_behind_a_message_that_is_being_stored_is_held_back_and_then_obeyed(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.intake.gate = asyncio.Event()
        client = await office.client()
        await client.greet()
        one = f"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nBDAT {len(LETTER)} LAST\r\n{LETTER}"
        client.send(one * 5000)
        await office.intake.asked.wait()
        office.intake.gate.set()
        client.send("QUIT\r\n")
        lines = (await client.rest()).splitlines()
        assert len(lines) == 15_001
        assert len(office.intake.messages) == 5000


async def test_a_message_of_many_recipients_keeps_their_order(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        client = await office.client()
        await client.greet()
        recipients = [f"user{n}@example.net" for n in range(1000)]
        client.send("MAIL FROM:<a@example.com>\r\n" + "".join(f"RCPT TO:<{r}>\r\n" for r in recipients) + "DATA\r\n")
        codes = [(await client.reply())[:3] for _ in range(1002)]
        assert codes == ["250"] * 1001 + ["354"]
        assert (await client.say(f"{LETTER}\r\n.")).startswith("250 ")
        (message,) = office.intake.messages
        assert [str(r.address) for r in message.envelope.recipients] == recipients
        assert b"for <" not in octets_of(message)
