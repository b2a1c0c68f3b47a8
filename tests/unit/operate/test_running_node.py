"""Commands that speak to a real node: one process for all tests of this file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.operate.conftest import FLOW, NODE

from posthouse.__main__ import ThisInstallation
from posthouse.operate.cli.main import posthouse

POSTHOUSE = (sys.executable, "-m", "posthouse")


def process(place: Path, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*POSTHOUSE, *words, "--dir", str(place)], input=stdin, capture_output=True, timeout=60)


def command(place: Path, *words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(posthouse, [*words, "--dir", str(place)], input=stdin, obj=ThisInstallation())


def ask(place: Path, *words: str) -> Any:
    done = command(place, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a node that runs; its next hop answers nothing."""
    place = tmp_path_factory.mktemp("node")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        dead = nobody.getsockname()[1]
    (place / "posthouse.toml").write_text(NODE)
    (place / "flow.toml").write_text(FLOW.replace("2600", str(dead)))
    with started(place):
        yield place
    assert not (place / "control.sock").exists()


@contextmanager
def started(place: Path) -> Iterator[None]:
    """A node runs in a process of its own."""
    running = subprocess.Popen([*POSTHOUSE, "run", "--dir", str(place)], stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("posthouse ready")
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        ended = running.wait(30)
    assert ended == 0


def test_the_node_says_what_it_is_doing(node: Path) -> None:
    status = ask(node, "status")
    assert (status["hostname"], status["state"]) == ("relay.example.com", "running")
    (listener,) = status["listeners"]
    assert listener["address"].startswith("127.0.0.1:") and not listener["address"].endswith(":0")
    assert "LISTENER" in command(node, "status").stdout


def test_check_knows_that_the_ports_are_the_nodes_own(node: Path) -> None:
    found = ask(node, "check")
    assert found["ok"] is True
    assert any("in use by the running node" in note for note in found["notes"])


def test_a_message_handed_in_waits_with_its_reason_and_can_be_steered(node: Path) -> None:
    done = process(node, "send", "-f", "me@example.com", "bob@example.org", "--json", stdin=b"Subject: x\n\nbody\n")
    name = json.loads(done.stdout)["id"]
    assert ask(node, "queue", "hold", name)["copies"] == 1
    (copy,) = ask(node, "queue", "list", "--recipient", "bob@example.org")["copies"]
    assert (copy["id"], copy["state"]) == (name, "held")
    assert ask(node, "queue", "cancel", name)["copies"] == 1
    story = ask(node, "trace", "show", name)
    who = {step["fields"].get("by") for step in story["timeline"] if step["event"] == "cancelled"}
    assert who and None not in who
    assert story["recipients"][0]["status"] == "Cancelled"


def test_a_changed_flow_is_in_use_at_once(node: Path) -> None:
    before = ask(node, "status")["flow_revision"]
    file = node / "flow.toml"
    file.write_text(file.read_text() + "\n# changed\n")
    applied = ask(node, "flow", "apply", "--comment", "a thought")
    assert (applied["number"], applied["in_use"], applied["changed"]) == (before + 1, True, True)
    assert ask(node, "status")["flow_revision"] == before + 1
    rolled_back = ask(node, "flow", "rollback", str(before))
    assert (rolled_back["number"], rolled_back["in_use"]) == (before + 2, True)
    assert "# changed" not in file.read_text()


def test_a_broken_file_does_not_reach_the_node_and_does_not_hide_it(node: Path) -> None:
    file = node / "flow.toml"
    good = file.read_text()
    file.write_text(good + "[[nonsense\n")
    try:
        reloaded = command(node, "reload")
        assert reloaded.exit_code == 1
        assert "not valid TOML" in reloaded.stderr
        assert command(node, "flow", "apply").exit_code == 1
        assert ask(node, "queue", "list")["copies"] == []
    finally:
        file.write_text(good)
    assert command(node, "reload").exit_code == 0


def test_accounts_and_secrets_go_through_the_node(node: Path) -> None:
    words = ("account", "add", "web@example.com", "--password-stdin")
    assert command(node, *words, stdin=b"PLANTED correct horse\n").exit_code == 0
    assert [known["name"] for known in ask(node, "account", "list")["accounts"]] == ["web@example.com"]
    assert command(node, "secret", "set", "kept", "--stdin", stdin=b"PLANTED").exit_code == 0
    assert [known["name"] for known in ask(node, "secret", "list")["secrets"]] == ["kept"]
    assert command(node, "account", "remove", "web@example.com", "--yes").exit_code == 0


def test_a_second_node_does_not_start(node: Path) -> None:
    done = process(node, "run")
    assert done.returncode == 1
    assert b"another node runs" in done.stderr
    assert b"Traceback" not in done.stderr


def test_following_shows_what_happens_until_it_is_interrupted(node: Path) -> None:
    with subprocess.Popen(
        [*POSTHOUSE, "trace", "follow", "--json", "--dir", str(node)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout is not None and following.stderr is not None
        assert following.stderr.readline().startswith(b"Following")
        command(node, "send", "-f", "me@example.com", "carol@example.org", stdin=b"Subject: x\n\nbody\n")
        assert json.loads(following.stdout.readline())["event"] == "accepted"
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_is_told_who_may_speak_to_the_node(node: Path) -> None:
    for parent in (node, *node.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    # What the program needs is imported while the files of Python can still be read.
    script = (
        "import os, sys, encodings.utf_8_sig, click.testing\n"
        "import posthouse.store.port, posthouse.operate.desk, posthouse.operate.cli.queue\n"
        "from posthouse.__main__ import main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.argv = ['posthouse', 'queue', 'list', '--dir', sys.argv[1]]; main()"
    )
    done = subprocess.run([sys.executable, "-c", script, str(node)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "may not speak to the node" in done.stderr
    assert "Traceback" not in done.stderr
