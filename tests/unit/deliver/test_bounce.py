"""Notices: who is told, what they read, and that nothing from a stranger gets through unescaped.

The octets of whole notices stand in ``tests/golden/dsn``; ``POSTHOUSE_WRITE_GOLDEN=1`` writes them anew.
"""

from __future__ import annotations

import binascii
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message as ParsedMessage
from pathlib import Path

import pytest

from posthouse.deliver.bounce import Excerpt, NoticeWriter, read_excerpt
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Notify, Recipient
from posthouse.mail.ids import SessionId, make_message_id
from posthouse.mail.message import InlineContent, Message, Origin, SpooledContent
from posthouse.mail.reply import Reply
from posthouse.mail.session import SessionFacts
from posthouse.queue.port import NoticeWriter as NoticePort
from posthouse.queue.port import RecipientFailure
from posthouse.wire.dsn import MAX_RETURNED_OCTETS
from posthouse.wire.header import facts
from posthouse.wire.mime import children, whole

GOLDEN = Path(__file__).parents[2] / "golden" / "dsn"
ARRIVED = datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC)
NOW = ARRIVED + timedelta(minutes=3)
SEED = 0x0123456789ABCDEF0123456789ABCDEF
ORIGINAL = (
    b"Received: from printer.example.com ([192.0.2.1])\r\n by relay.example.com (Posthouse)\r\n with ESMTP\r\n"
    b" id 6DBD5Z8000C1S;\r\n Sat, 21 Nov 2026 18:07:56 +0000\r\n"
    b"From: <scanner@example.com>\r\nTo: <bob@example.net>\r\nSubject: Scan from floor 3\r\n"
    b"Message-ID: <1@printer.example.com>\r\nDate: Sat, 21 Nov 2026 18:07:55 +0000\r\n\r\nThe scan.\r\n"
)
USER_UNKNOWN = Reply(550, "5.1.1", ("<bob@example.net>: no such user here",))


def original(data: bytes = ORIGINAL, **envelope: object) -> Message:
    fields: dict[str, object] = {
        "sender": Address("scanner", "example.com"),
        "recipients": (Recipient(Address("bob", "example.net")), Recipient(Address("eve", "example.org"))),
    }
    return Message(
        id=make_message_id(1_795_284_476_000, 77),
        received_at=ARRIVED,
        expires_at=ARRIVED + timedelta(hours=24),
        origin=Origin.SMTP,
        envelope=Envelope(**(fields | envelope)),  # type: ignore[arg-type]
        session=SessionFacts(
            id=SessionId("08D751B8BF60FE0E"),
            listener="plain",
            peer_ip="192.0.2.1",
            peer_port=40000,
            helo="printer.example.com",
            protocol="ESMTP",
            tls=None,
            principal=None,
            started_at=ARRIVED,
        ),
        content=InlineContent(data),
        header=facts(data),
    )


WRITER: NoticePort = NoticeWriter("relay.example.com", Address("postmaster", "example.com"), timedelta(hours=24))
FAILURE = RecipientFailure(
    index=0,
    status="5.1.1",
    reply=USER_UNKNOWN,
    reason="The server refused the recipient for good.",
    remote="mx.example.net [198.51.100.7]:25",
)


HANDED_ON = RecipientFailure(index=0, status="2.0.0", reason="", reply=Reply(250, "2.6.0", ("Queued",)))


def fail(message: Message, *failures: RecipientFailure) -> Message | str:
    return WRITER.failure(message, failures or (FAILURE,), NOW, SEED)


def written(notice: Message | str) -> Message:
    assert isinstance(notice, Message), notice
    return notice


def octets(notice: Message | str) -> bytes:
    content = written(notice).content
    assert isinstance(content, InlineContent)
    return content.data


def parts(data: bytes) -> tuple[ParsedMessage, list[ParsedMessage]]:
    parsed = message_from_bytes(data)
    assert not [part.defects for part in parsed.walk() if part.defects]
    inside = parsed.get_payload()
    assert isinstance(inside, list)
    return parsed, inside


