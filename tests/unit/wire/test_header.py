"""The header index: tolerant of what devices send, and exact to the octet in what it leaves alone."""

from __future__ import annotations

import pytest

from posthouse.mail.message import HeaderFacts
from posthouse.wire.header import (
    MAX_FIELDS,
    MAX_HEADER_OCTETS,
    HeaderIndex,
    decode_text,
    facts,
    first_address,
    insert_before,
    separator,
)

MESSAGE = (
    b"Received: from web.example.com by relay.example.com; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b'From: "Scan, Office" <scanner@example.com>\r\n'
    b"SUBJECT:Scan\r\n"
    b"\tfrom floor 3 \r\n"
    b"X-Odd   :   three\r\n"
    b"Message-ID: <1@web.example.com>\r\n"
    b"\r\n"
    b"Subject: not a field\r\n"
)


def test_fields_are_found_without_regard_to_case_and_in_order() -> None:
    index = HeaderIndex.scan(MESSAGE)
    assert [field.name for field in index.fields] == [b"received", b"from", b"subject", b"x-odd", b"message-id"]
    assert index.get("Subject") == "Scan\tfrom floor 3".replace("\t", " ")
    assert index.raw("subject") == b"Scan\r\n\tfrom floor 3 "
    assert index.unfolded("x-ODD") == b"three"
    assert index.get("to") is None
    assert index.get_all("received") == ("from web.example.com by relay.example.com; Fri, 20 Nov 2026 10:00:00 +0000",)
    assert MESSAGE[index.body_start :] == b"Subject: not a field\r\n"
    assert index.has_blank_line
    assert not index.is_truncated


def test_the_header_ends_at_a_line_that_is_no_field() -> None:
    index = HeaderIndex.scan(b"Subject: hello\r\nThis is text: with a colon\r\nFrom: a@example.com\r\n")
    assert [field.name for field in index.fields] == [b"subject"]
    assert index.body_start == index.end == 16
    assert not index.has_blank_line


def test_a_line_that_begins_with_a_colon_is_a_field_without_a_name() -> None:
    index = HeaderIndex.scan(b": odd\r\nSubject: x\r\n\r\n")
    assert [field.name for field in index.fields] == [b"", b"subject"]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"", b""),
        (b"\r\nbody", b"body"),
        (b"\nbody", b"body"),
        (b" folded first line\r\n\r\nbody", b" folded first line\r\n\r\nbody"),
        (b"Subject: no line end", b""),
        (b"Subject: bare\n\nbody", b"body"),
        (b"no header at all\r\n", b"no header at all\r\n"),
    ],
)
def test_where_the_body_begins(data: bytes, body: bytes) -> None:
    assert data[HeaderIndex.scan(data).body_start :] == body


def test_a_header_beyond_the_bounds_is_reported_and_not_followed() -> None:
    many = HeaderIndex.scan(b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\nbody")
    assert len(many.fields) == MAX_FIELDS
    assert many.is_truncated
    assert many.data[many.body_start :] == b"body"
    long = HeaderIndex.scan(b"X: " + b"y" * MAX_HEADER_OCTETS + b"\r\n\r\n")
    assert long.is_truncated
    assert long.end <= MAX_HEADER_OCTETS


def test_a_long_line_without_a_colon_costs_no_square() -> None:
    index = HeaderIndex.scan(b"a" * MAX_HEADER_OCTETS * 4)
    assert index.fields == ()
    assert facts(b"=?" * 200_000) == HeaderFacts()


def test_the_facts_of_an_ordinary_message() -> None:
    assert facts(MESSAGE) == facts(MESSAGE.replace(b"X-Odd   :", b"X-Odd:"))
    assert facts(MESSAGE) == HeaderFacts(
        message_id="<1@web.example.com>",
        subject="Scan from floor 3",
        from_address="scanner@example.com",
        received_count=1,
    )


def test_facts_come_only_from_the_header() -> None:
    assert facts(b"X: y\r\n\r\nSubject: body\r\nFrom: a@example.com\r\n") == HeaderFacts()
    assert facts(b"text first\r\nSubject: body\r\nReceived: x\r\n") == HeaderFacts()


def test_a_blank_before_the_colon_is_forgiven() -> None:
    assert facts(b"Subject : a\r\nFrom\t: <b@example.com>\r\n\r\n") == HeaderFacts(
        subject="a", from_address="b@example.com"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" plain ", "plain"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus =?utf-8?B?S8O2bG4=?=", "Grüße aus Köln"),
        (b"=?utf-8?Q?Gr=C3?=\r\n =?utf-8?Q?=BC=C3=9Fe?=", "Grüße"),
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        (b"=?no-such-charset?Q?abc?=", "abc"),
        (b"=?rot13?Q?abc?=", "abc"),
        (b"=?punycode?Q?abc-?=", "abc-"),
        (b"=?utf-8?B?not base64!!!?=", None),
        (b"=?utf-8?Q?never ended", "=?utf-8?Q?never ended"),
        (b"=?utf-8?Q?line=0D=0ABcc:_x?=", "line Bcc: x"),
        (b"a\x00b\x1bc", "a b c"),
        ("safe\u202efdp.exe".encode(), "safe fdp.exe"),
    ],
)
def test_text_that_is_shown(value: bytes, text: str | None) -> None:
    shown = decode_text(value)
    assert shown.isprintable()
    assert text is None or shown == text


