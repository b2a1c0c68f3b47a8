"""What is certain and what is not, fact by fact.

Purpose: one data file says how sure each piece of the emulator's behaviour is, and serves the command
`m365emu fidelity`, the web page and the documentation. Shape: `read_fidelity` reads `fidelity.toml`; `as_markdown`
makes the page of the documentation. Failures: none at run time, a test reads the file.
Leaves to others: the behaviour itself.
"""

import tomllib
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct

Flag = Literal["certain", "secondary", "general", "inferred"]

FLAGS: dict[Flag, str] = {
    "certain": "certain",
    "secondary": "secondary source",
    "general": "general knowledge",
    "inferred": "inferred",
}
"""How sure a fact is, in the words that people read."""

_MEANING = {
    "certain": "a Microsoft source, or a recorded dialogue",
    "secondary source": "only other people's reports",
    "general knowledge": "no source was opened; can be switched where it matters",
    "inferred": "follows from certain facts",
}


class Fact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One piece of behaviour.

    Attributes:
        switch: the field of the tenant that changes it, as `assumptions.retired_code`.
        reasons: the keys of `Reply.reason` and the AADSTS numbers that it covers.
    """

    topic: str
    what: str
    flag: Flag
    switch: str = ""
    reasons: tuple[str, ...] = ()


class Fidelity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All facts, and what is not there at all."""

    facts: tuple[Fact, ...]
    absent: tuple[str, ...]


def read_fidelity() -> Fidelity:
    """Read the data file."""
    text = (resources.files("m365emu") / "fidelity.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Fidelity)


def as_markdown(fidelity: Fidelity) -> str:
    """Return the page of the documentation."""
    lines = ["# What m365emu plays, and how sure that is", ""]
    lines += [
        "This page is made from `src/m365emu/fidelity.toml` by `m365emu fidelity --markdown`; the running emulator",
        "shows the same at `/fidelity`. Where nothing settles a behaviour, the last column names the value in",
        "`tenant.toml` that changes it.",
        "",
    ]
    lines += [f"- **{flag}**: {meaning}" for flag, meaning in _MEANING.items()]
    topic = ""
    for fact in fidelity.facts:
        if fact.topic != topic:
            topic = fact.topic
            lines += ["", f"## {topic}", "", "| What is played | How sure | Switch |", "|---|---|---|"]
        switch = ", ".join(f"`{name}`" for name in fact.switch.split(", ")) if fact.switch else ""
        lines.append(f"| {fact.what.replace('|', chr(92) + '|')} | {FLAGS[fact.flag]} | {switch} |")
    lines += ["", "## Not emulated", ""]
    lines += [f"- {line}" for line in fidelity.absent]
    return "\n".join(lines) + "\n"
