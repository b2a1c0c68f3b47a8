"""Every octet sequence that some server somewhere takes for the end of a message, in every split, under both policies.

What must hold: only CRLF.CRLF ends a message; nothing that follows an odd end becomes a command; under ``repair`` the
odd end is text of the one message; under ``refuse`` there is no message and nothing more is read.
"""

from __future__ import annotations

from itertools import combinations

import pytest
from tests.dialog import Scene
from tests.dialog_memory import MemoryDriver

TRANSACTION = b"EHLO web\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
SMUGGLED = b"MAIL FROM:<boss@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nsmuggled\r\n"
END = b"\r\n.\r\n"

ODD_ENDS: dict[str, tuple[bytes, bytes]] = {
    # What comes in between "one" and the smuggled commands, and what it is as text under repair.
    "LF . LF": (b"\n.\n", b"\r\n.\r\n"),
    "LF . CR LF": (b"\n.\r\n", b"\r\n.\r\n"),
    "CR . CR": (b"\r.\r", b"\r\n.\r\n"),
    "CR . LF": (b"\r.\n", b"\r\n.\r\n"),
    "LF . CR": (b"\n.\r", b"\r\n.\r\n"),
    "CR . CR LF": (b"\r.\r\n", b"\r\n.\r\n"),
    "CR LF . LF": (b"\r\n.\n", b"\r\n.\r\n"),
    "CR LF . CR": (b"\r\n.\r", b"\r\n.\r\n"),
    "CR LF . CR CR LF": (b"\r\n.\r\r\n", b"\r\n.\r\n\r\n"),
    "CR CR LF . CR CR LF": (b"\r\r\n.\r\r\n", b"\r\n\r\n.\r\n\r\n"),
    "LF LF . LF": (b"\n\n.\n", b"\r\n\r\n.\r\n"),
    "CR LF LF . LF": (b"\r\n\n.\n", b"\r\n\r\n.\r\n"),
    "CR LF LF . CR LF": (b"\r\n\n.\r\n", b"\r\n\r\n.\r\n"),
    "LF CR . CR LF": (b"\n\r.\r\n", b"\r\n\r\n.\r\n"),
    "CR LF CR . CR LF": (b"\r\n\r.\r\n", b"\r\n\r\n.\r\n"),
    "LF . LF . LF": (b"\n.\n.\n", b"\r\n.\r\n.\r\n"),
    "CR LF . LF . CR LF": (b"\r\n.\n.\r\n", b"\r\n.\r\n.\r\n"),
    "CR LF . CR . CR LF": (b"\r\n.\r.\r\n", b"\r\n.\r\n.\r\n"),
    "CR LF . . LF": (b"\r\n..\n", b"\r\n.\r\n"),
    "LF . . CR LF": (b"\n..\r\n", b"\r\n..\r\n"),
}

SOUND_BUT_NOT_ENDS: dict[str, tuple[bytes, bytes]] = {
    "CR LF . NUL CR LF": (b"\r\n.\0\r\n", b"\r\n\0\r\n"),
    "CR LF . blank CR LF": (b"\r\n. \r\n", b"\r\n \r\n"),
    "CR LF . . CR LF": (b"\r\n..\r\n", b"\r\n.\r\n"),
    "CR LF blank . CR LF": (b"\r\n .\r\n", b"\r\n .\r\n"),
    "CR LF full stop of another script CR LF": ("\r\n。\r\n".encode(), "\r\n。\r\n".encode()),
    "NEL . NEL": (b"\x85.\x85", b"\x85.\x85"),
}


def run(policy: str, octets: bytes, cuts: tuple[int, ...]) -> MemoryDriver:
    driver = MemoryDriver(Scene(newlines=policy))
    driver.feed(TRANSACTION)
    driver.transcript.clear()
    for start, stop in zip((0, *cuts), (*cuts, len(octets)), strict=True):
        driver.feed(octets[start:stop])
    return driver


def splits(octets: bytes, around: int, width: int) -> list[tuple[int, ...]]:
    """Whole, octet by octet, and every pair of cuts near the odd end."""
    near = range(max(1, around - 1), min(len(octets), around + width + 2))
    return [(), tuple(range(1, len(octets))), *((cut,) for cut in range(1, len(octets))), *combinations(near, 2)]


