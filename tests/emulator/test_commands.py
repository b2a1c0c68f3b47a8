"""Reading command lines: what is understood, and what is refused with which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m365emu.replies import Reply
from m365emu.smtp.commands import Command, Path, read_chunk, read_command, read_recipient, read_sender


@pytest.mark.parametrize(
    ("argument", "address", "parameters"),
    [
        ("FROM:<a@example.net>", "a@example.net", {}),
        ("from: <a@example.net>", "a@example.net", {}),
        ("FROM:<>", "", {}),
        ("FROM:<@hop.example,@other.example:a@example.net>", "a@example.net", {}),
        ('FROM:<"a > b"@example.net> SIZE=1', '"a > b"@example.net', {"SIZE": "1"}),
        ("FROM:<a@[192.0.2.1]> body=8bitmime", "a@[192.0.2.1]", {"BODY": "8bitmime"}),
        ("FROM:<jörg@bücher.example> SMTPUTF8", "jörg@bücher.example", {"SMTPUTF8": ""}),
        (
            "FROM:<a@b.example> AUTH=<> RET=FULL ENVID=x+3Dy",
            "a@b.example",
            {"AUTH": "<>", "RET": "FULL", "ENVID": "x+3Dy"},
        ),
    ],
)
def test_a_sender_is_read_with_its_parameters(argument: str, address: str, parameters: dict[str, str]) -> None:
    assert read_sender(argument) == Path(address=address, parameters=parameters)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("", "5.5.4 Invalid arguments"),
        ("TO:<a@example.net>", "5.5.4 Invalid arguments"),
        ("FROM:a@example.net", "5.1.7 Invalid address"),
        ("FROM:<a@example.net", "5.1.7 Invalid address"),
        ("FROM:<a@>", "5.1.7 Invalid address"),
        ("FROM:<@example.net>", "5.1.7 Invalid address"),
        ("FROM:<@hop.example:>", "5.1.7 Invalid address"),
        ("FROM:<a@-x.example>", "5.1.7 Invalid address"),
        ("FROM:<a b@example.net>", "5.1.7 Invalid address"),
        ("FROM:<" + "a" * 65 + "@example.net>", "5.1.7 Invalid address"),
        ("FROM:<" + "a" * 600 + "@example.net>", "5.1.7 Long addresses not supported"),
        ("FROM:<a@example.net>SIZE=1", "5.5.4 Invalid arguments"),
        ("FROM:<a@example.net> SIZE=x", "5.5.4 Invalid arguments"),
        ("FROM:<a@example.net> SIZE=-1", "5.5.4 Invalid arguments"),
        ("FROM:<a@example.net> SIZE=1 SIZE=2", "5.5.4 Invalid arguments"),
        ("FROM:<a@example.net> BODY=9BIT", "5.5.4 Unsupported BODY type"),
        ("FROM:<a@example.net> RET=SOME", "5.5.4 Invalid arguments"),
        ("FROM:<a@example.net> NOTIFY=NEVER", "5.5.4 Unrecognized parameter"),
        ("FROM:<a@example.net> SMTPUTF8=yes", "5.5.4 Unrecognized parameter"),
    ],
)
def test_a_sender_that_cannot_be_is_refused(argument: str, words: str) -> None:
    reply = read_sender(argument)
    assert isinstance(reply, Reply) and str(reply) == f"501 {words}"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("TO:<>", "5.1.3 Invalid address"),
        ("TO:<postmaster>", "5.1.3 Invalid address"),
        ("TO:<a@example.net> NOTIFY=NEVER,SUCCESS", "5.5.4 Invalid arguments"),
        ("TO:<a@example.net> NOTIFY=SOMETIMES", "5.5.4 Invalid arguments"),
        ("TO:<a@example.net> ORCPT=a@example.net", "5.5.4 Invalid arguments"),
        ("TO:<a@example.net> SIZE=1", "5.5.4 Unrecognized parameter"),
    ],
)
def test_a_recipient_that_cannot_be_is_refused(argument: str, words: str) -> None:
    reply = read_recipient(argument)
    assert isinstance(reply, Reply) and str(reply) == f"501 {words}"


def test_chunks_have_a_size_and_may_be_the_last() -> None:
    assert read_chunk("0") == (0, False)
    assert read_chunk("42 last") == (42, True)
    for wrong in ("", "x", "-1", "1 FIRST", "1" * 13, "１"):
        assert isinstance(read_chunk(wrong), Reply)


def test_verbs_do_not_depend_on_case_or_outer_blanks() -> None:
    assert read_command(b"  noop   x ") == Command(verb="NOOP", argument="x")
    assert str(read_command(b"NOOP \xff")) == "501 5.5.4 Invalid arguments"
    assert str(read_command(b"NO\0OP")) == "500 5.3.3 Unrecognized command"


@given(st.binary(max_size=200))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    command = read_command(line)
    if isinstance(command, Command):
        for read in (read_sender, read_recipient):
            assert isinstance(read(command.argument), Path | Reply)
