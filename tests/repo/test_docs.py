"""The documentation speaks of what exists: commands, make targets, files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
README = CHECKOUT / "README.md"
# A command stands at the start of a line of code or of a code span: `posthouse queue list`. Ready lines begin alike.
COMMAND = re.compile(r"(?:^|`|\$ )(posthouse|m365emu)(?! ready)((?: [a-z][a-z-]*)+)", re.MULTILINE)


def commands() -> list[str]:
    """Every command that the pages mention, with at most two words after the program."""
    found = {
        " ".join([program, *words.split()[:2]])
        for page in PAGES
        for program, words in COMMAND.findall(page.read_text())
    }
    return sorted(found)


def help_of(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words, "--help"], capture_output=True, text=True)


@pytest.mark.parametrize("command", commands())
def test_every_command_in_the_pages_exists(command: str) -> None:
    words = command.split()
    shown = help_of(words)
    if shown.returncode != 0 and len(words) == 3:
        # The second word may be an argument of the first.
        shown = help_of(words[:2])
        assert "COMMAND" not in shown.stdout, f"{command} does not exist:\n{shown.stdout}"
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_the_readme_shows_how_to_begin() -> None:
    text = README.read_text()
    for target in ("make demo", "make test"):
        assert target in text


def test_every_make_target_in_the_pages_exists() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    mentioned = {target for page in PAGES for target in re.findall(r"(?:^|`|\$ )make ([a-z]+)", page.read_text(), re.M)}
    assert mentioned - targets == set()


def test_every_link_between_the_pages_leads_somewhere() -> None:
    dead = [
        f"{page.relative_to(CHECKOUT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists()
    ]
    assert dead == []