@pytest.mark.parametrize("name", ODD_ENDS)
def test_under_repair_an_odd_end_is_text_of_one_message(name: str) -> None:
    odd, text = ODD_ENDS[name]
    octets = b"one" + odd + SMUGGLED + b".\r\n"
    for cuts in splits(octets, 3, len(odd)):
        driver = run("repair", octets, cuts)
        assert [message.content for message in driver.messages] == [b"one" + text + SMUGGLED], cuts
        assert driver.messages[0].envelope == "a@example.com -> b@example.net"
        assert driver.messages[0].repaired_lines > 0
        assert driver.transcript == ["> 250 2.0.0 OK"]


@pytest.mark.parametrize("name", ODD_ENDS)
def test_under_refuse_an_odd_end_costs_the_message_and_the_session(name: str) -> None:
    odd, _ = ODD_ENDS[name]
    octets = b"one" + odd + SMUGGLED + b".\r\nNOOP\r\n"
    for cuts in splits(octets, 3, len(odd)):
        driver = run("refuse", octets, cuts)
        assert driver.messages == [], cuts
        assert driver.aborts == ["bare newline"]
        assert driver.closed == "bare newline in content"
        assert driver.transcript == ["> 550 5.6.11 Message contains bare carriage return or line feed characters"]


@pytest.mark.parametrize("name", ODD_ENDS)
def test_an_odd_end_at_the_very_beginning_is_no_end_either(name: str) -> None:
    odd, text = ODD_ENDS[name]
    octets = odd + SMUGGLED + b".\r\n"
    for cuts in splits(octets, 0, len(odd)):
        driver = run("repair", octets, cuts)
        assert [message.content for message in driver.messages] == [text + SMUGGLED], cuts


@pytest.mark.parametrize(("tail", "text"), [(b".\n", b".\r\n"), (b".\r", b".\r\n"), (b".\r\r\n", b".\r\n\r\n")])
def test_a_lone_dot_with_an_odd_line_end_right_behind_data_is_text(tail: bytes, text: bytes) -> None:
    octets = tail + b"x" + END
    for cuts in splits(octets, 0, len(tail)):
        assert run("repair", octets, cuts).messages[0].content == text + b"x\r\n"


@pytest.mark.parametrize("policy", ["refuse", "repair"])
@pytest.mark.parametrize("name", SOUND_BUT_NOT_ENDS)
def test_a_line_that_only_looks_like_the_end_is_text(policy: str, name: str) -> None:
    odd, text = SOUND_BUT_NOT_ENDS[name]
    octets = b"one" + odd + SMUGGLED + b".\r\n"
    for cuts in splits(octets, 3, len(odd)):
        driver = run(policy, octets, cuts)
        assert [message.content for message in driver.messages] == [b"one" + text + SMUGGLED], cuts
        assert driver.messages[0].repaired_lines == 0


@pytest.mark.parametrize("policy", ["refuse", "repair"])
def test_the_true_end_ends_the_message_in_any_split(policy: str) -> None:
    octets = b"one" + END + b"NOOP\r\n"
    for cuts in splits(octets, 3, len(END)):
        driver = run(policy, octets, cuts)
        assert [message.content for message in driver.messages] == [b"one\r\n"], cuts
        assert driver.transcript == ["> 250 2.0.0 OK", "< NOOP", "> 250 2.0.0 OK"]


def test_a_bare_cr_just_before_the_true_end_is_refused_or_mended() -> None:
    octets = b"one\r" + END
    for cuts in splits(octets, 3, 6):
        assert run("repair", octets, cuts).messages[0].content == b"one\r\n\r\n"
        assert run("refuse", octets, cuts).closed


def test_the_policy_may_change_until_the_content_begins() -> None:
    driver = MemoryDriver(Scene(newlines="refuse"))
    driver.feed(TRANSACTION[: -len(b"DATA\r\n")])
    driver.machine.bare_newlines = "repair"
    driver.feed(b"DATA\r\n")
    driver.machine.bare_newlines = "refuse"
    driver.feed(b"a\nb" + END)
    assert [message.content for message in driver.messages] == [b"a\r\nb\r\n"]
