"""The container file fits the repository and the command; building it needs a registry, so it is read instead."""

import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from m365emu.__main__ import main
from m365emu.certificates import HOSTS

CHECKOUT = Path(__file__).resolve().parents[2]
FILE = (CHECKOUT / "packaging" / "m365emu.Containerfile").read_text()
IGNORED = (CHECKOUT / "packaging" / "m365emu.Containerfile.dockerignore").read_text()
README = (CHECKOUT / "docs" / "emulator.md").read_text()


def test_all_that_is_copied_is_there_and_not_ignored() -> None:
    copied = [name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", FILE, re.MULTILINE) for name in line.split()]
    assert set(copied) >= {"pyproject.toml", "src", "README.md", "LICENSE"}
    assert all((CHECKOUT / name).exists() for name in copied)
    assert {f"!{name}" for name in copied} <= set(IGNORED.splitlines())


def test_every_variable_is_one_that_the_command_reads() -> None:
    names = re.findall(r"\bM365EMU_([A-Z_]+)=", FILE)
    assert set(names) == {"DIR", "SUBMISSION", "MX", "HTTPS", "HTTP"}
    known = {option.name for option in main.commands["run"].params} | {"dir"}  # type: ignore[attr-defined]
    assert {name.lower() for name in names} <= known


def test_the_ports_are_those_of_the_readme() -> None:
    (exposed,) = re.findall(r"^EXPOSE (.+)$", FILE, re.MULTILINE)
    assert all(f"-p {port}:{port}" in README for port in exposed.split())
    assert "-v m365emu:/data" in README and "VOLUME /data" in FILE
    assert "m365emu" in HOSTS


def test_the_health_check_is_a_command_that_exists() -> None:
    (words,) = re.findall(r'CMD \["m365emu", ("clock", "show", .*)\]', FILE)
    arguments = re.findall(r'"([^"]*)"', words)
    result = CliRunner().invoke(main, [*arguments[:2], "--help"])
    assert result.exit_code == 0 and arguments[2] in result.output


def test_the_environment_says_where_to_listen(tmp_path: Path) -> None:
    import os
    import signal

    ports = {f"M365EMU_{name}": "127.0.0.1:0" for name in ("SUBMISSION", "MX", "HTTPS", "HTTP")}
    environment = {**os.environ, **ports, "M365EMU_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "m365emu", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    assert ready.startswith("m365emu ready: submission 127.0.0.1:") and "2587" not in ready
    assert (tmp_path / "data" / "endpoints.json").exists()
