"""Conversion to 7 bit: what has to change changes, nothing else, and what cannot be changed is said."""

from __future__ import annotations

import binascii
from email import message_from_bytes
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.downgrade import (
    Impossible,
    SevenBit,
    encode_base64,
    encode_quoted_printable,
    fits_seven_bit,
    to_seven_bit,
)

TEXT = "Grüße aus Köln, 100 %= fertig \r\nzweite Zeile\r\n".encode()


def converted(data: bytes, *, max_line: int | None = None) -> bytes:
    result = to_seven_bit(data, max_line=max_line)
    assert isinstance(result, SevenBit), result
    assert fits_seven_bit(result.data, max_line=max_line)
    return result.data


def leaves(data: bytes) -> list[bytes]:
    def body(part: Message) -> bytes:
        octets = part.get_payload(decode=True)
        assert isinstance(octets, bytes)
        return octets

    return [body(part) for part in message_from_bytes(data).walk() if not part.is_multipart()]


def test_a_message_that_fits_is_not_touched() -> None:
    data = b"Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"
    assert to_seven_bit(data) == SevenBit(data, 0)


def test_text_becomes_quoted_printable() -> None:
    data = (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding:8bit\r\n\r\n" + TEXT
    )
    found = converted(data)
    assert found.startswith(
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
    )
    assert leaves(found) == [TEXT]


def test_text_mostly_outside_ascii_becomes_base64() -> None:
    text = "Здравствуйте\r\n".encode()
    data = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text
    assert b"Content-Transfer-Encoding: base64\r\n" in converted(data)
    assert leaves(converted(data)) == [text]


def test_text_without_mime_is_declared_as_of_unknown_characters() -> None:
    found = converted(b"Subject: x\r\n\r\n" + TEXT)
    assert found.startswith(
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )


def test_text_without_a_header_gets_one() -> None:
    assert leaves(converted(TEXT)) == [TEXT]


MIXED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=b1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"pre\xc3\xa4mble\r\n--b1\r\nX-Odd:no space\r\n\r\nplain part\r\n"
    b"--b1\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Subject: inner\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8BIT\r\n\r\n" + TEXT + b"\r\n--b1\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\n\r\x80\r\n--b1--\r\n"
)


def test_only_the_parts_that_need_it_change_however_deep_they_are() -> None:
    found = converted(MIXED)
    assert leaves(found) == [b"plain part", TEXT, b"\x00\xff\n\r\x80"]
    assert b"pre??mble\r\n--b1\r\nX-Odd:no space\r\n\r\nplain part\r\n--b1\r\n" in found
    assert b"boundary=b1\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" in found
    assert b"message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: inner\r\n" in found
    result = to_seven_bit(MIXED)
    assert isinstance(result, SevenBit)
    assert result.encoded_parts == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("Subject: Grüße\r\n\r\nx\r\n".encode(), "subject holds 8-bit"),
        (
            b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xff\r\n--b--\r\n",
            "signed part must not be changed",
        ),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff\r\n", "multipart/mixed cannot be encoded"),
        (b"Content-Type: message/partial\r\n\r\n\xff\r\n", "message/partial cannot be encoded"),
        (b"Content-Transfer-Encoding: base64\r\n\r\n\xff\r\n", "declared as base64"),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Description: \xff\r\n\r\nx\r\n--b--\r\n",
            "content-description holds 8-bit",
        ),
        (b"Content-Type: message/rfc822\r\n\r\n" * 40 + b"\xff", "cannot be encoded"),
    ],
)
def test_what_cannot_be_converted_is_said(data: bytes, reason: str) -> None:
    result = to_seven_bit(data)
    assert isinstance(result, Impossible)
    assert reason in result.reason


def test_a_signed_part_that_fits_stays_among_parts_that_change() -> None:
    signed = b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\ntext\r\n--s\r\n\r\nsignature\r\n--s--"
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + signed + b"\r\n--b\r\n\r\n\xff\r\n--b--\r\n"
    assert signed in converted(data)


def test_long_lines_are_encoded_when_asked() -> None:
    data = b"Subject: x\r\n\r\n" + b"y" * 2000 + b"\r\n"
    assert to_seven_bit(data) == SevenBit(data, 0)
    found = converted(data, max_line=998)
    assert leaves(found) == [b"y" * 2000 + b"\r\n"]
    assert b"unknown-8bit" not in found


@given(st.binary(max_size=400))
def test_base64_gives_back_the_octets(octets: bytes) -> None:
    encoded = encode_base64(octets)
    assert binascii.a2b_base64(encoded) == octets
    assert fits_seven_bit(encoded, max_line=76)


@given(st.lists(st.binary(max_size=200).map(lambda line: line.translate(None, b"\r\n\0"))).map(b"\r\n".join))
def test_quoted_printable_gives_back_the_text(text: bytes) -> None:
    encoded = encode_quoted_printable(text)
    assert binascii.a2b_qp(encoded) == text
    assert fits_seven_bit(encoded, max_line=76)


_LINES = (
    b"Content-Type: multipart/mixed; boundary=b\r\n|Content-Type: message/rfc822\r\n|--b|--b--|\r\n|\n|--|x|\xff|\0|"
    b"Content-Transfer-Encoding: 8bit\r\n|Subject: y\r\n"
)


@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(_LINES.split(b"|")), max_size=40).map(b"".join)))
def test_any_octets_are_converted_or_refused_with_a_reason(data: bytes) -> None:
    result = to_seven_bit(data, max_line=998)
    if isinstance(result, SevenBit):
        assert fits_seven_bit(result.data, max_line=998)
    else:
        assert result.reason