def human(data: bytes) -> tuple[str, str]:
    alternative = parts(data)[1][0]
    texts = []
    for part in alternative.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            texts.append(payload.decode(part.get_content_charset() or "ascii"))
    plain, html = texts
    return plain, html


def status_groups(data: bytes) -> list[ParsedMessage]:
    status = parts(data)[1][1]
    inside = status.get_payload()
    assert isinstance(inside, list)
    return inside


def compare_with_golden(name: str, data: bytes) -> None:
    path = GOLDEN / f"{name}.eml"
    if os.environ.get("POSTHOUSE_WRITE_GOLDEN"):
        path.write_bytes(data)
    assert data == path.read_bytes()


def test_a_failure_as_a_whole() -> None:
    message = original(
        envid="job 7+3",
        recipients=(
            Recipient(Address("bob", "example.net"), Notify.FAILURE | Notify.DELAY, "rfc822;Bob@example.net"),
            Recipient(Address("eve", "example.org")),
        ),
    )
    expired = RecipientFailure(index=1, status="4.4.7", reason="Not delivered within 24 hours: connection refused.")
    notice = fail(message, FAILURE, expired)
    compare_with_golden("failed", octets(notice))
    bounce = written(notice)
    assert bounce.envelope.sender is None
    assert bounce.envelope.recipients == (Recipient(Address("scanner", "example.com"), Notify.NEVER),)
    assert (bounce.origin, bounce.parent, bounce.session.listener) == (Origin.BOUNCE, message.id, "node")
    assert bounce.expires_at == NOW + timedelta(hours=24)
    assert bounce.header.subject == "Undeliverable: Scan from floor 3"


def test_a_failure_has_the_structure_of_rfc_3464() -> None:
    data = octets(fail(original()))
    parsed, inside = parts(data)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in inside] == [
        "multipart/alternative",
        "message/delivery-status",
        "message/rfc822",
    ]
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["In-Reply-To"] == "<1@printer.example.com>"
    about_message, about_bob = status_groups(data)
    assert about_message["Reporting-MTA"] == "dns;relay.example.com"
    assert about_message["Arrival-Date"] == "Sat, 21 Nov 2026 18:07:56 +0000"
    assert about_bob["Final-Recipient"] == "rfc822;bob@example.net"
    assert (about_bob["Action"], about_bob["Status"]) == ("failed", "5.1.1")
    assert about_bob["Remote-MTA"] == "dns;mx.example.net"
    assert about_bob["Diagnostic-Code"] == "smtp;550 5.1.1 <bob@example.net>: no such user here"
    assert data.endswith(b"--\r\n")
    assert ORIGINAL in data


def test_a_delay_as_a_whole() -> None:
    message = original()
    waiting = RecipientFailure(index=0, status="4.4.1", reason="The connection was refused.", remote="")
    notice = WRITER.delay(message, (waiting,), NOW, SEED)
    compare_with_golden("delayed", octets(notice))
    group = status_groups(octets(notice))[1]
    assert (group["Action"], group["Will-Retry-Until"]) == ("delayed", "Sun, 22 Nov 2026 18:07:56 +0000")
    assert b"The scan." not in octets(notice)
    assert written(notice).origin is Origin.DELAY_NOTICE


def test_a_confirmation_as_a_whole() -> None:
    message = original(recipients=(Recipient(Address("bob", "example.net"), Notify.SUCCESS),), ret="FULL")
    handed_on = replace(HANDED_ON, remote="mx.example.net [192.0.2.9]:25")
    notice = WRITER.success(message, (handed_on,), NOW, SEED)
    compare_with_golden("relayed", octets(notice))
    assert status_groups(octets(notice))[1]["Action"] == "relayed"


