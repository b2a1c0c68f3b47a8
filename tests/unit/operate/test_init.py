"""``posthouse init``."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operate.conftest import Run

from posthouse.config import load
from posthouse.decide.outbound import Smarthost

ANSWERS = ("--upstream", "smtp://127.0.0.1:2600", "--listen", "127.0.0.1:2525", "--allow", "127.0.0.0/8", "--yes")


def test_the_files_that_it_writes_can_be_used_at_once(tmp_path: Path, run: Run) -> None:
    done = run("init", "--dir", tmp_path / "new", *ANSWERS)
    assert done.exit_code == 0, done.output
    read = load(tmp_path / "new")
    assert read.warnings == ()
    assert read.node.listener[0].address == "127.0.0.1:2525"
    assert (str(read.flow.inbound[0].networks[0]), read.flow.inbound[0].recipients) == ("127.0.0.0/8", "any")
    connector = read.flow.outbound[0]
    assert isinstance(connector, Smarthost)
    assert (connector.hosts, connector.port) == (("127.0.0.1",), 2600)


def test_several_listeners_and_domains(tmp_path: Path, run: Run) -> None:
    more = (
        "--listen",
        "127.0.0.1:2526",
        "--listen",
        "127.0.0.1:465",
        "--domain",
        "example.com",
        "--hostname",
        "r.example.com",
    )
    done = run("init", "--dir", tmp_path, *ANSWERS, *more)
    assert done.exit_code == 0, done.output
    read = load(tmp_path)
    assert [(known.name, known.tls) for known in read.node.listener] == [
        ("smtp", "starttls"),
        ("smtp2", "starttls"),
        ("submissions", "implicit"),
    ]
    assert read.flow.domain[0].name == "example.com"
    assert read.node.hostname == "r.example.com"


def test_files_that_are_there_are_not_overwritten(place: Path, run: Run) -> None:
    before = (place / "flow.toml").read_text()
    done = run("init", "--dir", place, *ANSWERS)
    assert done.exit_code == 1
    assert "--force" in done.output
    assert (place / "flow.toml").read_text() == before
    assert run("init", "--dir", place, *ANSWERS, "--force").exit_code == 0
    assert (place / "flow.toml").read_text() != before


def test_the_world_cannot_be_let_in(tmp_path: Path, run: Run) -> None:
    done = run("init", "--dir", tmp_path / "new", *ANSWERS, "--allow", "0.0.0.0/0")
    assert done.exit_code == 1
    assert "open relay" in done.output
    assert not (tmp_path / "new").exists()


def test_wrong_answers_are_explained_and_nothing_is_written(tmp_path: Path, run: Run) -> None:
    done = run("init", "--dir", tmp_path / "new", *ANSWERS, "--allow", "10.0.0.1/8", "--listen", "nowhere")
    assert done.exit_code == 1
    assert 'did you mean "10.0.0.0/8"?' in done.output
    assert '"host:port"' in done.output
    assert not (tmp_path / "new").exists()


def test_without_a_terminal_the_upstream_must_be_given(tmp_path: Path, run: Run) -> None:
    done = run("init", "--dir", tmp_path / "new")
    assert done.exit_code == 2
    assert "--upstream" in done.output


def test_a_password_is_not_taken_from_the_url(tmp_path: Path, run: Run) -> None:
    done = run("init", "--dir", tmp_path / "new", "--upstream", "smtps://me:PLANTED@mail.example.com", "--yes")
    assert done.exit_code == 1
    assert "PLANTED" not in done.output
