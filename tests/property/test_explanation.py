"""The explanation of replies takes whatever comes, and takes its time in proportion to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import explanation
from tests.unit.microsoft.corpus import corpus

from posthouse.microsoft.replies import catalogue, find

SIZE = 100_000
PIECES = [
    *(
        "535 ",
        "5.7.139 ",
        "550 5.7.1 ",
        "535-5.7.3 a\n",
        "Authentication unsuccessful",
        " [host.example]",
        "smtp;",
        "said: ",
    ),
    *(
        "[BeginDiagnosticData]",
        "[EndDiagnosticData]",
        "SMTP code: ",
        "Detail: ",
        "Additional SMTP info: ",
        "\\u0027",
        "\\n",
    ),
    *(
        "&#39;",
        "<br>",
        "<p ",
        "=\n",
        "=3D",
        "};{",
        "#SMTP#",
        "(in reply to ",
        ")",
        "]",
        "[",
        "'",
        '"',
        "\n",
        "\r\n",
        "\u00a0",
    ),
    *(
        "not allowed to send as ",
        "blocked by ",
        "DNS domain ",
        "a message sent over IPv6 ",
        "AADSTS",
        "STOREDRV.Deliver",
    ),
    *(
        "has exceeded permitted limits within ",
        "token ",
        "expir",
        "Mailbox full",
        "sending IPv6 address ",
        "Too many recipients",
    ),
    *(
        "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n",
        "\n--b\n",
        "Action: failed\n",
    ),
    *("Diagnostic-Code: smtp; ", " ", "\t", "\0", "ü", "2026-11-20T08:15:02Z,", "at a(", "[Message="),
]
LINES = [text for _, text in corpus("field", "other_servers")]


@given(st.lists(st.sampled_from(PIECES) | st.sampled_from(LINES) | st.text(max_size=6), max_size=30).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    find(text)
    explanation.one_input(text.encode("utf-8", "replace"))


@given(st.binary(max_size=300))
def test_no_octets_make_it_fail(data: bytes) -> None:
    explanation.one_input(data)


@given(st.sampled_from(corpus("field")), st.text(alphabet="abc <>[](){}'\"\n\t", max_size=40))
@settings(max_examples=200, deadline=None)
def test_junk_in_front_does_not_hide_a_reply_in_the_next_line(line: tuple[str, str], junk: str) -> None:
    expected, text = line
    match = find(f"{junk}\n{text}")
    assert match is not None and match.entry.id == expected


# A text of this size that took time with its square would not end within the limit.
@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_long_junk_takes_time_in_proportion(piece: str) -> None:
    text = piece * (SIZE // len(piece))
    find(text)
    explanation.one_input(text.encode())


@pytest.mark.timeout(60)
def test_long_beginnings_of_replies_take_time_in_proportion() -> None:
    for entry in catalogue():
        beginning = entry.example[: len(entry.example) // 2]
        explanation.one_input((beginning * (SIZE // len(beginning))).encode())
