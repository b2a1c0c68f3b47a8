"""SIGKILL in each state that a message can be in (docs/states.md), one test for each.

A: nothing stored. B: content on disk without a row. C: accepted, waiting or in the middle of an attempt. D: settled,
its bounce written with it. E: finished, kept for the trace.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

from tests.peers.clients import RECIPIENT, SENDER, Target, smtp_lib
from tests.peers.conftest import NodeMaker
from tests.peers.letters import Letter, write_letter
from tests.peers.node import Node
from tests.peers.programs import wait_until
from tests.peers.sink import Faults, Sink

SOON = {"retry": [{"times": 100, "every": "1s"}], "jitter_percent": 0}
BIG = 20_000_000


def hand_in(node: Node, room: Path) -> Letter:
    letter = write_letter()
    done = smtp_lib(Target(port=node.port), letter, room)
    assert done.code == 0, done.output
    return letter


def begin_message(node: Node, octets: bytes) -> socket.socket:
    """Send a message up to some octet, without its end."""
    connection = socket.create_connection(("127.0.0.1", node.port), timeout=20)
    replies = connection.makefile("rb")
    assert replies.readline().startswith(b"220")
    for command, code in (
        (b"HELO client.test", b"250"),
        (f"MAIL FROM:<{SENDER}>".encode(), b"250"),
        (f"RCPT TO:<{RECIPIENT}>".encode(), b"250"),
        (b"DATA", b"354"),
    ):
        connection.sendall(command + b"\r\n")
        reply = replies.readline()
        assert reply.startswith(code), reply
    connection.sendall(octets)
    return connection


def big_files(node: Node) -> list[Path]:
    """Files of spooled content."""
    data = node.directory / "data"
    return [
        path
        for path in data.rglob("*")
        if path.is_file() and path.stat().st_size > 1_000_000 and "posthouse.db" not in path.name
    ]


def test_a_killed_in_the_middle_of_data_nothing_is_kept(sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port).start()
    with begin_message(node, b"Subject: half\r\n\r\nhalf a mess"):
        node.kill()
    node.start()
    assert node.queue() == []
    assert node.trace("--sender", SENDER) == []
    assert sink.arrivals == []


def test_b_killed_with_content_on_disk_and_no_row_the_content_is_removed(sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port).start()
    with begin_message(node, b"Subject: big\r\n\r\n" + (b"x" * 78 + b"\r\n") * (BIG // 80)):
        wait_until(lambda: big_files(node), 20, "content in the spool")
        node.kill()
    node.start()
    wait_until(lambda: not big_files(node), 20, "the orphan removed")
    assert node.queue() == []
    assert sink.arrivals == []


def test_c_killed_while_it_waits_the_message_still_waits(room: Path, sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port)
    node.edit_outbound(paused=True)
    node.start()
    hand_in(node, room)
    node.kill()
    node.start()
    (row,) = node.queue()
    assert (row["sender"], row["recipient"]) == (SENDER, RECIPIENT)


def test_c_killed_before_the_next_hop_had_it_the_message_is_sent_once(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    sink = make_sink(Sink(faults=Faults(stall="rcpt", times=1)))
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.start()
    letter = hand_in(node, room)
    wait_until(lambda: sink.faults.times == 0, 20, "the next hop to stall")
    node.kill()
    node.start()
    assert letter.mark in sink.wait_for(1)[0].content
    node.wait_for_empty_queue()
    assert len(sink.arrivals) == 1


def test_c_killed_while_the_next_hop_was_about_to_answer_the_message_is_never_lost(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    sink = make_sink(Sink(faults=Faults(stall="dot", times=1)))
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.start()
    letter = hand_in(node, room)
    sink.wait_for(1)
    node.kill()
    node.start()
    # The first copy may or may not have counted at the next hop, so it is sent again: twice is allowed, never is not.
    assert all(letter.mark in arrival.content for arrival in sink.wait_for(2))
    node.wait_for_empty_queue()
    assert len(sink.arrivals) == 2


def test_d_killed_after_a_refusal_the_bounce_is_still_sent(
    room: Path, make_node: NodeMaker, make_sink: Callable[[Sink], Sink]
) -> None:
    # The bounce meets a stall, so the kill falls between its being written and its being sent.
    faults = Faults(recipients={RECIPIENT: "550 5.1.1 Nobody here"}, stall="dot", times=1)
    sink = make_sink(Sink(faults=faults))
    node = make_node(sink.port)
    node.edit_queue(**SOON)
    node.start()
    letter = hand_in(node, room)
    wait_until(lambda: "Failed" in json.dumps(node.trace("--sender", SENDER)), 20, "the failure in the trace")
    node.kill()
    sink.faults.stall = None
    node.start()
    node.wait_for_empty_queue()
    bounces = [arrival for arrival in sink.arrivals if arrival.sender == ""]
    assert bounces
    assert all(letter.mark in bounce.content for bounce in bounces)
    assert {bounce.recipients for bounce in bounces} == {(SENDER,)}


def test_e_killed_after_delivery_the_trace_still_tells_of_it(room: Path, sink: Sink, make_node: NodeMaker) -> None:
    node = make_node(sink.port).start()
    hand_in(node, room)
    node.wait_for_empty_queue()
    node.kill()
    node.start()
    (row,) = node.trace("--sender", SENDER)
    assert "Delivered" in json.dumps(row)
    assert len(sink.arrivals) == 1