def test_shown_text_is_bounded() -> None:
    assert len(decode_text(b"x" * 100_000)) == 998


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b" a@example.com", "a@example.com"),
        (b"<a@example.com>", "a@example.com"),
        (b"Name <a@example.com>", "a@example.com"),
        (b'"Last, First" <a@example.com>', "a@example.com"),
        (b'"quote \\" <x@y.example>" <a@example.com>', "a@example.com"),
        (b"a@b.example <a@example.com>", "a@example.com"),
        (b"(comment <x@y.example>) a@example.com (c@d.example)", "a@example.com"),
        (b"Group: a@example.com, b@example.com;", "a@example.com"),
        (b"undisclosed-recipients:;", ""),
        (b"a@example.com,b@example.com", "a@example.com"),
        (b"Nobody, a@example.com", "a@example.com"),
        (b"<@relay.example:a@example.com>", "a@example.com"),
        (b"a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("J\u00fcrgen <j\u00fcrgen@m\u00fcller.example>".encode(), "j\u00fcrgen@m\u00fcller.example"),
        (b'"john doe"@example.com', '"john doe"@example.com'),
        (b"root", ""),
        (b"<>", ""),
        (b"", ""),
    ],
)
def test_the_first_address_of_a_field(value: bytes, address: str) -> None:
    assert first_address(value) == address


def test_fields_put_in_front_leave_the_message_as_it_was() -> None:
    assert insert_before(MESSAGE, b"X: y\r\n") == b"X: y\r\n" + MESSAGE


@pytest.mark.parametrize("text", [b"just text\r\n", b" indented text\r\n", b"text"])
def test_text_without_a_header_does_not_become_one(text: bytes) -> None:
    assert separator(text) == b"\r\n"
    data = insert_before(text, b"X: y\r\n")
    assert data[HeaderIndex.scan(data).body_start :] == text


@pytest.mark.parametrize("fields", [b"X: y", b"no field\r\n", b"X: y\r\n\r\n", b" folded\r\n"])
def test_only_whole_fields_are_put_in_front(fields: bytes) -> None:
    with pytest.raises(ValueError, match="whole field lines"):
        insert_before(MESSAGE, fields)


def test_removing_a_field_leaves_all_other_octets() -> None:
    index = HeaderIndex.scan(b"A: 1\r\nBcc: x\r\n y\r\nB:2\r\nbcc : z\r\n\r\nBcc: body\r\n")
    assert index.remove("bcc") == b"A: 1\r\nB:2\r\n\r\nBcc: body\r\n"
    assert index.remove("c") == index.data


def test_replacing_a_field_keeps_its_place() -> None:
    index = HeaderIndex.scan(b"A: 1\r\nFrom: x\r\n y\r\nB:2\r\nFROM: z\r\n\r\nbody")
    assert index.replace("From", b"<new@example.com>") == b"A: 1\r\nFrom: <new@example.com>\r\nB:2\r\n\r\nbody"
    assert HeaderIndex.scan(b"A: 1\r\n\r\n").replace("B", b"2") == b"B: 2\r\nA: 1\r\n\r\n"
    assert HeaderIndex.scan(b"text").replace("B", b"2") == b"B: 2\r\n\r\ntext"
