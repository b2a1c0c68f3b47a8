"""Parts of a message found piece by piece are those found in the whole of it."""

from __future__ import annotations

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.attachment import Decoder, decode, describe
from posthouse.wire.mime import Part, children, whole
from posthouse.wire.outline import Outline, outline

NESTED = (
    b"Subject: s\r\nContent-Type: multipart/mixed; boundary=out\r\n\r\npreamble\r\n--out\r\n"
    b"Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n\r\nplain\r\n--in\r\n"
    b"Content-Type: text/html\r\n\r\n<p>\r\n--in--\r\nepilogue\r\n--out\r\n"
    b"Content-Type: application/pdf; name=a.pdf\r\n"
    b"Content-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\n--out--\r\nrest\r\n"
)


def leaves_of(part: Part) -> list[tuple[str, bytes]]:
    if part.is_multipart and part.content_type.boundary:
        return [leaf for child in children(part) for leaf in leaves_of(child)]
    return [(part.content_type.media_type, part.body)]


def found(data: bytes, result: Outline) -> list[tuple[str, bytes]]:
    return [(leaf.media_type, data[leaf.body_start : leaf.end]) for leaf in result.leaves]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_pieces_of_any_size_give_the_same_parts(size: int) -> None:
    result = outline(NESTED[n : n + size] for n in range(0, len(NESTED), size))
    assert found(NESTED, result) == leaves_of(whole(NESTED))
    assert [leaf.containers for leaf in result.leaves] == [
        ("multipart/mixed", "multipart/alternative"),
        ("multipart/mixed", "multipart/alternative"),
        ("multipart/mixed",),
    ]
    pdf = result.leaves[-1]
    assert NESTED[pdf.start : pdf.next].startswith(b"--out\r\nContent-Type: application/pdf")
    assert NESTED[pdf.next :] == b"--out--\r\nrest\r\n"
    assert result.header == NESTED[: result.leaves[0].start - len(b"preamble\r\n")][: len(result.header)]
    assert result.children == {0: 2, 1: 2}


_PIECES = st.sampled_from(
    [b"--a\r\n", b"--a--\r\n", b"--b\n", b"--b--", b"\r\n", b"\n", b"text\r\n", b"x" * 70_000, b"--", b"-", b" ",
     b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
     b"Content-Type: application/pdf\r\n", b"X: y\r\n"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=25).map(b"".join), st.integers(1, 50))
def test_any_octets_give_the_parts_that_the_whole_message_has(data: bytes, size: int) -> None:
    result = outline(data[n : n + size * 100] for n in range(0, len(data), size * 100))
    assert result.size_octets == len(data)
    if result.is_complete:
        assert found(data, result) == leaves_of(whole(data))


@given(st.binary(max_size=500), st.integers(1, 40))
def test_base64_in_pieces_is_base64_in_one(data: bytes, size: int) -> None:
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    decoder = Decoder("base64")
    pieces = [decoder.feed(encoded[n : n + size]) for n in range(0, len(encoded), size)]
    assert b"".join(pieces) + decoder.finish() == data == decode(encoded, "base64")


@given(st.binary(max_size=300), st.integers(1, 40))
def test_quoted_printable_in_pieces_is_the_same_in_one(data: bytes, size: int) -> None:
    encoded = binascii.b2a_qp(data, istext=False)
    decoder = Decoder("quoted-printable")
    pieces = [decoder.feed(encoded[n : n + size]) for n in range(0, len(encoded), size)]
    assert b"".join(pieces) + decoder.finish() == data


def test_broken_base64_gives_what_can_be_read() -> None:
    assert decode(b"QUJD!!\r\nRA", "base64") == b"ABCD"
    assert decode(b"Q", "base64") == b""
    assert decode(b"QUI=QUJD", "base64") == b"AB"


def test_names_of_files_are_read_in_all_their_spellings() -> None:
    for header, name in (
        (b'Content-Disposition: attachment; filename="a b.pdf"', "a b.pdf"),
        (b"Content-Disposition: attachment; filename*=utf-8''gr%C3%BCn.pdf", "grün.pdf"),
        (b'Content-Type: application/pdf; name="=?utf-8?q?gr=C3=BCn.pdf?="', "grün.pdf"),
        (b'Content-Disposition: attachment; filename="C:\\\\x\\\\..\\\\evil.exe"', "evil.exe"),
        (b"Content-Type: application/pdf", "attachment.pdf"),
        (b"Content-Type: message/rfc822", "message.eml"),
    ):
        assert describe(header + b"\r\n\r\n").name == name