def test_an_internationalised_failure_as_a_whole() -> None:
    data = ORIGINAL.replace(b"Scan from floor 3", "Grüße".encode()).replace(b"The scan.", "Der Scan für Köln.".encode())
    message = original(
        data,
        sender=Address("jürgen", "müller.example"),
        recipients=(Recipient(Address("δοκιμή", "παράδειγμα.example"), Notify.DEFAULT, "utf-8;δοκιμή@x.example"),),
        smtputf8=True,
        body=Body.EIGHT_BIT_MIME,
    )
    notice = fail(message, replace(FAILURE, remote="", reply=None))
    found = octets(notice)
    compare_with_golden("internationalised", found)
    # The standard library takes every message/* part for a plain one, so the walker of our own looks at these.
    _, status, returned = children(whole(found))
    assert status.content_type.media_type == "message/global-delivery-status"
    assert "Final-Recipient: utf-8;δοκιμή@παράδειγμα.example\r\n" in binascii.a2b_qp(status.body).decode()
    assert returned.content_type.media_type == "message/global"
    assert binascii.a2b_base64(returned.body) == data
    assert written(notice).envelope.smtputf8
    assert found.partition(b"\r\n\r\n")[2].isascii()


def test_words_of_strangers_are_escaped_and_cut() -> None:
    hostile = Reply(
        554,
        "5.2.252",
        ("SendAsDenied; <script>alert(1)</script>\r\nAction: delivered\x1b[31m [BeginDiagnosticData]inner.name",),
    )
    data = ORIGINAL.replace(b"Scan from floor 3", b"<img src=x onerror=y> \"&'")
    notice = fail(original(data), replace(FAILURE, reply=hostile, reason="<b>no</b>", remote="mx<evil>\r\nX: y"))
    compare_with_golden("hostile", octets(notice))
    plain, html = human(octets(notice))
    for tag in ("<script", "<img", "<b>", "<evil"):
        assert tag not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in plain + html
    assert b"inner.name" not in octets(notice)
    group = status_groups(octets(notice))[1]
    assert group.get_all("Action") == ["failed"]
    assert group["Remote-MTA"] == "dns;mx?evil???X:"
    assert group["X"] is None


def test_people_read_why_and_what_to_do() -> None:
    plain, html = human(octets(fail(original())))
    for text in (plain, html):
        assert "Your message to bob@example.net could not be delivered." in text
        assert "The address does not exist." in text
        assert "What you can do: Check the address" in text
        assert "mx.example.net [198.51.100.7]:25" in text
        assert "relay.example.com (Posthouse)" in text
        assert "printer.example.com" in text


DENIED = Reply(550, "5.7.124", ("Sender not in allowed-senders list",))


def test_known_words_of_a_server_are_explained() -> None:
    plain, html = human(octets(fail(original(), replace(FAILURE, status="5.7.124", reply=DENIED))))
    for text in (" ".join(plain.split()), html):
        assert "What this means: The sender is not among those whom the recipient accepts." in text
        assert "Who can help: The recipient, or their administrator. The owner of the group must add" in text
        assert "What you can do" not in text


def test_after_the_time_is_over_the_last_answer_is_explained() -> None:
    reason = "Message expired: 554 5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com; STOREDRV"
    plain, _ = human(octets(fail(original(), replace(FAILURE, status="4.4.7", reply=None, reason=reason))))
    text = " ".join(plain.split())
    assert "could not be handed on before its time was over. The last answer explains why." in text
    assert "Who can help: The Exchange administrator of your organisation." in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sender": None}, "null sender"),
        ({"recipients": (Recipient(Address("bob", "example.net"), Notify.NEVER),)}, "NOTIFY"),
        ({"recipients": (Recipient(Address("bob", "example.net"), Notify.DELAY),)}, "NOTIFY"),
    ],
)
def test_nobody_is_told_who_cannot_or_will_not_be(changes: dict[str, object], reason: str) -> None:
    notice = fail(original(**changes))
    assert isinstance(notice, str)
    assert reason in notice


