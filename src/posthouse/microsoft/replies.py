"""What Microsoft 365 means by its replies: a catalogue, and a look-up that decides on the sentence.

Source: each entry names its own; the entries stand in TOML files in the folder ``catalogue``.
Shape: `catalogue` gives all entries; `find` gives the first that fits a text; `entry_named` gives one by its id. The
files are read when they are needed for the first time.
Failures: `find` gives None for what is not known; it never guesses. A broken file is a fault of the package and raises.
Leaves to others: cutting frames off (``microsoft.statement``), what follows from it (``deliver.classify``), words of a
status code in general (``wire.status``).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

from posthouse.mail.outcome import Scope
from posthouse.microsoft.statement import Statement, flatten, statements

FILES = (
    "authentication",
    "limits",
    "store",
    "connectors",
    "reputation",
    "recipients",
    "content",
    "onward",
    "system",
    "protocol",
    "entra_application",
    "entra_sign_in",
    "graph",
)
"""In the order in which they are searched: what is more specific stands first."""
MIN_NEEDLE = 4


class Actor(StrEnum):
    """Who must act."""

    DEVICE_OWNER = "device_owner"
    MAIL_ADMIN = "mail_admin"
    ENTRA_ADMIN = "entra_admin"
    RECIPIENT_ADMIN = "recipient_admin"
    MICROSOFT = "microsoft"
    NOBODY = "nobody"

    @property
    def words(self) -> str:
        """For people."""
        return _ACTOR_WORDS[self]


_ACTOR_WORDS = {
    Actor.DEVICE_OWNER: "the sender, or the owner of the device or program",
    Actor.MAIL_ADMIN: "the Exchange administrator of your organisation",
    Actor.ENTRA_ADMIN: "the Entra administrator of your organisation",
    Actor.RECIPIENT_ADMIN: "the recipient, or their administrator",
    Actor.MICROSOFT: "Microsoft",
    Actor.NOBODY: "nobody; it passes by itself",
}


class Evidence(StrEnum):
    """How sure we are of the text and its meaning."""

    CERTAIN = "certain"
    SECONDARY = "secondary"
    GENERAL = "general knowledge"
    INFERRED = "inferred"

    @property
    def words(self) -> str:
        """For people."""
        return _EVIDENCE_WORDS[self]


_EVIDENCE_WORDS = {
    Evidence.CERTAIN: "certain (documented by Microsoft, or seen on the wire)",
    Evidence.SECONDARY: "likely (told by others, not by Microsoft)",
    Evidence.GENERAL: "general knowledge (no source at hand)",
    Evidence.INFERRED: "inferred from what is documented",
}


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a relay does about it.

    Attributes:
        outcome: ``unknown`` means that the message may have been sent all the same.
        scope: How far a deferral reaches.
        after_minutes: Not before; 0 leaves it to the schedule of the queue.
        needs_operator: Trying again does harm or is in vain until a person has acted.
        elsewhere: Another connector or method may succeed at once.
    """

    outcome: Literal["temporary", "permanent", "unknown"]
    scope: Scope = Scope.MESSAGE
    after_minutes: int = 0
    needs_operator: bool = False
    elsewhere: bool = False

    @property
    def after(self) -> timedelta | None:
        """Least time to wait."""
        return timedelta(minutes=self.after_minutes) if self.after_minutes else None


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reply, error code or family of them.

    Attributes:
        id: Stable name.
        title: What happened, in a few words.
        text: Regular expressions for the sentence; case does not count, one of them is enough. Alternatives stand in
            groups, so that the longest plain run of each must occur in any text that fits.
        codes, enhanced: The statement must bear one of them, if it bears any. Enhanced codes may end in a range.
        strict: The statement must bear codes: the sentence alone is too common.
        gives_way: It wraps another error; a further statement of the text that is known counts instead.
        meaning, cause, remedy: Sentences.
        who: Who must act.
        portal: Where in the web portals.
        powershell: Commands, ready to type but for names.
        retry: What a relay does.
        evidence: How sure it is.
        source: Where it is documented or was seen.
        example: The whole reply as it comes.
    """

    id: str
    title: str
    text: tuple[str, ...]
    meaning: str
    who: Actor
    retry: Retry
    evidence: Evidence
    source: str
    example: str
    cause: str = ""
    remedy: str = ""
    codes: tuple[int, ...] = ()
    enhanced: tuple[str, ...] = ()
    strict: bool = False
    gives_way: bool = False
    portal: str = ""
    powershell: tuple[str, ...] = ()


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    reply: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """What a text means, and the statement that tells it."""

    entry: Entry
    statement: Statement


def find(text: str) -> Match | None:
    """What one reply means.

    Args:
        text: A reply with its codes; frames, wraps and suffixes around it do not matter.
    """
    return find_statement(statements(text)) or _find_whole(text)


def find_statement(found: tuple[Statement, ...]) -> Match | None:
    """The first statement that is known; one that only wraps another error counts last."""
    wrapper: Match | None = None
    for statement in found:
        match = _match(statement)
        if match is None:
            continue
        if not match.entry.gives_way:
            return match
        wrapper = wrapper or match
    return wrapper


def entry_named(name: str) -> Entry | None:
    """An entry by its id."""
    return _by_id().get(name)


@cache
def catalogue() -> tuple[Entry, ...]:
    """All entries, in the order in which they are searched."""
    folder = files("posthouse.microsoft").joinpath("catalogue")
    entries: list[Entry] = []
    for name in FILES:
        data = tomllib.loads(folder.joinpath(f"{name}.toml").read_text("utf-8"))
        entries += msgspec.convert(data, _Document).reply
    return tuple(entries)


def enhanced_fits(wanted: str, enhanced: str) -> bool:
    """Whether an enhanced code is the wanted one; the last part of `wanted` may be a range, ``5.7.606-649``."""
    head, _, last = wanted.rpartition(".")
    low, dash, high = last.partition("-")
    if not dash:
        return enhanced == wanted
    found_head, _, found = enhanced.rpartition(".")
    return found_head == head and found.isdigit() and int(low) <= int(found) <= int(high)


def plain_run(pattern: str) -> str:
    """The longest run of plain characters that every text fitting the pattern holds, in lower case.

    Empty where none of `MIN_NEEDLE` characters can be told: then the pattern is always tried.

    Raises:
        ValueError: An alternative stands outside a group.
    """
    rest, before = pattern, ""
    while rest != before:
        before, rest = rest, re.sub(r"\([^()]*\)[?*+]?", "\0", rest)
    if "|" in rest:
        raise ValueError(f"an alternative stands outside a group: {pattern}")
    rest = re.sub(r"\[[^\]]*\]|\\.|.[?*]|.?\{[^}]*\}|[\^$.+]", "\0", rest)
    longest = max(rest.split("\0"), key=len).lower()
    return longest if len(longest) >= MIN_NEEDLE else ""


@cache
def _by_id() -> dict[str, Entry]:
    return {entry.id: entry for entry in catalogue()}


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], Entry], ...]:
    """Every pattern made ready, behind a plain run that must occur."""
    return tuple(
        (plain_run(text), re.compile(text, re.IGNORECASE), entry) for entry in catalogue() for text in entry.text
    )


def _match(statement: Statement) -> Match | None:
    lowered = statement.text.lower()
    for needle, pattern, entry in _patterns():
        if needle in lowered and _codes_fit(entry, statement) and pattern.search(statement.text) is not None:
            return Match(entry, statement)
    return None


def _codes_fit(entry: Entry, statement: Statement) -> bool:
    if entry.codes and statement.code not in entry.codes and (statement.code or (entry.strict and not entry.enhanced)):
        return False
    if entry.enhanced and (statement.enhanced or entry.strict):
        return any(enhanced_fits(wanted, statement.enhanced) for wanted in entry.enhanced)
    return True


def _find_whole(text: str) -> Match | None:
    """A sentence may hold something that looks like a code; texts that need no code are then sought in all of it."""
    statement = Statement(None, "", flatten(text))
    lowered = statement.text.lower()
    for needle, pattern, entry in _patterns():
        if needle in lowered and not entry.codes and not entry.enhanced and pattern.search(statement.text):
            return Match(entry, statement)
    return None
