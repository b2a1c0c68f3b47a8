"""What an operator types in a search, as ranges and patterns that the indexes understand.

Shape: a full address or ``@domain`` is a range of keys (``domain@local``, see ``rows``); an address with ``*`` is a
LIKE pattern over the address as people write it, and a range where its domain is literal; a subject is a GLOB pattern
that ignores case beyond ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass

_LAST = chr(0x10FFFF)
"""Sorts after every key that begins alike."""
_LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class AddressPattern:
    """An address condition of the trace search.

    Attributes:
        low, high: Range of keys that holds all matches, or None where there is no such range.
        like: Pattern over ``local@domain`` that all matches fulfil, or None where the range says it all.
    """

    low: str | None
    high: str | None
    like: str | None


def key_range(text: str | None) -> tuple[str | None, str | None]:
    """First and last key of a full address, of ``@domain``, or of the null sender (empty or ``<>``)."""
    if text is None:
        return None, None
    text = text.strip().removeprefix("<").removesuffix(">")
    local, at, domain = text.rpartition("@")
    if at and not local:
        return f"{domain.lower()}@", f"{domain.lower()}@{_LAST}"
    if not at:
        return (f"@{text}", f"@{text}") if text else ("", "")
    key = f"{domain.lower()}@{local}"
    return key, key


def read_address(text: str) -> AddressPattern:
    """Read a full address, ``@domain``, or an address with ``*``."""
    if "*" not in text:
        low, high = key_range(text)
        return AddressPattern(low, high, None)
    like = escape_like(text).replace("*", "%")
    domain = text.rpartition("@")[2]
    if "@" not in text or "*" in domain:
        return AddressPattern(None, None, "%" + like if text.startswith("@") else like)
    low, high = key_range("@" + domain)
    return AddressPattern(low, high, like)


def escape_like(text: str) -> str:
    r"""Take the meaning of ``%`` and ``_`` away; the statement says ``ESCAPE '\'``."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def subject_glob(text: str) -> str:
    """A GLOB pattern that finds the text in any case; SQLite's LIKE knows the cases of ASCII only."""
    return "*" + "".join(map(_any_case, text[:_LONGEST_SUBJECT])) + "*"


def _any_case(character: str) -> str:
    if character in "*?[":
        return f"[{character}]"
    cases = {character, character.lower(), character.upper()}
    single = sorted(case for case in cases if len(case) == 1)
    return f"[{''.join(single)}]" if len(single) > 1 else character
