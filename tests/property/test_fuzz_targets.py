"""The fuzz targets' bodies under hypothesis, so that they are run always and not only on demand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import proxy_header, sasl_server, server_machine

VOCABULARY = [
    *(b"EHLO web", b"HELO x", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<a@b.example> BODY=BINARYMIME SIZE=9"),
    *(b"MAIL FROM:<\xc3\xa4@b.example> SMTPUTF8", b"MAIL FROM:<>", b"RCPT TO:<c@d.example>", b"RCPT TO: c@d.example"),
    *(b"RCPT TO:<c@d.example> NOTIFY=NEVER ORCPT=rfc822;c+40d", b"DATA", b"BDAT 3", b"BDAT 7 LAST", b"BDAT 0 LAST"),
    *(b"RSET", b"QUIT", b"NOOP", b"STARTTLS", b"AUTH PLAIN AGEAYg==", b"AUTH LOGIN", b"YQ==", b"*", b"=", b"GET /"),
    *(b"VRFY x", b"\x16\x03\x01", b"x" * 50, b"abc", b".", b"..", b". ", b"", b"\0", b"\xff"),
]
NEWLINES = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\r\r\n", b"\n\r", b""])
LINES = st.tuples(st.sampled_from(VOCABULARY) | st.binary(max_size=8), NEWLINES).map(b"".join)
TRANSACTION = b"EHLO web\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
CHUNKS = TRANSACTION.replace(b"DATA\r\n", b"")
TALK = st.tuples(
    st.binary(min_size=2, max_size=2),
    st.sampled_from([b"", TRANSACTION, CHUNKS]),
    st.lists(LINES, max_size=30).map(b"".join),
).map(b"".join)
ATOMS = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"a" * 30, b"\r\n.\r\n", b"NOOP\r\n"])
CONTENT = st.tuples(
    st.binary(min_size=2, max_size=2),
    st.just(TRANSACTION),
    st.lists(ATOMS, max_size=40).map(b"".join),
).map(b"".join)


@given(TALK | CONTENT | st.binary(max_size=200))
@settings(max_examples=400)
def test_how_the_octets_of_a_session_are_split_makes_no_difference(data: bytes) -> None:
    server_machine.one_input(data)


@given(
    st.tuples(
        st.binary(max_size=1), st.sampled_from([b"n,,n=a,r=abc", b"\0a\0b", b"a", b""]) | st.binary(), st.binary()
    )
)
@settings(max_examples=300)
def test_no_response_makes_a_mechanism_raise_or_succeed(parts: tuple[bytes, bytes, bytes]) -> None:
    first, response, rest = parts
    sasl_server.one_input(first + response + b"\n" + rest)


@given(
    st.tuples(
        st.sampled_from(
            [b"", b"PROXY TCP4 ", b"PROXY UNKNOWN", b"PROXY TCP6 ::1 ::1 1 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]
        ),
        st.text("0123456789abcf:. \r\n", max_size=60).map(str.encode) | st.binary(max_size=120),
    ).map(b"".join)
)
@settings(max_examples=300)
def test_a_verdict_on_a_proxy_header_is_final(data: bytes) -> None:
    proxy_header.one_input(data)
