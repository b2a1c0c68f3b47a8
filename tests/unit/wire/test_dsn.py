"""Notices keep their form whatever strangers have said."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.envelope import Recipient
from posthouse.wire.downgrade import fits_seven_bit
from posthouse.wire.dsn import Action, Original, RecipientReport, Report, compose, trim_reply
from posthouse.wire.header import HeaderIndex
from posthouse.wire.mime import children, whole
from posthouse.wire.notice_words import describe, explain

AT = datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC)
HOSTILE = st.text(st.sampled_from("a \r\n\t:<>;=?&\"'\\\x00\x1b\u202eü中"), max_size=300) | st.text(max_size=80)


def report(
    *,
    subject: str = "",
    said: str = "",
    reason: str = "",
    remote: str = "",
    envid: str = "",
    orcpt: str = "",
    utf8: bool,
) -> Report:
    original = Original(
        data=b"Subject: x\r\n\r\ntext\r\n",
        is_whole=True,
        size_octets=20,
        received_at=AT,
        received_from=remote,
        sender=Address("a", "example.com"),
        subject=subject,
        message_id=subject,
        shown_id="6GZYJS0C0002D",
        envid=envid,
        smtputf8=utf8,
    )
    recipient = Recipient(Address("b", "example.net"), original=orcpt)
    each = RecipientReport(
        recipient=recipient, action=Action.FAILED, status=said, said=said, reason=reason, remote=remote, attempted_at=AT
    )
    return Report(
        hostname="relay.example.com",
        postmaster=Address("postmaster", "example.com"),
        at=AT,
        message_id="<1@relay.example.com>",
        boundary="0123456789abcdef",
        original=original,
        recipients=(each, each),
    )


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_no_words_break_the_form(subject: str, said: str, remote: str, envid: str, utf8: bool) -> None:
    written = report(subject=subject, said=said, remote=remote, envid=envid, orcpt=f"rfc822;{envid}", utf8=utf8)
    data = compose(written, describe(written))
    assert fits_seven_bit(data, max_line=998)
    assert [part.content_type.media_type for part in children(whole(data))][::2] == [
        "multipart/alternative",
        "message/rfc822",
    ]
    names = [field.name for field in HeaderIndex.scan(data).fields]
    assert names.count(b"subject") == names.count(b"to") == 1
    assert set(names) <= {
        *(b"date", b"from", b"to", b"subject", b"message-id", b"in-reply-to", b"references", b"auto-submitted"),
        *(b"content-language", b"mime-version", b"content-type"),
    }


@given(HOSTILE, HOSTILE, HOSTILE)
def test_the_part_for_programs_has_its_fields_once(said: str, reason: str, envid: str) -> None:
    written = report(said=said, reason=reason, envid=envid, orcpt=f"rfc822;{envid}", utf8=False)
    parsed = message_from_bytes(compose(written, describe(written)))
    about_message, first, second = parsed.get_payload()[1].get_payload()  # type: ignore[union-attr, index]
    assert about_message.keys() == ["Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"]  # type: ignore[union-attr]
    for group in (first, second):
        names = group.keys()  # type: ignore[union-attr]
        assert [name for name in names if name != "Diagnostic-Code"] == [
            "Original-Recipient",
            "Final-Recipient",
            "Action",
            "Status",
            "Last-Attempt-Date",
        ]


def test_a_long_reply_is_cut_and_folded() -> None:
    written = report(said="550 5.7.1 " + "word " * 1000 + "x" * 5000, utf8=False)
    data = compose(written, describe(written))
    assert len(data) < 12_000
    assert fits_seven_bit(data, max_line=998)


def test_inner_data_of_exchange_is_left_out() -> None:
    assert trim_reply("554 5.2.0 Failed [BeginDiagnosticData]secret[EndDiagnosticData]") == "554 5.2.0 Failed"


@pytest.mark.parametrize(
    ("action", "status", "shown"),
    [
        (Action.FAILED, "5.1.1", "5.1.1"),
        (Action.FAILED, "4.4.7", "4.4.7"),
        (Action.FAILED, "2.0.0", "5.0.0"),
        (Action.FAILED, "", "5.0.0"),
        (Action.DELAYED, "5.7.1", "4.7.1"),
        (Action.DELAYED, "nonsense", "4.0.0"),
        (Action.RELAYED, "2.6.0", "2.6.0"),
        (Action.DELIVERED, "", "2.0.0"),
    ],
)
def test_the_status_agrees_with_the_action(action: Action, status: str, shown: str) -> None:
    assert RecipientReport(recipient=Recipient(Address("b", "x")), action=action, status=status).shown_status == shown


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.1.1", "address does not exist"),
        ("4.2.2", "mailbox is full"),
        ("5.7.999", "security or policy"),
        ("5.0.0", "did not take"),
        ("", "did not take"),
    ],
)
def test_causes_are_found_by_code_then_by_subject(status: str, words: str) -> None:
    assert words in explain(status)[0]
