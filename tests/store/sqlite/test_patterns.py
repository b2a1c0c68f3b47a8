"""Search patterns, on their own."""

from __future__ import annotations

import apsw
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.store.sqlite.patterns import escape_like, key_range, read_address, subject_glob
from posthouse.store.sqlite.rows import from_key, to_key

MEMORY = apsw.Connection(":memory:")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(TEXT, TEXT)
def test_a_subject_is_found_by_any_part_of_itself(before: str, after: str) -> None:
    needle = before + "ÄsK*[x]?" + after
    assert MEMORY.execute("SELECT ? GLOB ?", ("a" + needle + "z", subject_glob(needle))).get


@given(TEXT)
def test_the_signs_of_like_stand_for_themselves(text: str) -> None:
    assert MEMORY.execute(r"SELECT ? LIKE ? ESCAPE '\'", (text, escape_like(text))).get


def test_the_percent_sign_is_not_a_pattern() -> None:
    assert not MEMORY.execute(r"SELECT 'abc' LIKE ? ESCAPE '\'", (escape_like("a%"),)).get


@given(st.from_regex(r"[a-zA-Z0-9_.+-]{1,10}", fullmatch=True), st.from_regex(r"[a-z0-9.-]{1,10}", fullmatch=True))
def test_a_full_address_is_a_range_of_one_key(local: str, domain: str) -> None:
    address = Address(local, domain)
    assert key_range(str(address)) == (to_key(address), to_key(address))
    assert from_key(to_key(address)) == address
    low, high = key_range("@" + domain)
    assert low is not None
    assert high is not None
    assert low <= to_key(address) <= high


def test_a_pattern_with_a_literal_domain_keeps_to_its_range() -> None:
    pattern = read_address("scan*@device.example")
    assert (pattern.low, pattern.like) == ("device.example@", "scan%@device.example")
    assert read_address("scan*").low is None


def test_the_bare_postmaster_has_a_key() -> None:
    assert from_key(to_key(Address("Postmaster", ""))) == Address("Postmaster", "")
    assert key_range("postmaster") == ("@postmaster", "@postmaster")
