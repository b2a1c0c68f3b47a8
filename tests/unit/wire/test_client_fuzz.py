"""Servers of every kind at the client machine, made of lines that take it far; the target is shared with the fuzzer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.client_machine import one_input

LINES = st.sampled_from(
    [
        b"220 mx ESMTP\r\n",
        b"250-mx\r\n250-PIPELINING\r\n250 AUTH LOGIN XOAUTH2\r\n",
        b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        b"250 mx\r\n",
        *[b"250 2.1.0 Ok\r\n"] * 5,
        *[b"354 Go\r\n"] * 2,
        b"334 VXNlcm5hbWU6\r\n",
        b"235 Ok\r\n",
        b"550 5.1.1 no\r\n",
        b"450 later\r\n",
        b"503 5.5.1 Bad sequence\r\n",
        b"421 closing\r\n",
        b"250-2.0.0 two\r\n250 2.0.0 lines\n",
        b"junk\r\n",
        b"25",
    ]
)
TALKS = st.builds(
    lambda choice, size, lines: bytes((choice, size)) + b"220 mx\r\n" + b"".join(lines),
    st.integers(0, 31),
    st.integers(0, 31),
    st.lists(LINES, max_size=25),
)


@settings(max_examples=600)
@given(TALKS)
def test_every_recipient_ends_with_one_true_result_whatever_the_server_says(data: bytes) -> None:
    one_input(data)


@given(st.binary(max_size=400))
def test_any_octets_at_all_end_in_results(data: bytes) -> None:
    one_input(data)
