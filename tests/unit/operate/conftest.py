"""A directory with a configuration, and the program run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from posthouse.__main__ import ThisInstallation
from posthouse.operate.cli.main import posthouse

Run = Callable[..., Result]

NODE = """\
hostname = "relay.example.com"

[[listener]]
name = "smtp"
address = "127.0.0.1:0"
"""
FLOW = """\
[[inbound]]
name = "devices"
networks = ["127.0.0.0/8"]
recipients = "any"

[[outbound]]
name = "next"
kind = "smarthost"
hosts = ["127.0.0.1"]
port = 2600
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with both files."""
    directory = tmp_path / "node"
    directory.mkdir()
    (directory / "posthouse.toml").write_text(NODE)
    (directory / "flow.toml").write_text(FLOW)
    return directory


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as a person types it; ``stdin`` is what is piped in."""
    monkeypatch.delenv("POSTHOUSE_DIR", raising=False)

    def call(*words: str | Path, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(posthouse, [str(word) for word in words], input=stdin, obj=ThisInstallation())

    return call
