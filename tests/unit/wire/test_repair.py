"""Repairs add what is missing and leave what is there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.ids import make_message_id, show_message_id
from posthouse.wire.header import HeaderIndex
from posthouse.wire.repair import NOTHING, Repairs, repairs

AT = datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC)
ID = make_message_id(1_795_000_000_000, 7)
SENDER = Address("scanner", "example.com")


def mend(data: bytes, *, add_from: bool = True, sender: Address | None = SENDER) -> Repairs:
    return repairs(data, at=AT, message_id=ID, hostname="relay.example.com", sender=sender, add_from=add_from)


def test_a_whole_message_needs_nothing() -> None:
    assert mend(b"date: x\r\nMESSAGE-ID : <1@a>\r\nFrom: a@b.example\r\n\r\nText\r\n") is NOTHING


def test_date_message_id_and_from_are_added_with_a_sentence_each() -> None:
    found = mend(b"Subject: scan\r\n\r\nText\r\n")
    assert found.prefix == (
        b"Date: Sat, 21 Nov 2026 18:07:56 +0000\r\n"
        b"Message-ID: <" + show_message_id(ID).encode() + b"@relay.example.com>\r\n"
        b"From: <scanner@example.com>\r\n"
    )
    assert len(found.sentences) == 3
    assert found.message_id == f"<{show_message_id(ID)}@relay.example.com>"
    assert found.from_address == "scanner@example.com"


def test_from_is_added_only_when_asked_and_when_there_is_a_sender() -> None:
    assert b"From" not in mend(b"Subject: scan\r\n\r\n", add_from=False).prefix
    assert b"From" not in mend(b"Subject: scan\r\n\r\n", sender=None).prefix
    assert b"From" not in mend(b"Subject: scan\r\n\r\n", sender=Address("j\u00fcrgen", "example.com")).prefix


@pytest.mark.parametrize("text", [b"Toner is low.\r\n", b" Toner is low.\r\n", b"Toner is low"])
def test_bare_text_gets_a_header_and_a_blank_line(text: bytes) -> None:
    found = mend(text)
    index = HeaderIndex.scan(found.prefix + text)
    assert [field.name for field in index.fields] == [b"date", b"message-id", b"from"]
    assert index.data[index.body_start :] == text
    assert "no header" in found.sentences[-1]


def test_fields_in_the_body_do_not_count() -> None:
    assert mend(b"Subject: x\r\n\r\nDate: y\r\nFrom: z\r\nMessage-ID: q\r\n").prefix.count(b"\r\n") == 3


@given(st.binary(max_size=200))
def test_after_repair_nothing_more_is_missing(data: bytes) -> None:
    mended = mend(data).prefix + data
    assert mended.endswith(data)
    assert mend(mended) is NOTHING
