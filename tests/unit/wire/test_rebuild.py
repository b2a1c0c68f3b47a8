"""A rebuilt header reaches exactly the envelope, whatever the original header says."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.wire.header import HeaderIndex
from posthouse.wire.rebuild import Impossible, Rebuilt, rebuild_header, reencode


def rebuilt(message: bytes, *recipients: str) -> bytes:
    result = rebuild_header(HeaderIndex.scan(message), [Address.parse(r) for r in recipients])
    assert isinstance(result, Rebuilt), result
    return result.header


def delivered(header: bytes) -> set[str]:
    """Whom a reader of To, Cc and Bcc delivers to; Python's parser stands for it."""
    parsed = message_from_bytes(header, policy=policy.compat32)
    values = [str(v) for name in ("to", "cc", "bcc") for v in parsed.get_all(name, [])]
    return {address.lower() for _, address in getaddresses(values) if address}


def delivered_strictly(header: bytes) -> set[str]:
    """The same by the newer parser of the standard library."""
    parsed = message_from_bytes(header, policy=policy.default)
    found = [a for name in ("to", "cc", "bcc") for v in parsed.get_all(name, []) for a in v.addresses]
    return {a.addr_spec.lower() for a in found}


def delivered_by_pieces(header: bytes) -> set[str]:
    """The same by a reader that splits at commas, once quoted names and comments are gone."""
    found = set()
    for field in re.split(rb"\r\n(?![ \t])", header):
        name, _, value = field.partition(b":")
        if name.strip().lower() in (b"to", b"cc", b"bcc"):
            text = re.sub(r'"(?:[^"\\]|\\.)*"(?!@)', "", value.decode().replace("\r\n", ""))
            for part in text.replace("undisclosed-recipients:;", "").split(","):
                inside = re.search(r"<([^<>]*)>", part)
                found.add((inside[1] if inside else part).strip().lower())
    return found - {""}


PLAIN = b"From: a@x.example\r\nTo: Bob <bob@y.example>, c@y.example\r\nSubject: s\r\n\r\nbody\r\n"


def test_fields_that_name_recipients_only_stay_octet_for_octet() -> None:
    header = rebuilt(PLAIN, "bob@y.example", "c@y.example")
    assert header == PLAIN.partition(b"body")[0]


def test_others_of_the_envelope_are_hidden_in_bcc() -> None:
    header = rebuilt(PLAIN, "bob@y.example", "c@y.example", "secret@z.example")
    assert b"To: Bob <bob@y.example>, c@y.example\r\n" in header
    assert b"Bcc: secret@z.example\r\n" in header


def test_who_is_not_in_the_envelope_gets_nothing_and_stays_visible() -> None:
    header = rebuilt(PLAIN, "bob@y.example")
    assert delivered(header) == {"bob@y.example"}
    assert b"X-Original-To: Bob <bob@y.example>, c@y.example\r\n" in header
    assert b"\r\nTo: Bob <bob@y.example>\r\n" in header


def test_a_redirected_message_reaches_only_its_new_recipient() -> None:
    message = b"To: customer@real.example\r\nCc: boss@real.example\r\nBcc: spy@real.example\r\n\r\n"
    header = rebuilt(message, "test@own.example")
    assert delivered(header) == {"test@own.example"}
    assert b"spy@" not in header
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in header
    assert b"\r\nCc:" not in header
    assert b"X-Original-Cc: boss@real.example\r\n" in header


@pytest.mark.parametrize(
    "value",
    [
        b'"bob@y.example, eve@z.example" <bob@y.example>',
        b"Team: bob@y.example, Eve <eve@z.example>;",
        b"bob@y.example (Bob, see eve@z.example)",
        b"bob@y.example; eve@z.example",
        b"bob@y.example\r eve@z.example",
        b"bob@y.example\rBcc: eve@z.example",
        b"eve@z.example <bob@y.example>",
        b"<@relay.example,@other.example:bob@y.example>",
        b"=?utf-8?q?eve=40z.example=2C?= <bob@y.example>",
        b'Bob \\"<eve@z.example>" <bob@y.example>',
        b'"unterminated <eve@z.example>, bob@y.example',
        b"bob@y.example,,, ,\r\n\teve@z.example",
        b"\xc3\xa9ve <eve@z.example>, b\xf6b <bob@y.example>",
        b"BOB@Y.EXAMPLE, Bob+tag@y.example",
        b"undisclosed-recipients:;",
        b"",
    ],
)
def test_no_spelling_of_to_adds_a_recipient(value: bytes) -> None:
    for envelope in (["bob@y.example"], ["bob@y.example", "d@y.example"]):
        header = rebuilt(b"To: " + value + b"\r\nSubject: s\r\n\r\n", *envelope)
        assert delivered(header) == delivered_by_pieces(header) == delivered_strictly(header) == set(envelope)


def test_an_address_in_another_case_is_the_same_and_written_as_the_envelope_has_it() -> None:
    header = rebuilt(b"To: Bob <BOB@Y.example>\r\n\r\n", "bob@y.example")
    assert header == b"To: Bob <bob@y.example>\r\n\r\n"


def test_an_international_domain_is_found_in_either_spelling() -> None:
    for spelling in ("büro@müller.example".encode(), b"x@xn--mller-kva.example"):
        local = spelling.decode().partition("@")[0]
        header = rebuilt(b"To: " + spelling + b"\r\n\r\n", f"{local}@müller.example")
        assert b"Bcc" not in header
        assert b"@xn--mller-kva.example" in header


