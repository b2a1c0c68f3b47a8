"""The node as its operator meets it: first steps, mistakes in the files, a queue that is steered."""

from __future__ import annotations

import contextlib
import json
import smtplib
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.peers.clients import RECIPIENT, SENDER, Target, smtp_lib
from tests.peers.conftest import NodeMaker
from tests.peers.letters import Letter, assert_only_trace_added, write_letter
from tests.peers.node import Node, Tree
from tests.peers.programs import free_port, run, wait_until
from tests.peers.sink import Sink

Change = Callable[[Tree, Tree], None]


def hand_in(node: Node, room: Path) -> Letter:
    letter = write_letter()
    done = smtp_lib(Target(port=node.port), letter, room)
    assert done.code == 0, done.output
    return letter


def test_init_and_run_relay_at_once_what_this_machine_hands_in(room: Path, sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port)
    assert node.command("check").code == 0
    node.start()
    letter = hand_in(node, room)
    assert_only_trace_added(sink.wait_for(1)[0].content, letter.content)
    (row,) = node.trace("--sender", SENDER)
    assert RECIPIENT in json.dumps(row)
    assert "Delivered" in json.dumps(row)
    assert node.stop() == 0


def test_an_address_that_no_connector_names_cannot_relay(room: Path, sink: Sink) -> None:
    node = Node(room, sink.port)
    node.edit(lambda posthouse, flow: flow["inbound"][0].update(networks=["127.0.0.2/32"]))
    node.start()
    try:
        with smtplib.SMTP("127.0.0.1", node.port) as session:
            session.ehlo("client.test")
            replies = [session.mail(SENDER), session.rcpt(RECIPIENT)]
        assert max(code for code, _ in replies) >= 530, replies
        wait_until(lambda: node.ask("trace", "door")["events"], 10, "the refusal in the trace")
        (refused, *_) = node.ask("trace", "door")["events"]
        assert refused["event"] == "refused"
        assert "no inbound connector matches" in json.dumps(refused)
    finally:
        node.kill()
    assert sink.arrivals == []


def test_mail_handed_to_the_command_while_the_node_is_down_leaves_when_it_starts(
    sink: Sink, make_node: NodeMaker
) -> None:
    node = make_node(sink.port)
    letter = write_letter()
    words = ["send", "-i", "-f", SENDER, RECIPIENT]
    done = run(
        [sys.executable, "-m", "posthouse", *words],
        stdin=letter.content,
        env={"POSTHOUSE_DIR": str(node.directory)},
    )
    assert done.code == 0, done.output
    node.start()
    arrival = sink.wait_for(1)[0]
    assert (arrival.sender, arrival.recipients) == (SENDER, (RECIPIENT,))
    assert_only_trace_added(arrival.content, letter.content)


def test_mail_waits_for_a_next_hop_that_is_not_there_and_leaves_when_it_comes(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    port = free_port()
    node = make_node(port)
    node.edit_queue(retry=[{"times": 100, "every": "1s"}], jitter_percent=0)
    node.start()
    letter = hand_in(node, room)
    wait_until(lambda: "refused" in json.dumps(node.queue()).lower(), 20, "the reason in the queue")
    sink = Sink()
    sink.start(port)
    try:
        assert_only_trace_added(sink.wait_for(1)[0].content, letter.content)
    finally:
        sink.stop()


def test_held_mail_stays_and_released_mail_leaves(room: Path, make_node: NodeMaker) -> None:
    port = free_port()
    node = make_node(port)
    node.edit_queue(retry=[{"times": 100, "every": "1s"}], jitter_percent=0)
    node.start()
    hand_in(node, room)
    (row,) = node.queue()
    assert node.command("queue", "hold", row["id"]).code == 0
    assert "held" in json.dumps(node.queue()).lower()
    sink = Sink().start(port)
    try:
        assert node.command("queue", "release", row["id"]).code == 0
        sink.wait_for(1)
        node.wait_for_empty_queue()
    finally:
        sink.stop()


def test_cancelled_mail_is_never_sent(room: Path, sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port)
    node.edit_outbound(paused=True)
    node.start()
    hand_in(node, room)
    (row,) = node.queue()
    assert node.command("queue", "cancel", row["id"]).code == 0
    node.wait_for_empty_queue()
    assert sink.arrivals == []


def test_a_port_in_use_is_named_and_the_node_does_not_start(sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port)
    with socket.create_server(("127.0.0.1", node.port)):
        done = node.command("run")
    assert done.code == 1, done.output
    assert str(node.port) in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda posthouse, flow: posthouse["listener"][0].update(tls="maybe"), ["posthouse.toml", "tls", "maybe"]),
        (lambda posthouse, flow: posthouse.update(lisener=[]), ["posthouse.toml", "lisener"]),
        (lambda posthouse, flow: flow["outbound"][0].update(port=99999), ["flow.toml", "port", "99999"]),
        (lambda posthouse, flow: flow["inbound"][0].update(networks=["0.0.0.0/0"]), ["relay"]),
        (lambda posthouse, flow: posthouse.update(tls={"certificate": "none.pem", "key": "none.key"}), ["none.pem"]),
    ],
    ids=["wrong value", "unknown key", "port out of range", "open relay", "no such certificate"],
)
def test_a_mistake_in_the_files_is_named_and_nothing_starts(
    sink: Sink, make_node: NodeMaker, change: Change, words: list[str]
) -> None:
    node = make_node(sink.port)
    node.edit(change)
    for command in ("check", "run"):
        done = node.command(command)
        assert done.code == 1, done.output
        assert "Traceback" not in done.output
        for word in words:
            assert word in done.output


def test_rude_clients_leave_the_node_serving(room: Path, sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port).start()
    rude = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"EHLO " + b"x" * 100_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<@@>\r\nRCPT TO:<\xff\xfe>\r\n",
        b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nhalf a message",
    ]
    for octets in rude:
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
            connection.sendall(octets)
            with contextlib.suppress(ConnectionError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
    letter = hand_in(node, room)
    assert_only_trace_added(sink.wait_for(1)[0].content, letter.content)
    assert len(sink.arrivals) == 1
    assert "Traceback" not in node.log_text()
