"""Mail leaves for real servers: Postfix, Exim, OpenSMTPD, and a sink that fails where a test says.

Each test asks the same: is the message there, octet for octet, or does it wait, or is its sender told, as it should be?
"""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.peers.certificates import Authority
from tests.peers.clients import RECIPIENT, SENDER, Target, smtp_lib
from tests.peers.conftest import NodeMaker, PostfixMaker
from tests.peers.exim import Exim
from tests.peers.letters import Letter, assert_only_trace_added, with_crlf, write_letter
from tests.peers.node import Node
from tests.peers.opensmtpd import OpenSmtpd
from tests.peers.postfix import Options
from tests.peers.programs import wait_until
from tests.peers.sink import Arrival, Faults, Sink

LOGIN = ("relay", "s3cret phrase")
SOON = {"retry": [{"times": 100, "every": "1s"}], "jitter_percent": 0}


def hand_in(node: Node, room: Path, letter: Letter | None = None) -> Letter:
    """Send one letter to the node, which must take it."""
    letter = letter or write_letter()
    done = smtp_lib(Target(port=node.port), letter, room)
    assert done.code == 0, done.output
    return letter


def wait_for_words_in_queue(node: Node, *words: str) -> None:
    """Wait until the queue shows all of these words."""
    wait_until(lambda: all(word in json.dumps(node.queue()) for word in words), 20, f"{words} in the queue")


def use_login(node: Node, room: Path, password: str = LOGIN[1]) -> None:
    secret = room / "next-hop.secret"
    secret.write_text(password)
    secret.chmod(0o600)
    node.edit_outbound(auth={"username": LOGIN[0], "password": f"file:{secret}"})


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
def test_postfix_takes_mail_with_tls_and_a_login(
    room: Path, authority: Authority, make_postfix: PostfixMaker, make_node: NodeMaker, implicit: bool
) -> None:
    pair = authority.issue("127.0.0.1", "localhost")
    postfix = make_postfix(Options(tls=pair, require_tls=True, logins={LOGIN[0]: LOGIN[1]}))
    node = make_node(postfix.tls_port if implicit else postfix.port)
    node.edit_outbound(tls="certificate", tls_ca=str(authority.certificate), implicit_tls=implicit)
    use_login(node, room)
    node.start()
    letter = hand_in(node, room)
    arrived = with_crlf(postfix.wait_for_mail()[0])
    assert_only_trace_added(arrived, letter.content)
    assert b"using TLSv1.3" in arrived
    assert b"Authenticated sender: relay@next-hop.test" in arrived


def test_mail_waits_while_the_next_hop_refuses_the_login(
    room: Path, authority: Authority, make_postfix: PostfixMaker, make_node: NodeMaker
) -> None:
    pair = authority.issue("127.0.0.1", "localhost")
    postfix = make_postfix(Options(tls=pair, logins={LOGIN[0]: LOGIN[1]}))
    node = make_node(postfix.port)
    node.edit_outbound(tls="certificate", tls_ca=str(authority.certificate))
    use_login(node, room, "not the password")
    node.start()
    hand_in(node, room)
    wait_for_words_in_queue(node, "535")
    assert postfix.mailbox() == []


def test_mail_waits_while_the_next_hop_shows_a_certificate_nobody_vouches_for(
    room: Path, authority: Authority, make_postfix: PostfixMaker, make_node: NodeMaker
) -> None:
    postfix = make_postfix(Options(tls=authority.issue("127.0.0.1", "localhost")))
    node = make_node(postfix.port)
    node.edit_outbound(tls="certificate")
    node.start()
    hand_in(node, room)
    wait_for_words_in_queue(node, "certificate")
    assert postfix.mailbox() == []


def test_exim_takes_mail_with_tls_and_a_login(room: Path, authority: Authority, make_node: NodeMaker) -> None:
    exim = Exim(room, authority.issue("127.0.0.1", "localhost"), LOGIN).start()
    try:
        node = make_node(exim.port)
        node.edit_outbound(tls="certificate", tls_ca=str(authority.certificate))
        use_login(node, room)
        node.start()
        letter = hand_in(node, room)
        assert_only_trace_added(with_crlf(exim.wait_for_mail()[0]), letter.content)
    finally:
        exim.stop()