def test_five_hundred_hidden_recipients_stand_in_short_lines() -> None:
    many = [f"user{n}@y.example" for n in range(500)]
    header = rebuilt(b"Subject: s\r\n\r\n", *many)
    assert delivered(header) == set(many)
    assert max(map(len, header.split(b"\r\n"))) < 998


def test_two_fields_of_one_name_become_one() -> None:
    header = rebuilt(b"To: a@y.example\r\nTo: b@y.example\r\n\r\n", "a@y.example", "b@y.example")
    assert header.count(b"To:") == 1
    assert delivered(header) == {"a@y.example", "b@y.example"}


def test_fields_of_an_earlier_redirection_reach_nobody() -> None:
    header = rebuilt(b"Resent-To: eve@z.example\r\nResent-Bcc: f@z.example\r\n\r\n", "a@y.example")
    assert header.startswith(b"X-Original-Resent-To: eve@z.example\r\n")
    assert b"f@z.example" not in header


def test_an_at_sign_in_a_name_of_the_author_is_quoted() -> None:
    header = rebuilt(b"From: scanner@floor2 <scan@x.example>\r\n\r\n", "a@y.example")
    assert b'From: "scanner@floor2" <scan@x.example>\r\n' in header


def test_a_header_without_end_is_refused() -> None:
    message = b"".join(b"X-%d: y\r\n" % n for n in range(2100)) + b"Bcc: eve@z.example\r\n\r\n"
    result = rebuild_header(HeaderIndex.scan(message), [Address.parse("a@y.example")])
    assert isinstance(result, Impossible)


def test_an_address_that_readers_take_apart_differently_is_refused() -> None:
    result = rebuild_header(HeaderIndex.scan(b"\r\n"), [Address('"a,b@c.example"', "y.example")])
    assert isinstance(result, Impossible)


def test_nobody_hides_behind_more_addresses_than_are_read() -> None:
    value = b",".join([b"bob@y.example"] * 6000) + b", eve@z.example"
    header = rebuilt(b"To: " + value + b"\r\n\r\n", "bob@y.example")
    assert delivered(header) == {"bob@y.example"}


@pytest.mark.parametrize(
    "sign", [b"[", b"[ ", b"@[", b'"', b"(", b"<", b"a ", b"a@b ", b",", b"a.", b"=?", b"\\", b":;"]
)
def test_no_run_of_signs_takes_long_to_read(sign: bytes) -> None:
    """A quadratic reader would not come to an end here."""
    header = rebuilt(b"To: " + sign * (250_000 // len(sign)) + b"\r\n\r\n", "bob@y.example")
    assert delivered_by_pieces(header) == {"bob@y.example"}


_NAMES = st.sampled_from(["To", "to ", "Cc", "CC", "Bcc", "Subject", "From", "Resent-To", "X-To", ""])
_PIECES = st.sampled_from(
    ["bob@y.example", "eve@z.example", "<", ">", '"', "(", ")", ",", ";", ":", "\\", " ", "\r\n ", "\r", "\n\t", "Bob",
     "@", "=?utf-8?q?a=40b?=", "é", "\0", "bob+x@y.example", "BOB@y.example", "list:", "\rBcc: eve@z.example\r"]
)  # fmt: skip
_FIELDS = st.lists(st.tuples(_NAMES, st.lists(_PIECES, max_size=12).map("".join)), max_size=6)
_LOCALS = st.sampled_from(["bob", "eve", "Bob", "bob+x", "a.b", "o'hara", "info", "b=c"])
_ENVELOPES = st.lists(
    st.builds(Address, _LOCALS, st.sampled_from(["y.example", "z.example", "müller.example", "[192.0.2.1]"])),
    min_size=1,
    max_size=6,
    unique_by=lambda a: str(a).lower(),
)


@given(_FIELDS, _ENVELOPES)
def test_for_any_header_and_envelope_the_set_delivered_to_is_the_envelope(
    fields: list[tuple[str, str]], envelope: list[Address]
) -> None:
    message = "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\nbody\r\n"
    result = rebuild_header(HeaderIndex.scan(message), envelope)
    assert isinstance(result, Rebuilt)
    wanted = {f"{a.local}@{a.domain.encode('idna').decode()}".lower() for a in envelope}
    assert delivered(result.header) == wanted
    assert delivered_by_pieces(result.header) == wanted
    assert all(len(line) <= 998 for line in result.header.split(b"\r\n"))
    assert result.header.endswith(b"\r\n\r\n") or result.header == b"\r\n"
    assert result.header.count(b"\r\n\r\n") + (result.header == b"\r\n") == 1


QP = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=\r\nn\r\nzwei\r\n--b\r\n"
    b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n"
)


def test_quoted_printable_parts_become_base64_and_attachments_stay() -> None:
    result = reencode(QP)
    before, after = message_from_bytes(QP, policy=policy.default), message_from_bytes(result, policy=policy.default)
    assert [p.get_payload(decode=True) for p in after.walk()] == [p.get_payload(decode=True) for p in before.walk()]
    assert b"quoted-printable" not in result
    assert result.endswith(QP[QP.index(b"\r\n--b\r\nContent-Type: application/pdf") :])


def test_signed_parts_are_not_touched() -> None:
    signed = QP.replace(b"multipart/mixed", b"multipart/signed")
    assert reencode(signed) == signed


def test_a_message_of_one_quoted_printable_text_is_reencoded() -> None:
    result = reencode(b"Subject: s\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\na=20b=\r\n c\r\n")
    assert result == b"Subject: s\r\nContent-Transfer-Encoding: base64\r\n\r\nYSBiIGMNCg==\r\n"
