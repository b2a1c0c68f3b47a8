"""Content from memory and from the spool, in pieces, converted where a server needs that."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.deliver.jobs import MakeWorker, message, one, smarthost
from tests.unit.deliver.scripted import Fault, Script, ScriptedServer

from posthouse.deliver.patience import Patience
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Notify, Recipient
from posthouse.mail.message import SpooledContent
from posthouse.mail.outcome import Deferred, Delivered, Failed

EIGHT_BIT = (
    b"From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe from a line that is long enough\r\n"
)
UTF8_HEADER = b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n\r\nhello\r\n"


def spool(path: Path, octets: bytes, prefix: bytes = b"Received: by me\r\n") -> SpooledContent:
    file = path / "content"
    file.write_bytes(octets)
    return SpooledContent(path=file, size_octets=len(octets), sha256=b"", prefix=prefix)


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")], ids=str)
async def test_spooled_content_arrives_behind_its_prefix(
    make_worker: MakeWorker, tmp_path: Path, keywords: tuple[str, ...]
) -> None:
    body = b"Subject: x\r\n\r\n" + b".dots\r\n..and more\r\n" * 50_000
    async with ScriptedServer(Script(keywords=keywords)) as server:
        letter = message(content=spool(tmp_path, body))
        assert isinstance((await one(make_worker(Patience()), smarthost(server.port), letter)).outcome, Delivered)
    assert server.messages[0][2] == b"Received: by me\r\n" + body


@pytest.mark.parametrize("keywords", [("PIPELINING", "8BITMIME"), ("PIPELINING", "8BITMIME", "CHUNKING")], ids=str)
async def test_memory_stays_flat_with_a_hundred_megabytes(
    make_worker: MakeWorker, tmp_path: Path, keywords: tuple[str, ...]
) -> None:
    file = tmp_path / "content"
    with file.open("wb") as out:
        for _ in range(100):
            out.write((b"x" * 1022 + b"\r\n") * 1024)
    content = SpooledContent(path=file, size_octets=100 << 20, sha256=b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ScriptedServer(Script(keywords=keywords), keeps_content=False) as server:
        # The chunk is read whole by this test's server, so only DATA shows the memory of the sender.
        outcome = (await one(make_worker(), smarthost(server.port), message(content=content))).outcome
    assert isinstance(outcome, Delivered)
    assert server.sessions[0].content_octets == 100 << 20
    if "CHUNKING" not in keywords:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 24 * 1024


@pytest.mark.parametrize("change", [lambda f: f.unlink(), lambda f: f.write_bytes(b"Subject: x\r\n\r\nsho")])
async def test_a_spool_that_fails_never_becomes_half_a_message(
    make_worker: MakeWorker, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    content = spool(tmp_path, b"Subject: x\r\n\r\n" + b"long\r\n" * 1000)
    change(content.path)
    async with ScriptedServer() as server:
        outcome = (await one(make_worker(), smarthost(server.port), message(content=content))).outcome
    assert isinstance(outcome, Deferred)
    assert "content" in outcome.reason
    assert server.messages == []


async def test_a_server_that_stops_reading_is_left_in_time(make_worker: MakeWorker, tmp_path: Path) -> None:
    content = spool(tmp_path, b"Subject: x\r\n\r\n" + b"y" * 998 + b"\r\n" * 10_000_000)
    async with ScriptedServer(Script(stops_reading_after=1000, on={"CONTENT": Fault.DEAF})) as server:
        outcome = (await one(make_worker(), smarthost(server.port), message(content=content))).outcome
    assert isinstance(outcome, Deferred) and outcome.is_glitch
    assert "took no content for 0.5 s" in outcome.reason
    assert server.messages == []


async def test_8_bit_content_is_declared_where_the_server_takes_it(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        await one(make_worker(), smarthost(server.port), message(content=EIGHT_BIT))
    assert "BODY=8BITMIME" in server.messages[0][0]
    assert server.messages[0][2] == EIGHT_BIT


@pytest.mark.parametrize("is_spooled", [False, True])
async def test_8_bit_content_is_converted_where_it_does_not(
    make_worker: MakeWorker, tmp_path: Path, is_spooled: bool
) -> None:
    async with ScriptedServer(Script(keywords=("PIPELINING",))) as server:
        content = spool(tmp_path, EIGHT_BIT) if is_spooled else EIGHT_BIT
        await one(make_worker(), smarthost(server.port), message(content=content))
    sender, _, received = server.messages[0]
    assert "BODY" not in sender
    assert received.isascii()
    assert b"Content-Transfer-Encoding: quoted-printable" in received and b"Gr=C3=BC=C3=9Fe" in received


async def test_what_cannot_be_converted_fails_with_the_reason(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(keywords=("PIPELINING",))) as server:
        outcome = (await one(make_worker(), smarthost(server.port), message(content=UTF8_HEADER))).outcome
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.6.3"
    assert server.messages == []


async def test_a_utf8_header_needs_smtputf8(make_worker: MakeWorker) -> None:
    letter = message(content=UTF8_HEADER, body=Body.EIGHT_BIT_MIME, smtputf8=True)
    async with ScriptedServer(Script(keywords=("PIPELINING", "8BITMIME", "SMTPUTF8"))) as server:
        assert isinstance((await one(make_worker(), smarthost(server.port), letter)).outcome, Delivered)
    assert server.messages[0][0].endswith("SMTPUTF8")
    async with ScriptedServer() as server:
        outcome = (await one(make_worker(), smarthost(server.port), letter)).outcome
    assert isinstance(outcome, Failed) and outcome.status == "5.6.7"


async def test_smtputf8_that_nothing_needs_does_not_matter(make_worker: MakeWorker) -> None:
    async with ScriptedServer() as server:
        letter = message(smtputf8=True)
        assert isinstance((await one(make_worker(), smarthost(server.port), letter)).outcome, Delivered)
    assert "SMTPUTF8" not in server.messages[0][0]


async def test_binary_content_goes_in_chunks_or_is_converted(make_worker: MakeWorker) -> None:
    binary = (
        b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n\x00\n\r\xff."
    )
    letter = message(content=binary, body=Body.BINARY_MIME)
    async with ScriptedServer(Script(keywords=("BINARYMIME", "CHUNKING", "8BITMIME"))) as server:
        await one(make_worker(), smarthost(server.port), letter)
    assert "BODY=BINARYMIME" in server.messages[0][0]
    assert server.messages[0][2] == binary
    async with ScriptedServer() as server:
        await one(make_worker(), smarthost(server.port), letter)
    assert b"AAoN/y4=" in server.messages[0][2]


async def test_too_large_for_the_server_fails_without_a_word(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(keywords=("SIZE 10",))) as server:
        outcome = (await one(make_worker(), smarthost(server.port))).outcome
    assert isinstance(outcome, Failed) and outcome.status == "5.3.4"
    assert server.commands("MAIL") == []


@pytest.mark.parametrize("offers", [True, False])
async def test_whether_the_server_will_tell_the_sender_is_known(make_worker: MakeWorker, offers: bool) -> None:
    keywords = ("PIPELINING", "DSN") if offers else ("PIPELINING",)
    recipient = Recipient(Address("b", "y.example"), Notify.SUCCESS, "rfc822;b@y.example")
    async with ScriptedServer(Script(keywords=keywords)) as server:
        letter = message(envelope_recipients=(recipient,))
        outcome = (await one(make_worker(), smarthost(server.port), letter)).outcome
    assert isinstance(outcome, Delivered)
    assert outcome.relayed_dsn is offers
    assert ("NOTIFY=SUCCESS ORCPT=rfc822;b@y.example" in server.commands("RCPT")[0]) is offers
