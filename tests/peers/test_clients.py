"""Real programs hand mail in; the next hop gets their octets unchanged.

One node for the whole file, with a listener for each way in: ``plain`` lets 127.0.0.0/8 in by network, ``submission``
(STARTTLS) and ``smtps`` ask for a login, ``certificate`` for a client certificate.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.peers.certificates import Authority, Pair
from tests.peers.clients import CLIENTS, RECIPIENT, SENDER, Target, swaks
from tests.peers.letters import Letter, assert_only_trace_added, write_letter
from tests.peers.node import Node, Tree
from tests.peers.programs import wait_until
from tests.peers.sink import Arrival, Sink

PASSWORD = "correct horse battery"
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5"]
CLIENT_NAME = "scanner.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """The node under test and what stands behind it."""

    node: Node
    sink: Sink
    plain: Target
    submission: Target
    smtps: Target
    certificate: Target

    def arrival_of(self, letter: Letter) -> Arrival:
        """The letter at the next hop, once it is there."""
        wait_until(lambda: self.has(letter), 30, f"{letter.mark!r} at the next hop")
        return next(a for a in self.sink.arrivals if letter.mark in a.content)

    def has(self, letter: Letter) -> bool:
        """Whether the next hop has the letter by now."""
        return any(letter.mark in arrival.content for arrival in self.sink.arrivals)


@pytest.fixture(scope="module")
def relay(shared_room: Path, authority: Authority) -> Iterator[Relay]:
    sink = Sink().start()
    node = Node(shared_room, sink.port)
    pair = authority.issue("127.0.0.1", "localhost")
    offered = [*MECHANISMS, "SCRAM-SHA-256"]
    submission = node.add_listener("submission", tls="starttls", auth=offered, require_tls=True)
    smtps = node.add_listener("smtps", tls="implicit", auth=offered)
    certificate = node.add_listener("certificate", tls="starttls", auth=[], client_certificates=True)
    node.edit(lambda posthouse, flow: _open_ways_in(posthouse, flow, pair, authority))
    node.add_account(SENDER, PASSWORD)
    node.start()
    secure = Target(port=0, ca=authority.certificate, login=(SENDER, PASSWORD))
    yield Relay(
        node=node,
        sink=sink,
        plain=Target(port=node.port),
        submission=replace(secure, port=submission, tls="starttls"),
        smtps=replace(secure, port=smtps, tls="implicit"),
        certificate=replace(secure, port=certificate, tls="starttls", login=None),
    )
    node.kill()
    sink.stop()


def _open_ways_in(posthouse: Tree, flow: Tree, pair: Pair, authority: Authority) -> None:
    posthouse["tls"] = {
        "certificate": str(pair.certificate),
        "key": str(pair.key),
        "client_ca": str(authority.certificate),
    }
    posthouse["login"] = {"allow_cram_md5": True}
    flow["inbound"][0]["listeners"] = [posthouse["listener"][0]["name"]]
    flow["inbound"].append(
        {"name": "scanner", "certificates": [CLIENT_NAME], "listeners": ["certificate"], "recipients": "any"}
    )


def assert_unchanged(arrival: Arrival, letter: Letter) -> None:
    assert (arrival.sender, arrival.recipients) == (SENDER, (RECIPIENT,))
    assert_only_trace_added(arrival.content, letter.content)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_from_an_allowed_network_is_relayed_octet_for_octet(relay: Relay, room: Path, client: str) -> None:
    letter = write_letter()
    done = CLIENTS[client](relay.plain, letter, room)
    assert done.code == 0, done.output
    assert_unchanged(relay.arrival_of(letter), letter)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_logs_in_after_starttls(relay: Relay, room: Path, client: str, mechanism: str) -> None:
    letter = write_letter()
    done = CLIENTS[client](replace(relay.submission, mechanism=mechanism), letter, room)
    assert done.code == 0, done.output
    assert_unchanged(relay.arrival_of(letter), letter)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_logs_in_over_implicit_tls(relay: Relay, room: Path, client: str, mechanism: str) -> None:
    letter = write_letter()
    done = CLIENTS[client](replace(relay.smtps, mechanism=mechanism), letter, room)
    assert done.code == 0, done.output
    assert_unchanged(relay.arrival_of(letter), letter)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_certificate_lets_a_client_in(relay: Relay, room: Path, authority: Authority, client: str) -> None:
    letter = write_letter()
    shown = replace(relay.certificate, client=authority.issue(CLIENT_NAME))
    done = CLIENTS[client](shown, letter, room)
    assert done.code == 0, done.output
    assert_unchanged(relay.arrival_of(letter), letter)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_password_sends_nothing(relay: Relay, room: Path, client: str) -> None:
    letter = write_letter()
    done = CLIENTS[client](replace(relay.submission, login=(SENDER, "wrong")), letter, room)
    assert done.code != 0
    assert not relay.has(letter)


def test_nobody_relays_without_a_login_where_one_is_asked_for(relay: Relay, room: Path) -> None:
    done = swaks(replace(relay.submission, login=None), write_letter(), room)
    assert done.code != 0
    assert "530" in done.output or "550" in done.output or "554" in done.output, done.output


def test_a_certificate_of_another_name_lets_nobody_in(relay: Relay, room: Path, authority: Authority) -> None:
    stranger = replace(relay.certificate, client=authority.issue("stranger.example.org"))
    done = swaks(stranger, write_letter(), room)
    assert done.code != 0
    assert "relay" in done.output.lower() or "5.7." in done.output, done.output


def test_a_logged_in_client_may_not_send_as_somebody_else(relay: Relay, authority: Authority) -> None:
    with smtplib.SMTP("127.0.0.1", relay.submission.port) as session:
        session.starttls(context=authority.client_context())
        session.login(SENDER, PASSWORD)
        with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)) as refused:
            session.sendmail("boss@example.com", [RECIPIENT], write_letter().content)
    assert "5.7." in str(refused.value), refused.value