@pytest.mark.parametrize("origin", [Origin.BOUNCE, Origin.DELAY_NOTICE, Origin.SUCCESS_NOTICE])
def test_there_is_no_notice_about_a_notice(origin: Origin) -> None:
    assert fail(replace(original(), origin=origin)) == "the message is itself a notice"


def test_each_recipient_has_its_own_wish() -> None:
    message = original(
        recipients=(
            Recipient(Address("bob", "example.net"), Notify.NEVER),
            Recipient(Address("eve", "example.org"), Notify.FAILURE),
        )
    )
    notice = fail(message, FAILURE, replace(FAILURE, index=1))
    assert [group["Final-Recipient"] for group in status_groups(octets(notice))[1:]] == ["rfc822;eve@example.org"]


@pytest.mark.parametrize("field", [b"Auto-Submitted: auto-generated", b"Precedence: bulk"])
def test_programs_are_not_told_of_delays_but_of_failures(field: bytes) -> None:
    message = original(field + b"\r\n" + ORIGINAL)
    late = RecipientFailure(index=0, status="4.4.1", reason="No connection.")
    notice = WRITER.delay(message, (late,), NOW, SEED)
    assert isinstance(notice, str)
    assert "program" in notice
    assert written(fail(message)).parent == message.id


def test_confirmations_need_to_be_asked_for() -> None:
    assert isinstance(WRITER.success(original(), (HANDED_ON,), NOW, SEED), str)


def test_only_the_header_comes_back_when_the_sender_or_the_size_says_so() -> None:
    for message in (original(ret="HDRS"), original(ORIGINAL + b"x" * 76 * MAX_RETURNED_OCTETS)):
        data = octets(fail(message))
        returned = parts(data)[1][2]
        assert returned.get_content_type() == "text/rfc822-headers"
        assert returned.get_payload().rstrip() == ORIGINAL.partition(b"\r\n\r\n")[0].decode().rstrip()


def test_eight_bit_text_comes_back_in_seven_bits() -> None:
    data = octets(fail(original(ORIGINAL.replace(b"scan.", "scan, with kind regards: Grüße".encode()))))
    assert data.isascii()
    assert b"Gr=C3=BC=C3=9Fe" in data


def test_an_eight_bit_header_of_no_known_kind_comes_back_encoded() -> None:
    data = octets(fail(original(ORIGINAL.replace(b"Scan from", "Grüße".encode("latin-1")))))
    assert data.isascii()
    returned = parts(data)[1][2]
    assert (returned.get_content_type(), returned["Content-Transfer-Encoding"]) == ("text/rfc822-headers", "base64")
    assert "Grüße".encode("latin-1") in (returned.get_payload(decode=True) or b"")  # type: ignore[operator]


def test_the_original_is_read_from_the_spool_behind_its_prefix(tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(ORIGINAL)
    content = SpooledContent(path=file, size_octets=len(ORIGINAL), sha256=b"", prefix=b"X-Front: 1\r\n")
    message = replace(original(), content=content)
    assert read_excerpt(message) == Excerpt(b"X-Front: 1\r\n" + ORIGINAL, True)
    assert not read_excerpt(message, header_only=True).is_whole
    file.unlink()
    assert read_excerpt(message) == Excerpt(b"X-Front: 1\r\n", False)
    assert written(fail(message)).origin is Origin.BOUNCE


def test_a_notice_about_very_many_recipients_stays_near_a_mebibyte() -> None:
    recipients = tuple(Recipient(Address(f"user{n}", "example.net")) for n in range(2000))
    message = original(ORIGINAL + b"x" * 70 * 7000, recipients=recipients)
    long = Reply(550, "5.7.1", ("no " * 3000,))
    notice = fail(message, *(replace(FAILURE, index=n, reply=long) for n in range(2000)))
    data = octets(notice)
    assert len(data) < 1_700_000
    assert len(status_groups(data)) == 2001
