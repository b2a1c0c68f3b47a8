"""Sending by Graph to the offline Microsoft 365: who gets what, large messages, limits and rights."""

from __future__ import annotations

import base64
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.scenario.deliver.office import GRAPH, Office

from m365emu.emulator import Emulator
from m365emu.faults import Fault
from m365emu.mailbox import sent_items
from posthouse.mail.event import EventKind
from posthouse.store.port import QueueFilter

ALICE, BOB, RELAY = "alice@contoso.example", "bob@contoso.example", "relay@contoso.example"


def letter(*files: tuple[str, int], text: str = "A page\r\n", **fields: str) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = RELAY, ALICE, "scan"
    message["Message-ID"], message["X-Device"] = "<lost@contoso.example>", "printer 7"
    for name, value in fields.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    message.set_content(text)
    for name, size in files:
        message.add_attachment(octets(name, size), maintype="application", subtype="pdf", filename=name)
    return message.as_bytes()


def octets(name: str, size: int) -> bytes:
    return (name.encode() * (size // len(name) + 1))[:size]


def received(emulator: Emulator, folder: str = ALICE) -> EmailMessage:
    (record,) = emulator.store.messages(folder)
    message = message_from_bytes(emulator.content(record), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_only_the_envelope_gets_the_message(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        content = letter(To=f"Alice <{ALICE}>, customer@real.example", Cc="boss@real.example", Bcc="spy@real.example")
        sent = await office.send(ALICE, "Hidden+tag@outside.example", content=content)
        await office.until(sent, "delivered", "delivered")
        (record,) = emulator.store.messages(ALICE)
        assert sorted(record.envelope_to) == sorted(["Hidden+tag@outside.example", ALICE])
        message = received(emulator)
        assert (message["To"], message["Cc"], message["Bcc"]) == (f"Alice <{ALICE}>", None, None)
        assert "customer@real.example" in message["X-Original-To"]
        assert "spy" not in message.as_string() and "Hidden" not in message.as_string()
        assert message["Message-ID"] == "<lost@contoso.example>" and message["X-Device"] == "printer 7"


async def test_quoted_printable_is_never_shown_to_graph(emulator: Emulator, tmp_path: Path) -> None:
    emulator.control.patch({"assumptions": {"graph_quoted_printable": "refuse"}})
    async with Office(emulator, tmp_path, GRAPH) as office:
        content = letter(text="a grün page, and so on " * 9)
        assert b"quoted-printable" in content
        sent = await office.send(ALICE, content=content)
        await office.until(sent, "delivered")
        assert received(emulator).get_content().strip() == ("a grün page, and so on " * 9).strip()


async def test_an_at_sign_in_the_senders_name_is_no_send_as(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        content = (
            letter()
            .replace(b"From: relay@", b"From: scan@floor2 <relay@")
            .replace(b".example\r\nTo", b".example>\r\nTo")
        )
        sent = await office.send(ALICE, content=content)
        await office.until(sent, "delivered")


async def test_a_foreign_sender_is_rewritten_where_the_connector_says_so(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH, 'sender_handling = "rewrite"\n') as office:
        content = letter(From="Press 4 <press4@old.example>")
        sent = await office.send(ALICE, content=content, sender="press4@old.example")
        await office.until(sent, "delivered")
        message = received(emulator)
        assert message["From"] == f"Press 4 <{RELAY}>"
        assert message["Reply-To"] == message["X-Original-From"] == "Press 4 <press4@old.example>"


async def test_without_a_copy_sent_items_stay_empty(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH, "save_to_sent_items = false\n") as office:
        sent = await office.send(ALICE, BOB, content=letter(("a.pdf", 1000), text="Grüße"))
        await office.until(sent, "delivered", "delivered")
        assert office.arrived(sent_items(RELAY)) == 0
        message = received(emulator)
        (file,) = message.iter_attachments()
        assert (file.get_filename(), file.get_content()) == ("a.pdf", octets("a.pdf", 1000))
        assert "Grüße" in message.get_body().get_content()  # type: ignore[union-attr]


LARGE = (("huge.pdf", 6_000_000), ("grün.pdf", 3_400_000), ("small.pdf", 2_000_000), ("tiny.pdf", 10))


async def test_a_large_message_goes_by_upload_and_arrives_whole(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        content = letter(*LARGE, Cc="nobody@real.example")
        sent = await office.send(ALICE, BOB, content=content)
        await office.until(sent, "delivered", "delivered")
        message = received(emulator)
        files = {part.get_filename(): part.get_content() for part in message.walk() if part.get_filename()}
        assert files == {name: octets(name, size) for name, size in LARGE}
        assert "A page" in message.as_string()
        assert (message["To"], message["Cc"], message["Bcc"]) == (ALICE, None, None)
        assert message["Message-ID"] == "<lost@contoso.example>" and message["X-Device"] == "printer 7"
        assert (await office.story(sent)).events[-1].detail["form"] == "upload"
        assert office.arrived(BOB) == 1


async def test_a_scan_without_any_text_goes_by_upload_too(emulator: Emulator, tmp_path: Path) -> None:
    body = base64.encodebytes(octets("scan.pdf", 5_000_000)).replace(b"\n", b"\r\n")
    content = (
        b"From: relay@contoso.example\r\nTo: alice@contoso.example\r\nMessage-ID: <lost@contoso.example>\r\n"
        b"Content-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    )
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE, content=content)
        await office.until(sent, "delivered")
        (file,) = received(emulator).iter_attachments()
        assert (file.get_filename(), file.get_content()) == ("scan.pdf", octets("scan.pdf", 5_000_000))


async def test_an_upload_that_fails_leaves_no_draft_and_is_tried_again(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="graph", reply="503 Service Unavailable", skip=3, retry_after_seconds=5))
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE, content=letter(*LARGE))
        await office.until(sent, "pending")
        assert emulator._graph.drafts.of(RELAY) == []
        assert office.arrived() == 0
        office.advance(minutes=20)
        await office.until(sent, "delivered")
        assert office.arrived() == 1


async def test_an_upload_whose_last_answer_was_lost_is_looked_for(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.order(Fault(stage="graph-send", reply="504 Gateway Timeout", keep=True))
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE, content=letter(*LARGE))
        await office.until(sent, "unknown")
        await office.look(minutes=1)
        assert await office.states(sent) == ["delivered"]
        assert office.arrived() == 1


async def test_a_large_message_without_the_right_names_it_and_others_go_on(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        office.grant("Mail.Send")
        large = await office.send(ALICE, content=letter(*LARGE))
        await office.until(large, "pending")
        (entry,) = await office.store.entries(QueueFilter())
        assert "Mail.ReadWrite" in str((await office.story(large)).events[-1].detail["reason"])
        small = await office.send(BOB)
        await office.until(small, "delivered")
        assert entry.message_id == large


async def test_a_text_that_is_too_large_fails_and_says_so(emulator: Emulator, tmp_path: Path) -> None:
    async with Office(emulator, tmp_path, GRAPH) as office:
        sent = await office.send(ALICE, content=letter(text="line of text\r\n" * 300_000))
        await office.until(sent, "failed")
        failed = next(e for e in (await office.story(sent)).events if e.kind is EventKind.FAILED)
        assert "octets that are no files" in str(failed.detail["reason"])
