"""Help that helps: every command has a description and an example, fits 80 columns, and starts quickly."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.unit.operate.conftest import Run

from posthouse.operate.cli.main import posthouse

CHECKOUT = Path(__file__).parents[3]


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*words, name))


ALL = list(commands(posthouse))


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) or "posthouse" for words, _ in ALL])
def test_every_command_has_help_with_an_example_in_80_columns(
    words: tuple[str, ...], command: click.Command, run: Run
) -> None:
    shown = run(*words, "--help")
    assert shown.exit_code == 0
    assert command.help and command.help.rstrip().endswith(".")
    assert f"posthouse {' '.join(words)}".rstrip() in (command.epilog or "")
    assert max(len(line) for line in shown.output.splitlines()) <= 80


def test_the_examples_of_the_root_command_name_commands_that_exist(run: Run) -> None:
    for line in (posthouse.epilog or "").splitlines():
        if line.startswith("  posthouse "):
            assert run(line.split()[1], "--help").exit_code == 0


def test_the_list_of_commands_says_what_their_help_says() -> None:
    listed = subprocess.run([sys.executable, "-m", "posthouse", "--help"], capture_output=True, text=True).stdout
    for words, _ in ALL:
        if len(words) == 1:
            assert f"\n  {words[0]} " in listed


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, runpy; sys.argv = ['posthouse', '--help']\n"
        "try: runpy.run_module('posthouse', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'fastapi', 'uvicorn', 'asyncio', 'apsw', 'msal', 'rich', 'aiohttp', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_a_mistyped_command_is_recognised(run: Run) -> None:
    shown = run("queu")
    assert shown.exit_code == 2
    assert "Did you mean 'queue'?" in shown.output


def test_the_version_is_shown(run: Run) -> None:
    assert run("--version").output.startswith("posthouse ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_come_from_the_program(shell: str, run: Run) -> None:
    shown = run("completion", shell)
    assert shown.exit_code == 0
    assert "_POSTHOUSE_COMPLETE" in shown.output


def test_every_command_has_a_manual_page(tmp_path: Path) -> None:
    write = runpy.run_path(str(CHECKOUT / "packaging" / "man_pages.py"))["main"]
    write(tmp_path)
    pages = {page.name for page in tmp_path.iterdir()}
    assert pages == {"-".join(("posthouse", *words)) + ".1" for words, _ in ALL}
    page = (tmp_path / "posthouse-queue-list.1").read_text()
    assert page.startswith('.TH "POSTHOUSE-QUEUE-LIST" 1')
    assert ".SH EXAMPLES" in page
