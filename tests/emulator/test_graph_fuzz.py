"""Graph's readers on hostile input: they answer or refuse, and never fall over."""

import email
import email.policy
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from m365emu.graph.call import canonical, segments
from m365emu.graph.composing import new_item, read_message
from m365emu.graph.errors import GraphError
from m365emu.graph.filters import parse
from m365emu.graph.item import header_text, read_item, write
from m365emu.graph.sending import _addresses, _names
from m365emu.graph.views import PROPERTIES, View, read_message_key, render

NOON = datetime(2025, 11, 23, 12, tzinfo=UTC)
NAMES = ("subject", "isRead", "receivedDateTime", "from/emailAddress/address")
WORDS = st.sampled_from(
    (
        *("subject", "isRead", "eq", "ne", "ge", "and", "or", "not", "(", ")", ",", "contains", "'a'", "7", "true"),
        *("null", "receivedDateTime", "2025-11-23T12:00:00Z", "x"),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
PIECES = (
    *(b"\r\n", b"\n", b"--x", b"--x--", b"Content-Type: multipart/mixed; boundary=x", b"Content-Type: text/html"),
    *(b"Content-Type: text/plain; charset=none", b"Content-Transfer-Encoding: base64", b"=?utf-8?q?=ff?=", b"QUJD"),
    *(b"From: ", b"Subject: ", b"Date: Sun, 99 Nov 99999 99:99:99 +9999", b"Content-Disposition: attachment"),
    *(b"; filename*0*=utf-8''%ff; filename=\"\xff", b"To: a@b.example, <", b" ", b":", b"\x00"),
)
MIME_PIECES = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=80))
def test_a_filter_is_read_or_refused(text: str) -> None:
    values = {"subject": "a", "isRead": True, "receivedDateTime": NOON, "from/emailAddress/address": None}
    try:
        condition = parse(text, NAMES, "microsoft.graph.message")
    except GraphError as error:
        assert error.status == 400
        return
    assert condition(values.__getitem__) in (True, False)


@given(st.text(max_size=200))
def test_a_path_is_taken_apart_within_bounds(path: str) -> None:
    assert len(segments(path)) <= 20
    read_message_key(path)


@given(JSON)
@settings(max_examples=200)
def test_a_json_message_becomes_an_item_or_is_refused(value: object) -> None:
    for message in (value, {"subject": value, "toRecipients": value}, {"body": value, "attachments": value}):
        try:
            item = new_item(read_message(canonical(message)), NOON, takes_message_id=True)
        except GraphError as error:
            assert error.status == 400
            continue
        pieces: list[bytes] = []
        write(item, pieces.append)
        head = b"".join(pieces).partition(b"\r\n\r\n")[0]
        assert b"\n" not in head.replace(b"\r\n", b"") and all(
            line[:1] in b" \t" or b":" in line for line in head.split(b"\r\n")
        )


@given(st.text(max_size=300))
def test_text_in_a_header_never_begins_another_field(text: str) -> None:
    lines = header_text(text).split("\r\n")
    assert all(line.startswith(" ") for line in lines[1:])
    assert "\n" not in "".join(lines) and "\r" not in "".join(lines) and header_text(text).isascii()
    if text.isprintable() and text.strip() == text and "=?" not in text and "  " not in text:
        message = email.message_from_string(f"Subject: {header_text(text)}\r\n\r\n", policy=email.policy.default)
        assert str(message["Subject"]) == text


@given(st.text(max_size=200))
def test_the_addresses_of_any_field_can_be_read(text: str) -> None:
    assert all(isinstance(address, str) for address in _addresses(text)) and isinstance(_names(text), str)


@given(MIME_PIECES | st.binary(max_size=300))
@settings(max_examples=300)
def test_any_octets_are_shown_as_a_message(octets: bytes) -> None:
    view = View(
        id="AAMk",
        folder="sentitems",
        message_id="<a@b>",
        subject="s",
        received=NOON,
        modified=NOON,
        is_read=False,
        envelope=("a@b.example",),
        read=lambda: octets,
    )
    assert set(render(view, tuple(PROPERTIES), basic=False)) == {"@odata.etag", *PROPERTIES}
    assert all(isinstance(part.octets, bytes) for part in view.parts)


@given(MIME_PIECES | st.binary(max_size=300))
def test_any_octets_are_an_item_or_not(octets: bytes) -> None:
    item = read_item(octets)
    if item is not None:
        pieces: list[bytes] = []
        write(item, pieces.append)
        assert b"".join(pieces).endswith(item.body)


def test_deeply_nested_parts_are_shown_without_them() -> None:
    octets = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(3_000))
    view = View(
        id="AAMk",
        folder="inbox",
        message_id="",
        subject="",
        received=NOON,
        modified=NOON,
        is_read=False,
        envelope=(),
        read=lambda: octets,
    )
    assert render(view, (), basic=False)["body"] == {"contentType": "text", "content": ""}