def test_opensmtpd_takes_mail(room: Path, make_node: NodeMaker) -> None:
    opensmtpd = OpenSmtpd(room).start()
    try:
        node = make_node(opensmtpd.port)
        node.start()
        letter = hand_in(node, room)
        assert_only_trace_added(with_crlf(opensmtpd.wait_for_mail()[0]), letter.content)
    finally:
        opensmtpd.stop()


def test_mail_is_not_lost_at_a_next_hop_whose_tls_is_broken(
    room: Path, authority: Authority, make_node: NodeMaker
) -> None:
    opensmtpd = OpenSmtpd(room, authority.issue("127.0.0.1", "localhost", rsa=True)).start()
    try:
        node = make_node(opensmtpd.port)
        node.edit_outbound(tls="encryption")
        node.start()
        hand_in(node, room)
        wait_for_words_in_queue(node, "TLS")
    finally:
        opensmtpd.stop()


def test_each_recipient_has_a_result_of_its_own(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    refusals = {"gone@example.net": "550 5.1.1 Nobody here", "full@example.net": "452 4.2.2 Mailbox full"}
    sink = make_sink(Sink(faults=Faults(recipients=refusals)))
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.start()
    letter = write_letter()
    with_recipients(node, letter, [RECIPIENT, *refusals])
    first, bounce = sink.wait_for(2)
    assert (first.sender, first.recipients) == (SENDER, (RECIPIENT,))
    assert_is_bounce_of(bounce, letter, "gone@example.net", "5.1.1")
    wait_for_words_in_queue(node, "full@example.net", "452")
    del refusals["full@example.net"]
    last = sink.wait_for(3)[2]
    assert last.recipients == ("full@example.net",)
    assert_only_trace_added(last.content, letter.content)
    node.wait_for_empty_queue()


def with_recipients(node: Node, letter: Letter, recipients: list[str]) -> None:
    """Hand one letter in for several recipients."""
    with smtplib.SMTP("127.0.0.1", node.port) as session:
        assert session.sendmail(SENDER, recipients, letter.content, ["BODY=8BITMIME"]) == {}


def assert_is_bounce_of(arrival: Arrival, letter: Letter, recipient: str, status: str) -> None:
    """The arrival tells the letter's sender that one recipient was not reached."""
    assert (arrival.sender, arrival.recipients) == ("", (SENDER,))
    report = arrival.content.decode(errors="replace")
    assert "multipart/report" in report
    assert re.search(rf"^Final-Recipient: rfc822; ?{re.escape(recipient)}\r$", report, re.MULTILINE | re.IGNORECASE)
    assert re.search(rf"^Status: {re.escape(status)}\r$", report, re.MULTILINE)
    assert letter.mark in arrival.content


@pytest.mark.parametrize("point", ["greeting", "mail", "rcpt", "data", "content"])
def test_a_connection_cut_before_the_final_dot_only_delays(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink], point: str
) -> None:
    sink = make_sink(Sink(faults=Faults(cut=point, times=2)))  # type: ignore[arg-type]
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.start()
    letter = hand_in(node, room)
    assert_only_trace_added(sink.wait_for(1)[0].content, letter.content)
    node.wait_for_empty_queue()
    assert len(sink.arrivals) == 1


def test_a_reply_lost_after_the_final_dot_is_recorded_as_unknown_and_sent_again(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    sink = make_sink(Sink(faults=Faults(cut="dot", times=1)))
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.start()
    letter = hand_in(node, room)
    for arrival in sink.wait_for(2):
        assert_only_trace_added(arrival.content, letter.content)
    node.wait_for_empty_queue()
    assert len(sink.arrivals) == 2
    (row,) = node.trace("--sender", SENDER)
    assert "unknown" in json.dumps(node.ask("trace", "show", row["id"])).lower()


def test_a_lost_reply_can_be_held_for_a_person_to_decide(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    sink = make_sink(Sink(faults=Faults(cut="dot")))
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.edit_outbound(on_unknown="hold")
    node.start()
    hand_in(node, room)
    wait_until(lambda: "unknown" in json.dumps(node.queue()).lower(), 20, "an unknown outcome in the queue")
    assert len(sink.arrivals) == 1
