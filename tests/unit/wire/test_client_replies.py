"""`ReplyParser`: every form of reply, in any split, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.reply import Reply
from posthouse.wire.smtp.client_extensions import read_extensions
from posthouse.wire.smtp.reply_parser import MAX_REPLY_LINES, MAX_REPLY_OCTETS, ReplyError, ReplyParser


def parse(octets: bytes) -> list[Reply]:
    parser = ReplyParser()
    parser.feed(octets)
    return _drain(parser)


def _drain(parser: ReplyParser) -> list[Reply]:
    replies = []
    while (reply := parser.next_reply()) is not None:
        replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 Ok\r\n", Reply(250, "", ("Ok",))),
        (b"250 2.1.0 Sender OK\r\n", Reply(250, "2.1.0", ("Sender OK",))),
        (b"250\r\n", Reply(250, "", ("",))),
        (b"250 \r\n", Reply(250, "", ("",))),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", ("",))),
        (b"250-one\r\n250-two\r\n250 three\r\n", Reply(250, "", ("one", "two", "three"))),
        (b"550-5.7.1 first\r\n550 5.7.1 second\r\n", Reply(550, "5.7.1", ("first", "second"))),
        (b"550-words\r\n550 5.7.1 second\r\n", Reply(550, "5.7.1", ("words", "second"))),
        (b"250-a\n250 b\n", Reply(250, "", ("a", "b"))),
        (b"451 5.7.3 STARTTLS is required\r\n", Reply(451, "5.7.3", ("STARTTLS is required",))),
        (b"250 2.0.0.1 no code\r\n", Reply(250, "", ("2.0.0.1 no code",))),
        (b"250-a\r\n550 b\r\n", Reply(550, "", ("a", "b"))),
        ("250 Gr\u00fc\u00dfe\r\n".encode(), Reply(250, "", ("Gr\u00fc\u00dfe",))),
    ],
)
def test_forms_of_replies(octets: bytes, reply: Reply) -> None:
    assert parse(octets) == [reply]


def test_control_characters_never_reach_an_operators_terminal() -> None:
    assert parse(b"550 \x1b[2Jhi\tthere \xff\xe2\x80\xae\r\n")[0].text == "\ufffd[2Jhi there \ufffd\ufffd"


def test_a_line_of_two_thousand_octets_is_one_reply() -> None:
    text = "SendAsDenied; " + "1.84300:0A000000, " * 120
    assert parse(f"554 5.2.252 {text}[END]\r\n250 Ok\r\n".encode()) == [
        Reply(554, "5.2.252", (text + "[END]",)),
        Reply(250, "", ("Ok",)),
    ]


def test_a_reply_of_a_hundred_and_more_lines() -> None:
    octets = b"".join(b"250-LINE%d\r\n" % n for n in range(150)) + b"250 END\r\n"
    assert len(parse(octets)[0].lines) == 151


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-x\r\n",
        b"\r\n",
        b"25\r\n",
        b"150 wait\r\n",
        b"600 what\r\n",
        b"250x\r\n",
        b"250-a\r\n\r\n",
        b"+OK POP3\r\n",
        b"250 " + b"x" * MAX_REPLY_OCTETS + b"\r\n",
        b"250 " + b"x" * MAX_REPLY_OCTETS,
        b"250-x\r\n" * (MAX_REPLY_LINES + 1),
        (b"250-" + b"x" * 1000 + b"\r\n") * 70,
    ],
)
def test_what_is_no_reply_or_has_no_end_is_an_error(octets: bytes) -> None:
    with pytest.raises(ReplyError):
        parse(octets)


def test_an_endless_line_is_refused_before_it_fills_memory() -> None:
    parser = ReplyParser(max_octets=1000)
    with pytest.raises(ReplyError):
        for _ in range(12):
            parser.feed(b"2" * 100)
            parser.next_reply()


_LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=60), min_size=1, max_size=5)
_REPLIES = st.lists(st.tuples(st.integers(200, 599), _LINES), min_size=1, max_size=5)


@given(_REPLIES, st.lists(st.integers(1, 40), max_size=30))
def test_the_split_of_the_octets_never_matters(replies: list[tuple[int, list[str]]], cuts: list[int]) -> None:
    octets = b"".join(Reply(code, "", tuple(lines)).encode() for code, lines in replies)
    whole = parse(octets)
    parser, pieces, start = ReplyParser(), [], 0
    for cut in [*cuts, len(octets)]:
        parser.feed(memoryview(octets[start : start + cut]))
        pieces += _drain(parser)
        start += cut
    assert pieces == whole
    assert [reply.code for reply in whole] == [code for code, _ in replies]
    assert not parser.has_input


@given(st.binary(max_size=300))
def test_any_octets_give_replies_or_an_error_and_nothing_else(octets: bytes) -> None:
    try:
        replies = parse(octets)
    except ReplyError:
        return
    assert all(200 <= reply.code <= 599 and reply.lines for reply in replies)


def test_extensions_of_exchange_online() -> None:
    offered = read_extensions(
        parse(
            b"250-SY5P282CA0097.outlook.office365.com Hello [192.0.2.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n"
            b"250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-AUTH LOGIN XOAUTH2\r\n250-8BITMIME\r\n250-BINARYMIME\r\n"
            b"250-CHUNKING\r\n250 SMTPUTF8\r\n"
        )[0]
    )
    assert offered.max_octets == 157286400
    assert offered.mechanisms == ("LOGIN", "XOAUTH2")
    assert offered.pipelining and offered.dsn and offered.chunking and offered.binary_mime and offered.smtputf8
    assert offered.eight_bit_mime and not offered.starttls


@pytest.mark.parametrize(
    ("line", "mechanisms"),
    [
        ("AUTH=LOGIN", ("LOGIN",)),
        ("AUTH=LOGIN PLAIN", ("LOGIN", "PLAIN")),
        ("auth plain Login", ("PLAIN", "LOGIN")),
        ("AUTH", ()),
    ],
)
def test_odd_forms_of_the_auth_keyword(line: str, mechanisms: tuple[str, ...]) -> None:
    assert read_extensions(Reply(250, "", ("host", line))).mechanisms == mechanisms


@pytest.mark.parametrize(("line", "limit"), [("SIZE", None), ("SIZE 0", None), ("SIZE 20", 20), ("SIZE x", None)])
def test_a_size_of_zero_or_none_is_no_limit(line: str, limit: int | None) -> None:
    offered = read_extensions(Reply(250, "", ("host", line)))
    assert offered.size
    assert offered.max_octets == limit


def test_the_name_of_the_server_is_not_taken_for_a_keyword() -> None:
    assert not read_extensions(Reply(250, "", ("STARTTLS",))).starttls
