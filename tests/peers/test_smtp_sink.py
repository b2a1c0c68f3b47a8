"""Postfix's smtp-sink as next hop, with everything its options can do wrong: one instance for each option.

One node serves the whole file. Every instance stands behind a connector of its own, and a route leads to it by the
recipient's domain, so that one dead hop beside twenty others is part of the test.
"""

from __future__ import annotations

import json
import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.peers.clients import SENDER
from tests.peers.letters import Letter, assert_only_trace_added, with_crlf, write_letter
from tests.peers.node import Node, Tree
from tests.peers.programs import wait_until
from tests.peers.smtp_sink import SmtpSink

# What little a server may offer, or how slow it may be.
MODEST = {
    "plain": (),
    "slow": ("-w", "1"),
    "no-pipelining": ("-p",),
    "helo-only": ("-e",),
    "behind-a-pix": ("-P",),
    "no-enhanced-codes": ("-E",),
    "no-dsn": ("-N",),
}
# Options, and what the queue then shows as the reason.
TEMPORARY = {
    "450-connect": (("-r", "connect"), "450"),
    "450-mail": (("-r", "mail"), "450"),
    "450-rcpt": (("-r", "rcpt"), "450"),
    "450-data": (("-r", "data"), "450"),
    "450-dot": (("-r", "."), "450"),
    "421-rcpt": (("-Q", "rcpt"), "421"),
    "421-dot": (("-Q", "."), "421"),
    "cut-connect": (("-q", "connect"), "connection"),
    "cut-mail": (("-q", "mail"), "connection"),
    "cut-data": (("-q", "data"), "connection"),
}
REFUSED = "550 5.7.1 Not wanted here"
PERMANENT = {
    f"refused-{'dot' if command == '.' else command}": ("-f", command, "-B", REFUSED)
    for command in ("mail", "rcpt", "data", ".")
}
SEVEN_BIT = {"seven-bit": ("-8",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchboard:
    """The node, and the instance behind each recipient domain."""

    node: Node
    sinks: dict[str, SmtpSink]

    def hand_in(self, case: str, letter: Letter) -> Letter:
        """Send one letter to the instance of a case."""
        with smtplib.SMTP("127.0.0.1", self.node.port) as session:
            session.sendmail(SENDER, [recipient(case)], letter.content, ["BODY=8BITMIME"])
        return letter

    def wait_for_status(self, case: str, status: str) -> None:
        """Wait until the trace shows this status for the case's recipient."""
        wait_until(lambda: status in json.dumps(self.node.trace("--recipient", recipient(case))), 30, status)

    def dump_of(self, case: str, letter: Letter) -> bytes:
        """The one dump of a delivered letter."""
        self.wait_for_status(case, "Delivered")
        (dump,) = [dump for dump in self.sinks[case].messages() if letter.mark in dump]
        return dump


def recipient(case: str) -> str:
    return f"office@{case}.test"


@pytest.fixture(scope="module")
def switchboard(shared_room: Path) -> Iterator[Switchboard]:
    faults = {case: options for case, (options, _) in TEMPORARY.items()}
    with ExitStack() as stack:
        sinks: dict[str, SmtpSink] = {}
        for case, options in {**MODEST, **faults, **PERMANENT, **SEVEN_BIT}.items():
            directory = Path(tempfile.mkdtemp(dir=shared_room))
            directory.chmod(0o755)
            sinks[case] = SmtpSink(directory, *options)
            stack.callback(sinks[case].stop)
        node = Node(shared_room, sinks["plain"].port)
        stack.callback(node.kill)
        node.edit(lambda posthouse, flow: _connect(flow, sinks))
        node.start()
        yield Switchboard(node=node, sinks=sinks)


def _connect(flow: Tree, sinks: dict[str, SmtpSink]) -> None:
    """A connector and a route for each instance; what else there is (bounces) goes to the plain one."""
    pattern = flow["outbound"][0]
    flow["outbound"] = [{**pattern, "name": case, "port": sink.port} for case, sink in sinks.items()]
    routes = [{"name": case, "recipients": [f"{case}.test"], "connectors": [case]} for case in sinks]
    flow["route"] = [*routes, {"name": "rest", "recipients": ["*"], "connectors": ["plain"]}]


@pytest.mark.parametrize("case", MODEST)
def test_a_server_that_offers_little_gets_the_message_whole(switchboard: Switchboard, case: str) -> None:
    letter = switchboard.hand_in(case, write_letter(b"Seven bits only.\r\n..\r\n.\r\nEnd\r\n"))
    # The dump ends with an empty line of its own.
    dump = with_crlf(switchboard.dump_of(case, letter)).removesuffix(b"\r\n")
    assert_only_trace_added(dump, letter.content)


@pytest.mark.parametrize("case", TEMPORARY)
def test_mail_waits_after_a_temporary_fault(switchboard: Switchboard, case: str) -> None:
    switchboard.hand_in(case, write_letter())
    shown = TEMPORARY[case][1]

    def reasons() -> str:
        return json.dumps([row for row in switchboard.node.queue() if row["recipient"] == recipient(case)]).lower()

    wait_until(lambda: shown in reasons(), 30, lambda: f"{shown} in the queue, which has {reasons()}")


@pytest.mark.parametrize("case", PERMANENT)
def test_mail_fails_after_a_permanent_refusal_and_its_sender_is_told(switchboard: Switchboard, case: str) -> None:
    letter = switchboard.hand_in(case, write_letter())
    switchboard.wait_for_status(case, "Failed")
    wait_until(lambda: any(letter.mark in dump for dump in switchboard.sinks["plain"].messages()), 30, "the bounce")
    (bounce,) = [dump for dump in switchboard.sinks["plain"].messages() if letter.mark in dump]
    assert b"X-Mail-Args: <>" in bounce
    assert f"X-Rcpt-Args: <{SENDER}>".encode() in bounce
    assert REFUSED.encode() in bounce.replace(b"\n ", b" ")


def test_eight_bit_text_reaches_a_seven_bit_server_encoded(switchboard: Switchboard) -> None:
    letter = switchboard.hand_in("seven-bit", write_letter("Grüße\r\n".encode()))
    dump = switchboard.dump_of("seven-bit", letter)
    assert max(dump) < 128
    assert b"Gr=C3=BC=C3=9Fe" in dump or b"R3LDvMOfZQ" in dump
