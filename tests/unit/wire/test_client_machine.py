"""What dialogs show badly: moments, misuse, large content, secrets, commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Recipient
from posthouse.wire.sasl.client import CramMd5, Login, Plain, SaslError, SaslExchange, XOAuth2, choose_exchange
from posthouse.wire.smtp.client import ClientMachine
from posthouse.wire.smtp.client_content import DotStuffer, stuff
from posthouse.wire.smtp.client_events import (
    Answer,
    CannotSend,
    ClientEvent,
    ContentWanted,
    Ended,
    NoAnswer,
    Stage,
    Transaction,
    TransactionEnded,
)
from posthouse.wire.smtp.client_transaction import BUNDLE_OCTETS

A, B = Address("a", "x.example"), Recipient(Address("b", "y.example"))


def ready(*keywords: str) -> ClientMachine:
    machine = ClientMachine("me.example")
    say(machine, "220 hello")
    machine.hello()
    machine.data_to_send()
    say(machine, *(f"250-{line}" for line in ("mx", *keywords)), "250 HELP")
    return machine


def say(machine: ClientMachine, *lines: str) -> list[ClientEvent]:
    machine.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    events = []
    while (event := machine.next_event()) is not None:
        events.append(event)
    return events


def letter(content: bytes | None = b"Subject: x\r\n\r\n", **more: object) -> Transaction:
    return Transaction(
        sender=A,
        recipients=(B,),
        size_octets=len(content or b""),
        content=content,
        **more,  # type: ignore[arg-type]
    )


def test_the_outcome_is_unknown_from_the_final_dot_to_its_answer_and_never_else() -> None:
    machine = ready("PIPELINING")
    machine.begin(letter())
    assert not machine.is_outcome_unknown_if_lost
    machine.data_to_send()
    say(machine, "250 ok", "250 ok", "354 go")
    assert not machine.is_outcome_unknown_if_lost
    assert machine.data_to_send().endswith(b"\r\n.\r\n")
    assert machine.is_outcome_unknown_if_lost
    say(machine, "250 ok")
    assert not machine.is_outcome_unknown_if_lost


def test_streamed_content_is_unknown_only_once_its_end_was_handed_out() -> None:
    machine = ready("PIPELINING")
    machine.begin(letter(None))
    machine.data_to_send()
    assert ContentWanted() in say(machine, "250 ok", "250 ok", "354 go")
    machine.send_content(b"Subject: x\r\n\r\n")
    machine.data_to_send()
    assert not machine.is_outcome_unknown_if_lost
    machine.end_content()
    assert not machine.is_outcome_unknown_if_lost
    machine.data_to_send()
    assert machine.is_outcome_unknown_if_lost


def test_a_bundle_whose_sender_was_refused_is_not_unknown() -> None:
    machine = ready("PIPELINING", "CHUNKING")
    machine.begin(letter(), may_bundle=True)
    machine.data_to_send()
    assert machine.is_outcome_unknown_if_lost
    say(machine, "550 5.7.1 no")
    assert not machine.is_outcome_unknown_if_lost
    machine.lost("gone")
    assert machine.next_event() == TransactionEnded((Answer(Stage.MAIL, _reply(550, "5.7.1", "no")),))


def _reply(code: int, enhanced: str, text: str) -> object:
    from posthouse.mail.reply import Reply

    return Reply(code, enhanced, (text,))


def test_thanks_that_came_together_with_the_354_are_not_for_the_content() -> None:
    machine = ready("PIPELINING")
    machine.begin(letter())
    machine.data_to_send()
    events = say(machine, "250 ok", "250 ok", "354 go", "250 queued")
    ended = events[0]
    assert isinstance(ended, TransactionEnded)
    assert isinstance(ended.results[0], NoAnswer) and not ended.results[0].may_be_delivered
    assert machine.data_to_send() == b""


def test_large_content_never_leaves_before_somebody_takes_it() -> None:
    machine = ready("PIPELINING", "CHUNKING")
    machine.begin(letter(b"x" * (BUNDLE_OCTETS + 1)), may_bundle=True)
    assert len(machine.data_to_send()) < 200
    say(machine, "250 ok", "550 no")
    assert machine.data_to_send() == b"RSET\r\n"


def test_large_content_is_handed_out_without_a_copy() -> None:
    machine = ready("PIPELINING", "CHUNKING")
    machine.begin(letter(None))
    machine.data_to_send()
    say(machine, "250 ok", "250 ok")
    machine.data_to_send()
    piece = b"x" * 300_000
    machine.send_content(piece)
    assert machine.data_to_send() is piece


def test_a_timeout_names_the_stage_that_was_waited_for() -> None:
    machine = ready("PIPELINING")
    machine.begin(letter())
    machine.data_to_send()
    say(machine, "250 ok")
    assert machine.awaiting is Stage.RCPT
    machine.lost("no answer within 300 s")
    ended = machine.next_event()
    assert isinstance(ended, TransactionEnded)
    assert ended.results == (NoAnswer(Stage.RCPT, "no answer within 300 s", False),)
    assert machine.next_event() == Ended("no answer within 300 s")
    assert machine.next_event() is None


def test_nothing_comes_after_the_end() -> None:
    machine = ready()
    machine.lost("gone")
    say(machine)
    assert say(machine, "250 ok") == []
    machine.send_content(b"x")
    machine.end_content()
    assert machine.data_to_send() == b""
    machine.lost("again")
    assert machine.next_event() is None


@pytest.mark.parametrize("action", ["hello", "start_tls", "secured", "reset", "noop", "quit"])
def test_an_action_out_of_turn_is_a_mistake_of_the_driver(action: str) -> None:
    machine = ready("PIPELINING")
    machine.begin(letter())
    with pytest.raises(RuntimeError):
        getattr(machine, action)()


def test_a_second_transaction_cannot_begin_inside_the_first() -> None:
    machine = ready()
    machine.begin(letter())
    with pytest.raises(RuntimeError):
        machine.begin(letter())


def test_no_command_can_be_smuggled_in_an_address() -> None:
    evil = Recipient(Address("b@y.example>\r\nRCPT TO:<c", "y.example"))
    machine = ready()
    with pytest.raises(ValueError, match="line break"):
        machine.begin(Transaction(sender=A, recipients=(evil,), size_octets=0, content=b""))


def test_8_bit_content_is_not_sent_where_8bitmime_is_lacking() -> None:
    machine = ready("PIPELINING")
    machine.begin(letter(b"\xfc\r\n", body=Body.EIGHT_BIT_MIME))
    ended = machine.next_event()
    assert isinstance(ended, TransactionEnded)
    assert isinstance(ended.results[0], CannotSend) and ended.results[0].status == "5.6.3"
    assert machine.data_to_send() == b""


@pytest.mark.parametrize(
    ("body", "keywords", "parameter"),
    [
        (Body.SEVEN_BIT, ("8BITMIME",), b""),
        (Body.EIGHT_BIT_MIME, ("8BITMIME",), b" BODY=8BITMIME"),
        (Body.BINARY_MIME, ("BINARYMIME", "CHUNKING"), b" BODY=BINARYMIME"),
    ],
)
def test_the_body_parameter(body: Body, keywords: tuple[str, ...], parameter: bytes) -> None:
    machine = ready(*keywords)
    machine.begin(letter(body=body))
    assert machine.data_to_send() == b"MAIL FROM:<a@x.example>" + parameter + b"\r\n"


def test_a_header_beyond_ascii_needs_smtputf8() -> None:
    machine = ready("PIPELINING")
    machine.begin(letter(has_utf8_header=True))
    ended = machine.next_event()
    assert isinstance(ended, TransactionEnded)
    assert isinstance(ended.results[0], CannotSend) and ended.results[0].status == "5.6.7"


def test_a_long_token_waits_for_the_servers_question() -> None:
    machine = ready("AUTH XOAUTH2")
    machine.authenticate(XOAuth2("u", "t" * 12000))
    assert machine.data_to_send() == b"AUTH XOAUTH2\r\n"
    say(machine, "334 ")
    assert len(machine.data_to_send()) > 16000


@given(st.lists(st.sampled_from([b".", b"\r\n", b"a", b"..", b"\r\n.", b"x" * 10]), max_size=30), st.data())
def test_a_server_that_undoes_the_dots_gets_the_content_as_it_was(parts: list[bytes], data: st.DataObject) -> None:
    content = b"".join(parts)
    whole = stuff(content)
    stuffer, out, start = DotStuffer(), b"", 0
    while start < len(content):
        size = data.draw(st.integers(1, 7))
        out += stuffer.feed(content[start : start + size])
        start += size
    assert out + stuffer.end() == whole
    lines = whole.split(b"\r\n")
    # The first line with a dot alone is the end, and nothing but the end of the octets follows it.
    assert lines.index(b".") == len(lines) - 2 and lines[-1] == b""
    received = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
    assert received == content + (b"" if content.endswith(b"\r\n") or not content else b"\r\n")


@pytest.mark.parametrize(
    ("wanted", "offered", "may_use_clear", "chosen"),
    [
        ("auto", ("LOGIN", "PLAIN", "CRAM-MD5"), True, "PLAIN"),
        ("auto", ("LOGIN", "XOAUTH2"), True, "LOGIN"),
        ("auto", ("PLAIN", "CRAM-MD5"), False, "CRAM-MD5"),
        ("LOGIN", ("PLAIN", "LOGIN"), True, "LOGIN"),
    ],
)
def test_choice_of_mechanism(wanted: str, offered: tuple[str, ...], may_use_clear: bool, chosen: str) -> None:
    exchange = choose_exchange(wanted, offered, "user", "secret", may_use_clear=may_use_clear)
    assert not isinstance(exchange, str)
    assert exchange.mechanism == chosen


@pytest.mark.parametrize(
    ("wanted", "offered", "words"),
    [
        ("auto", ("PLAIN", "LOGIN"), "not encrypted"),
        ("PLAIN", ("PLAIN",), "not encrypted"),
        ("CRAM-MD5", ("PLAIN",), "CRAM-MD5 is needed"),
        ("auto", (), "no log-in at all"),
    ],
)
def test_no_mechanism_is_better_than_one_that_gives_the_password_away(
    wanted: str, offered: tuple[str, ...], words: str
) -> None:
    answer = choose_exchange(wanted, offered, "user", "secret", may_use_clear=False)
    assert isinstance(answer, str) and words in answer
    assert "secret" not in answer


@pytest.mark.parametrize(
    "exchange", [Plain("u", "secret"), Login("u", "secret"), CramMd5("u", "secret"), XOAuth2("u", "secret")]
)
def test_no_exchange_shows_its_secret(exchange: SaslExchange) -> None:
    assert "secret" not in repr(exchange) + str(exchange)


def test_login_is_not_asked_a_third_time() -> None:
    exchange = Login("user", "secret")
    assert exchange.respond(b"Username:") == b"user"
    assert exchange.respond(b"Password:") == b"secret"
    with pytest.raises(SaslError):
        exchange.respond(b"Shoe size:")


@pytest.mark.parametrize("challenge", [b"", b"{}", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_a_refusal_of_a_token_in_any_form_is_answered_with_nothing(challenge: bytes) -> None:
    assert XOAuth2("u", "t").respond(challenge) == b""
