"""Values: addresses, ids, durations, sizes, replies."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address, AddressError
from posthouse.mail.ids import make_message_id, read_message_id, show_message_id
from posthouse.mail.reply import Reply
from posthouse.mail.settings import read_duration, read_size, show_duration


@given(st.integers(0, (1 << 41) - 1), st.integers(0, (1 << 22) - 1))
def test_an_id_is_read_as_it_was_shown_whatever_the_case(milliseconds: int, random: int) -> None:
    message_id = make_message_id(milliseconds, random)
    assert read_message_id(show_message_id(message_id).lower()) == message_id


def test_ids_sort_by_age() -> None:
    assert make_message_id(1000, 4_000_000) < make_message_id(1001, 0)
    assert show_message_id(make_message_id(1000, 9)) < show_message_id(make_message_id(1001, 0))


@pytest.mark.parametrize("text", ["", "short", "0123456789ABU", "0123456789ABCD", "ZZZZZZZZZZZZZ"])
def test_what_is_not_an_id_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a message id"):
        read_message_id(text)


def test_a_domain_is_compared_without_case_and_a_local_part_is_kept() -> None:
    assert Address.parse("Bob@Example.COM") == Address("Bob", "example.com")


@pytest.mark.parametrize(
    "text", ["", "bob", "@x.example", "bob@", "b ob@x.example", "b@x y", "b\n@x.example", "<b@x.example>"]
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604800), ("250ms", 0.25)]
)
def test_durations_carry_their_unit(text: str, expected: float) -> None:
    assert read_duration(text) == timedelta(seconds=expected)
    assert read_duration(show_duration(timedelta(seconds=expected))) == timedelta(seconds=expected)


@pytest.mark.parametrize("text", ["", "5", 5, "5 minutes", "m", None, "-5m"])
def test_a_duration_without_a_unit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        read_duration(text)


@pytest.mark.parametrize(("text", "expected"), [("35MiB", 36700160), ("150MB", 150_000_000), (7, 7), ("1024", 1024)])
def test_sizes_carry_their_unit(text: object, expected: int) -> None:
    assert read_size(text) == expected


@pytest.mark.parametrize("text", ["", "big", "1TB", -1, True, "1.5MB"])
def test_what_is_not_a_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        read_size(text)


def test_a_reply_of_many_lines_repeats_its_codes() -> None:
    assert Reply(250, "2.1.0", ("one", "two")).encode() == b"250-2.1.0 one\r\n250 2.1.0 two\r\n"
    assert Reply(220, "", ("hello",)).encode() == b"220 hello\r\n"
