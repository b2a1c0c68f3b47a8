"""Senders are rewritten to the mailbox that sends, and nothing else of the header changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.deliver.jobs import message

from posthouse.decide.outbound import Acs, Graph, Outbound
from posthouse.decide.ways import Way
from posthouse.deliver.content import octets, pieces
from posthouse.deliver.senders import shape_sender
from posthouse.mail.message import InlineContent, Message, SpooledContent
from posthouse.wire.header import HeaderIndex
from posthouse.wire.mailboxes import read_mailboxes

MAILBOX = "relay@contoso.example"
SCAN = (
    b'Received: from mfp\r\nDKIM-Signature: v=1;\r\n\th=from\r\nFrom: "Scanner@2" <scan@old.example>\r\n'
    b"Sender: mfp@old.example\r\nX-Odd:   kept  as it is\r\nSubject: s\r\n\r\nbody\r\n"
)


def rewrite(**settings: object) -> Way:
    return Way(
        connector=Graph(
            **{"name": "g", "identity": "app", "mailboxes": MAILBOX, "sender_handling": "rewrite", **settings}  # type: ignore[arg-type]
        )
    )


async def shaped(content: bytes, way: Way | None = None, sender: str | None = "scan@old.example") -> Message:
    return await shape_sender(way or rewrite(), message(content=content, sender=sender), MAILBOX)


async def test_the_mailbox_becomes_the_author_and_the_original_stays_visible() -> None:
    result = await shaped(SCAN)
    assert await octets(result.content) == (
        b"Received: from mfp\r\nDKIM-Signature: v=1;\r\n\th=from\r\nFrom: Scanner at 2 <relay@contoso.example>\r\n"
        b'Reply-To: "Scanner@2" <scan@old.example>\r\n'
        b'X-Original-From: "Scanner@2" <scan@old.example>\r\nX-Odd:   kept  as it is\r\nSubject: s\r\n\r\nbody\r\n'
    )
    assert str(result.envelope.sender) == MAILBOX


async def test_an_address_without_a_name_becomes_words() -> None:
    result = await shaped(b"From: scan@old.example\r\n\r\n")
    assert b'From: "scan at old.example" <relay@contoso.example>\r\n' in await octets(result.content)


async def test_a_reply_to_that_was_there_stays_alone() -> None:
    result = await shaped(b"From: a@old.example\r\nReply-To: help@old.example\r\n\r\n")
    assert (await octets(result.content)).count(b"Reply-To:") == 1


async def test_the_mailbox_itself_and_allowed_senders_stay_as_they_are() -> None:
    letter = message(content=b"From: Relay <RELAY@contoso.example>\r\n\r\n", sender=MAILBOX)
    assert await shape_sender(rewrite(), letter, MAILBOX) is letter
    letter = message(content=b"From: boss@contoso.example\r\n\r\n", sender="boss@contoso.example")
    assert await shape_sender(rewrite(allowed_senders=["@contoso.example"]), letter, MAILBOX) is letter


async def test_as_is_and_mailbox_per_sender_change_nothing() -> None:
    for handling in ("as_is", "mailbox_per_sender"):
        letter = message(content=SCAN, sender="scan@old.example")
        assert await shape_sender(rewrite(sender_handling=handling), letter, MAILBOX) is letter


async def test_a_notice_keeps_its_null_sender() -> None:
    result = await shaped(b"From: MAILER-DAEMON@old.example\r\n\r\n", sender=None)
    assert result.envelope.sender is None
    assert b"<relay@contoso.example>" in await octets(result.content)


async def test_a_notice_leaves_under_the_mailboxes_name_even_where_senders_stay() -> None:
    for handling in ("as_is", "mailbox_per_sender"):
        notice = b"From: postmaster@node.example\r\n\r\n"
        result = await shaped(notice, rewrite(sender_handling=handling), sender=None)
        assert result.envelope.sender is None
        assert b"<relay@contoso.example>" in await octets(result.content)


async def test_a_message_without_an_author_gets_one() -> None:
    result = await shaped(b"Subject: s\r\n\r\nbody")
    assert await octets(result.content) == b"Subject: s\r\nFrom: relay@contoso.example\r\n\r\nbody"
    result = await shaped(b"no header at all\r\n")
    assert await octets(result.content) == b"From: relay@contoso.example\r\n\r\nno header at all\r\n"


async def test_the_sender_of_communication_services_is_the_configured_one() -> None:
    connector: Outbound = Acs(name="acs", identity="app", resource="r", sender="noreply@mail.example")
    result = await shape_sender(Way(connector=connector), message(content=SCAN), "")
    assert b"<noreply@mail.example>" in await octets(result.content)


async def test_spooled_content_gets_another_prefix_and_its_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "spooled"
    file = SCAN.partition(b"\r\n")[2]
    path.write_bytes(file)
    spooled = SpooledContent(path=path, size_octets=len(file), sha256=b"", prefix=b"Received: from mfp\r\n")
    inline = message(content=InlineContent(SCAN), sender="scan@old.example")
    wanted = await octets((await shape_sender(rewrite(), inline, MAILBOX)).content)
    result = await shape_sender(rewrite(), replace(inline, content=spooled), MAILBOX)
    assert isinstance(result.content, SpooledContent)
    assert b"".join([piece async for piece in pieces(result.content)]) == wanted
    assert result.content.whole_octets == len(wanted)
    assert path.read_bytes() == file


_LINES = st.sampled_from(
    [b"From: a@old.example\r\n", b"from : x@y\r\n", b"Sender: b@old.example\r\n", b"Reply-To: r@old.example\r\n",
     b"From: relay@contoso.example\r\n", b"To: c@z.example\r\n", b" folded\r\n", b"\r\n", b"text\r\n", b"X: y\n",
     b":\r\n", b"From: \xff\r\n", b"From:"]
)  # fmt: skip


@given(st.lists(_LINES, max_size=8).map(b"".join), st.integers(0, 2))
async def test_any_message_is_rewritten_alike_in_memory_and_in_the_spool(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, lines_in_prefix: int
) -> None:
    index = HeaderIndex.scan(data)
    prefix = data[: index.fields[lines_in_prefix - 1].end] if 0 < lines_in_prefix <= len(index.fields) else b""
    path = tmp_path_factory.mktemp("spool") / "file"
    path.write_bytes(data[len(prefix) :])
    spooled = SpooledContent(path=path, size_octets=len(data) - len(prefix), sha256=b"", prefix=prefix)
    inline = await shaped(data)
    streamed = await shape_sender(rewrite(), replace(message(content=data), content=spooled), MAILBOX)
    result = await octets(inline.content)
    assert await octets(streamed.content) == result
    after = HeaderIndex.scan(result)
    authors = [m.address for f in after.all("from") for m in read_mailboxes(result[f.value_start : f.end])]
    assert authors and set(authors) == {MAILBOX}
    kept = [data[f.start : f.end].rstrip() for f in index.fields if f.name not in (b"from", b"sender", b"reply-to")]
    assert [line for line in kept if line not in result] == []
    assert result[after.body_start :] == data[index.body_start :]
