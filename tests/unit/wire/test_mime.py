"""The part walker: finds what is there, and stays calm before what is broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.mime import MAX_DEPTH, MAX_PARTS, children, read_content_type, walk, whole

MIXED = (
    b'Content-Type: multipart/mixed; boundary="b 1"\r\n\r\npreamble --b 1\r\n'
    b"--b 1\r\n\r\nplain text\r\n--b 1x\r\nstill text\r\n"
    b"--b 1 \t\r\nContent-Type: multipart/alternative;\r\n boundary=b2\r\n\r\n"
    b'--b2\r\nContent-Type: text/HTML (comment); Charset="utf-8"\r\nContent-Transfer-Encoding: Quoted-Printable\r\n'
    b"\r\n<p>\r\n--b2--\r\nepilogue of the inner\r\n"
    b"--b 1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n"
    b"--b 1--\r\nepilogue\r\n"
)


def test_parts_are_found_outer_before_inner() -> None:
    found = walk(MIXED)
    shown = [(part.depth, part.content_type.media_type, part.encoding, part.body) for part in found]
    assert shown[1:] == [
        (1, "text/plain", "7bit", b"plain text\r\n--b 1x\r\nstill text"),
        (1, "multipart/alternative", "7bit", shown[2][3]),
        (2, "text/html", "quoted-printable", b"<p>"),
        (1, "message/rfc822", "7bit", b"Subject: inner\r\n\r\ninner text"),
        (2, "text/plain", "7bit", b"inner text"),
    ]
    assert found.is_complete


def test_a_multipart_whose_end_is_missing_reaches_to_the_end() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo"
    assert [part.body for part in children(whole(data))] == [b"one", b"two"]


@pytest.mark.parametrize(
    "value", [b"multipart/mixed", b'multipart/mixed; boundary=""', b"multipart/mixed; boundary=never-comes"]
)
def test_a_multipart_without_a_useful_boundary_is_a_leaf(value: bytes) -> None:
    data = b"Content-Type: " + value + b"\r\n\r\n--\r\ntext\r\n"
    assert list(children(whole(data))) == []


def test_parts_of_a_digest_are_messages() -> None:
    data = b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\ntext\r\n--b--\r\n"
    assert [part.content_type.media_type for part in walk(data)] == ["multipart/digest", "message/rfc822", "text/plain"]


def test_an_encoded_message_is_not_looked_into() -> None:
    data = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n"
    assert list(children(whole(data))) == []


@pytest.mark.parametrize(
    ("value", "media_type", "parameters"),
    [
        (b"text/plain; charset=us-ascii", "text/plain", {"charset": "us-ascii"}),
        (b'Text/PLAIN;charset="a\\"b; c"; CHARSET=second', "text/plain", {"charset": 'a"b; c'}),
        (b"text", "text/plain", {}),
        (b"", "text/plain", {}),
        (b"application/pdf;\tname = a.pdf ; x", "application/pdf", {"name": "a.pdf"}),
    ],
)
def test_content_types(value: bytes, media_type: str, parameters: dict[str, str]) -> None:
    found = read_content_type(value)
    assert (found.media_type, dict(found.parameters)) == (media_type, parameters)


def test_depth_and_number_of_parts_are_bounded_and_said() -> None:
    deep = b"Content-Type: message/rfc822\r\n\r\n" * (MAX_DEPTH * 3)
    found = walk(deep)
    assert sum(1 for _ in found) == MAX_DEPTH + 1
    assert not found.is_complete
    wide = walk(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n\r\n" * (MAX_PARTS * 2))
    assert sum(1 for _ in wide) == MAX_PARTS
    assert not wide.is_complete


_LINES = (
    b"Content-Type: multipart/mixed; boundary=b\r\n|Content-Type: message/rfc822\r\n|--b|--b--|\r\n|\n|--|x|\xff|"
    b"Content-Transfer-Encoding: 8bit\r\n"
)
_PIECES = st.sampled_from(_LINES.split(b"|"))


@given(st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=40).map(b"".join)))
def test_any_octets_have_parts_that_lie_inside_each_other(data: bytes) -> None:
    around = {0: (0, len(data))}
    for part in walk(data):
        start, end = around[part.depth]
        assert start <= part.header.start <= part.header.body_start <= part.end <= end
        around[part.depth + 1] = (part.header.body_start, part.end)
