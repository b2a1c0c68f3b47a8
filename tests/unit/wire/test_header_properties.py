"""What holds for the header index whatever the octets are."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz import header_index

from posthouse.wire.header import HeaderIndex, decode_text, first_address, insert_before, separator

_PIECES = st.sampled_from(
    b'Subject:|From|received: x|:| |\t|\r|\n|\r\n|\r\n\r\n|=?utf-8?B?|?=|<|a@b.example|"|\\|(|\xc3|\0|text'.split(b"|")
)
OCTETS = st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=40).map(b"".join))


@given(OCTETS)
def test_fields_tile_the_header_and_the_short_way_to_the_facts_agrees_with_the_index(data: bytes) -> None:
    header_index.one_input(data)


@given(OCTETS)
def test_shown_text_never_carries_control_characters(data: bytes) -> None:
    for sign in decode_text(data) + first_address(data):
        assert unicodedata.category(sign) not in {"Cc", "Cs", "Zl", "Zp"}


@given(OCTETS)
def test_fields_put_in_front_change_neither_header_nor_body(data: bytes) -> None:
    spliced = insert_before(data, b"X-New: y\r\n")
    assert spliced == b"X-New: y\r\n" + separator(data) + data
    before, after = HeaderIndex.scan(data), HeaderIndex.scan(spliced)
    assert [f.name for f in after.fields] == [b"x-new", *(f.name for f in before.fields)]
    assert spliced[after.body_start :] == data[before.body_start :]


@given(OCTETS, st.sampled_from(["subject", "from", "received", "x-none"]))
def test_removing_and_replacing_leave_every_other_octet(data: bytes, name: str) -> None:
    index = HeaderIndex.scan(data)
    kept = b"".join(data[f.start : f.end] for f in index.fields if f.name != name.encode())
    assert index.remove(name) == kept + data[index.end :]
    replaced = HeaderIndex.scan(index.replace(name, b"new"))
    assert replaced.unfolded(name) == b"new"
    assert len(replaced.all(name)) == 1
    assert replaced.remove(name).endswith(kept + data[index.end :])
