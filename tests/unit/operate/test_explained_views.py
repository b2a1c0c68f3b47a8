"""Queue view and trace say what a refusal of Microsoft 365 means: a real node and a next hop that refuses."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operate.conftest import FLOW, NODE
from tests.unit.operate.test_running_node import ask, command, process, started

from posthouse.operate.explanation import explanation_in

REFUSAL = b"550 5.7.64 TenantAttribution; Relay Access Denied [VE1EUR01FT034.eop-EUR01.prod.protection.outlook.com]\r\n"
TITLE = "No connector of the tenant matches us, so relaying is denied"
LIMIT_SECONDS = 30.0


class RefusingHost(socketserver.StreamRequestHandler):
    """Takes every command but RCPT."""

    def handle(self) -> None:
        self.wfile.write(b"220 mx.example ESMTP\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"QUIT":
                self.wfile.write(b"221 2.0.0 Bye\r\n")
                return
            self.wfile.write(REFUSAL if verb == b"RCPT" else b"250 2.0.0 OK\r\n")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory of a node that runs, and a message whose recipient was refused."""
    place = tmp_path_factory.mktemp("node")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), RefusingHost) as host:
        host.daemon_threads = True
        threading.Thread(target=host.serve_forever, daemon=True).start()
        (place / "posthouse.toml").write_text(NODE)
        (place / "flow.toml").write_text(FLOW.replace("2600", str(host.server_address[1])))
        with started(place):
            done = process(
                place, "send", "-f", "me@example.com", "bob@example.org", "--json", stdin=b"Subject: x\n\ny\n"
            )
            name = str(json.loads(done.stdout)["id"])
            until = time.monotonic() + LIMIT_SECONDS
            while not copies(place)[0]["attempts"]:
                assert time.monotonic() < until, "the message was not attempted"
            yield place, name
        host.shutdown()


def copies(place: Path) -> list[Any]:
    return list(ask(place, "queue", "list")["copies"])


def test_the_queue_view_gives_the_meaning_before_the_words(refused: tuple[Path, str]) -> None:
    place, name = refused
    assert copies(place)[0]["explanation"]["id"] == "connector-not-matched"
    assert f"{TITLE} (550 5.7.64" in command(place, "queue", "list").stdout
    shown = command(place, "queue", "show", name).stdout
    for words in (TITLE, "Who must act: the Exchange administrator", "What to do:   Put our public address"):
        assert words in shown
    assert TITLE in command(place, "queue", "hops").stdout


def test_the_trace_explains_a_refusal(refused: tuple[Path, str]) -> None:
    place, name = refused
    steps = ask(place, "trace", "show", name)["timeline"]
    (explained,) = {step["explanation"]["id"] for step in steps if step["explanation"]}
    assert explained == "connector-not-matched"
    assert all(step["explanation"] is None for step in steps if step["event"] in {"accepted", "routed"})
    shown = command(place, "trace", "show", name).stdout
    assert f"meaning: {TITLE}." in shown
    assert "who must act: the Exchange administrator of your organisation; Put our public address" in shown
    assert shown.count("posthouse explain connector-not-matched") == 1


def test_a_sentence_of_ours_is_explained_by_the_title_in_it() -> None:
    known = explanation_in("relay@contoso.example rests: SMTP AUTH is switched off for the whole tenant")
    assert known is not None and known.id == "smtp-auth-off-tenant"
    assert explanation_in("the clock of this machine jumped") is None
