"""Received fields: ours is sound whatever the client said, and those of others are read for what they tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.ids import SessionId, make_message_id, show_message_id
from posthouse.mail.session import SessionFacts, TlsFacts
from posthouse.wire.header import HeaderIndex
from posthouse.wire.received import count_received, hops, our_trace, read_hop, received_field, show_date

AT = datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC)
ID = make_message_id(1_795_000_000_000, 7)
SESSION = SessionFacts(
    id=SessionId("08D751B8BF60FE0E"),
    listener="submission",
    peer_ip="192.0.2.1",
    peer_port=40000,
    helo="printer.example.com",
    protocol="ESMTPSA",
    tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
    principal=None,
    started_at=AT,
)


def test_the_field_names_client_tls_id_recipient_and_time() -> None:
    field = received_field(SESSION, "relay.example.com", ID, Address("bob", "example.net"), AT)
    assert field == (
        b"Received: from printer.example.com ([192.0.2.1])\r\n"
        b" by relay.example.com (Posthouse)\r\n"
        b" with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b" id " + show_message_id(ID).encode() + b"\r\n"
        b" for <bob@example.net>;\r\n"
        b" Sat, 21 Nov 2026 18:07:56 +0000\r\n"
    )


def test_a_message_of_this_machine_has_no_client() -> None:
    local = replace(SESSION, peer_ip="", peer_port=0, helo="root", protocol="", tls=None)
    assert received_field(local, "relay.example.com", ID, None, AT) == (
        b"Received: by relay.example.com (Posthouse)\r\n with local\r\n"
        b" id " + show_message_id(ID).encode() + b";\r\n Sat, 21 Nov 2026 18:07:56 +0000\r\n"
    )


def test_an_ipv6_client_is_written_as_a_literal() -> None:
    assert b"([IPv6:2001:db8::1])" in received_field(replace(SESSION, peer_ip="2001:db8::1"), "h", ID, None, AT)


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        ("", b"from unknown ("),
        ("a\r\nBcc: x", b"from a??Bcc:?x ("),
        ("h) by evil (", b"from h??by?evil?? ("),
        ("m\u00fcller", b"from m?ller ("),
        ("[192.0.2.7]", b"from [192.0.2.7] ("),
    ],
)
def test_a_hostile_name_is_neutralised(helo: str, shown: bytes) -> None:
    assert shown in received_field(replace(SESSION, helo=helo), "relay.example.com", ID, None, AT)


@given(st.text(max_size=400), st.text(max_size=80))
def test_no_name_breaks_the_field(helo: str, local: str) -> None:
    field = received_field(replace(SESSION, helo=helo), "relay.example.com", ID, Address(local, "example.net"), AT)
    index = HeaderIndex.scan(field + b"\r\nbody")
    assert [found.name for found in index.fields] == [b"received"]
    assert index.data[index.body_start :] == b"body"
    assert field.isascii()
    assert max(map(len, field.split(b"\r\n"))) < 400
    assert len(our_trace(index, "relay.example.com")) == 1


@pytest.mark.parametrize("path", ["a>b", "a b", 'a"\r\n', "\u00fc"])
def test_a_recipient_that_does_not_fit_is_left_out(path: str) -> None:
    assert b"\r\n for " not in received_field(SESSION, "h", ID, Address(path, "example.net"), AT)


def test_a_recipient_outside_ascii_is_named_only_in_an_internationalised_message() -> None:
    field = received_field(SESSION, "h", ID, Address("j\u00fcrgen", "example.net"), AT, smtputf8=True)
    assert " for <j\u00fcrgen@example.net>;".encode() in field


def test_dates_are_as_the_standard_library_writes_them() -> None:
    for day in range(0, 4000, 37):
        at = AT + timedelta(days=day, seconds=day * 7919)
        assert show_date(at) == format_datetime(at)


EXCHANGE = (
    b"Received: from PR3PR01MB1.eurprd01.prod.exchangelabs.com (2603:10a6::1) by\r\n"
    b" AM9PR01MB2.eurprd01.prod.exchangelabs.com with HTTPS; Sat, 21 Nov 2026 10:00:09\r\n +0000\r\n"
    b"Received: from relay.example.com (198.51.100.7) by\r\n mx.outlook.com (10.0.0.1) with Microsoft SMTP Server"
    b" (version=TLS1_2,\r\n cipher=X) id 15.20.1 via Frontend Transport; Sat, 21 Nov 2026\r\n 10:00:07 +0000\r\n"
    b"Received: from web (web.example.com [IPv6:2001:db8::9]) (using TLSv1.3 (nested) comment)\r\n"
    b"\tby Relay.Example.COM (Postfix) with ESMTPS id 4Xyz\r\n\tfor <a@b.example>; Sat, 21 Nov 2026 11:00:04 +0100\r\n"
    b"Received: something else entirely\r\n"
    b"\r\n"
)


def test_hops_are_read_first_to_last_with_their_delays() -> None:
    index = HeaderIndex.scan(EXCHANGE)
    assert count_received(index) == 4
    unreadable, first, second, third = hops(index)
    assert (unreadable.by_host, unreadable.at, unreadable.delay) == ("", None, None)
    assert (first.from_host, first.from_ip, first.by_host) == ("web", "2001:db8::9", "relay.example.com")
    assert (first.protocol, first.id, first.delay) == ("ESMTPS", "4Xyz", None)
    assert first.at == datetime(2026, 11, 21, 10, 0, 4, tzinfo=UTC)
    assert (second.by_host, second.delay) == ("mx.outlook.com", timedelta(seconds=3))
    assert (third.protocol, third.delay) == ("HTTPS", timedelta(seconds=2))


def test_a_loop_through_this_node_shows_as_two_fields_of_ours() -> None:
    ours = received_field(SESSION, "relay.example.com", ID, None, AT)
    data = ours + b"Received: from a by Relay.example.com (Postfix) with SMTP id 4Xyz; x\r\n" + ours + b"\r\n"
    found = our_trace(HeaderIndex.scan(data), "Relay.Example.com")
    assert [hop.id for hop in found] == [show_message_id(ID)] * 2
    assert our_trace(HeaderIndex.scan(data), "other.example.com") == ()


@given(st.binary(max_size=300))
def test_any_octets_can_be_read_as_a_hop(value: bytes) -> None:
    hop = read_hop(value)
    assert hop.at is None or hop.at.tzinfo is UTC


def test_nested_comments_cost_no_square() -> None:
    read_hop(b"(" * 4000 + b")" * 4000)
