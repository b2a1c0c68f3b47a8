"""Mail servers and load generators as clients: Postfix hands its mail to the node, smtp-source pushes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.peers.certificates import Authority
from tests.peers.clients import RECIPIENT, SENDER, Target, smtp_lib
from tests.peers.conftest import NodeMaker, PostfixMaker
from tests.peers.letters import assert_only_trace_added, write_letter
from tests.peers.node import Tree
from tests.peers.postfix import Options
from tests.peers.programs import require, run
from tests.peers.sink import Sink

PASSWORD = "postfix speaks here"


def test_postfix_hands_its_mail_over_with_tls_and_a_login(
    room: Path, authority: Authority, sink: Sink, make_node: NodeMaker, make_postfix: PostfixMaker
) -> None:
    node = make_node(sink.port)
    port = node.add_listener("submission", tls="starttls", require_tls=True)
    pair = authority.issue("127.0.0.1", "localhost")

    def ask_for_a_login(posthouse: Tree, flow: Tree) -> None:
        posthouse["tls"] = {"certificate": str(pair.certificate), "key": str(pair.key)}
        flow["inbound"][0]["listeners"] = [posthouse["listener"][0]["name"]]

    node.edit(ask_for_a_login)
    node.add_account(SENDER, PASSWORD)
    node.start()
    postfix = make_postfix(
        Options(
            deliver="relay",
            relay=f"127.0.0.1:{port}",
            relay_login=(SENDER, PASSWORD),
            relay_tls="verify",
            relay_ca=authority.certificate,
            extra={"smtp_tls_verify_cert_match": "hostname"},
        )
    )
    letters = [write_letter() for _ in range(5)]
    for letter in letters:
        assert smtp_lib(Target(port=postfix.port), letter, room).code == 0
    arrivals = sink.wait_for(len(letters))
    for letter in letters:
        (arrival,) = [a for a in arrivals if letter.mark in a.content]
        assert_only_trace_added(arrival.content, letter.content)
        assert (arrival.sender, arrival.recipients) == (SENDER, (RECIPIENT,))


def test_postfix_keeps_what_the_node_refuses_for_now(
    room: Path, sink: Sink, make_node: NodeMaker, make_postfix: PostfixMaker
) -> None:
    node = make_node(sink.port)
    # A floor that no disk clears: new mail is answered 452 4.3.1.
    node.edit(lambda posthouse, flow: posthouse.setdefault("store", {}).update(free_space_floor="1000000GB"))
    node.start()
    postfix = make_postfix(Options(deliver="relay", relay=f"127.0.0.1:{node.port}"))
    assert smtp_lib(Target(port=postfix.port), write_letter(), room).code == 0
    postfix.wait_for_log("status=deferred")
    assert "452" in postfix.log_text(), postfix.log_text()
    assert sink.arrivals == []


@pytest.mark.parametrize("reuse", [True, False], ids=["kept connections", "new connections"])
def test_every_message_of_smtp_source_arrives_once(sink: Sink, make_node: NodeMaker, reuse: bool) -> None:
    node = make_node(sink.port).start()
    command: list[str | Path] = [
        require("smtp-source"),
        "-s",
        "20",
        "-m",
        "400",
        "-l",
        "4096",
        "-N",
        "-f",
        SENDER,
        "-t",
        RECIPIENT,
    ]
    done = run([*command, *(["-d"] if reuse else []), f"127.0.0.1:{node.port}"])
    assert done.code == 0, done.output
    arrivals = sink.wait_for(400)
    node.wait_for_empty_queue()
    assert len({arrival.recipients for arrival in arrivals}) == len(arrivals) == 400


def test_big_messages_of_smtp_source_arrive_whole(sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port).start()
    size = 5_000_000
    done = run(
        [require("smtp-source"), "-s", "4", "-m", "8", "-l", str(size), "-f", SENDER, "-t", RECIPIENT, "-d",
         f"127.0.0.1:{node.port}"]
    )  # fmt: skip
    assert done.code == 0, done.output
    bodies = {arrival.content.partition(b"\r\n\r\n")[2] for arrival in sink.wait_for(8)}
    assert len(bodies) == 1
    assert len(bodies.pop()) >= size
