"""The list of what is certain covers everything that can be said and switched, and the page is made from it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from m365emu.entra import errors, user_errors
from m365emu.fidelity import as_markdown, read_fidelity
from m365emu.graph.errors import GraphError
from m365emu.replies import Reason
from m365emu.tenant import Assumptions, Limits, Switches

CHECKOUT = Path(__file__).resolve().parents[2]
FACTS = read_fidelity().facts
REASONS = {reason for fact in FACTS for reason in fact.reasons}
SWITCHES = {name for fact in FACTS for name in fact.switch.split(", ") if name}


@pytest.mark.parametrize("reason", [reason for reason in get_args(Reason) if reason])
def test_every_reason_for_a_refusal_is_listed(reason: str) -> None:
    assert reason in REASONS


@pytest.mark.parametrize("name", [f"assumptions.{name}" for name in Assumptions.__struct_fields__])
def test_every_assumption_is_listed_with_its_switch(name: str) -> None:
    assert name in SWITCHES


@pytest.mark.parametrize("name", [f"switches.{name}" for name in Switches.__struct_fields__])
def test_every_switch_is_listed(name: str) -> None:
    assert name in SWITCHES


@pytest.mark.parametrize(
    "number",
    sorted(
        {r.number for module in (errors, user_errors) for r in vars(module).values() if isinstance(r, errors.Refusal)}
    ),
)
def test_every_number_of_entra_is_listed(number: int) -> None:
    assert f"AADSTS{number}" in REASONS


def test_every_reason_of_graph_is_listed() -> None:
    source = (CHECKOUT / "src" / "m365emu" / "graph" / "errors.py").read_text()
    said = set(re.findall(r'reason="(\w+)"', source))
    assert GraphError is not None and said and said <= REASONS


def test_no_fact_names_a_switch_that_is_not_there() -> None:
    known = {
        f"{group}.{name}"
        for group, struct in (("switches", Switches), ("assumptions", Assumptions), ("limits", Limits))
        for name in struct.__struct_fields__
    }
    assert SWITCHES - known == set()


def test_each_fact_is_listed_once_and_topics_stand_together() -> None:
    told = [(fact.topic, fact.what) for fact in FACTS]
    assert len(told) == len(set(told))
    topics = [fact.topic for n, fact in enumerate(FACTS) if not n or FACTS[n - 1].topic != fact.topic]
    assert len(topics) == len(set(topics))


def test_the_page_of_the_documentation_is_made_from_the_list() -> None:
    assert (CHECKOUT / "docs" / "emulator-fidelity.md").read_text() == as_markdown(read_fidelity())


def test_the_command_shows_the_list() -> None:
    command = [sys.executable, "-m", "m365emu", "fidelity"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert len(said.splitlines()) == len(FACTS) + len(read_fidelity().absent)
    assert re.search(r"^certain +Submission: ", said, re.MULTILINE) and "not emulated" in said
