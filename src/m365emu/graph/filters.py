"""`$filter` expressions.

Purpose: read and evaluate the conditions that clients look messages and traces up with. Source: OData 4.01 part 2,
5.1.1 (eq, ne, gt, ge, lt, le, and, or, not, contains, startswith, endswith); "Use the $filter query parameter".
Shape: `parse` turns text into a `Condition`, a function from a look-up of properties to true or false; names are
checked against those that the resource has. Length and depth are bounded.
Failures: `GraphError`. Leaves to others: the values (`views`, `traces`).
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from m365emu.graph import errors

Lookup = Callable[[str], object]
"""Gives the value of a property: text, a number, a moment, true, false or `None`."""

Condition = Callable[[Lookup], bool]

_LONGEST = 4_000
_MOST_DEPTH = 20
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<mark>[(),])"
    r"|(?P<moment>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_/]*))"
)
_FRACTION = re.compile(r"\.(\d{6})\d+")
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda value, part: part in value,
    "startswith": lambda value, part: value.startswith(part),
    "endswith": lambda value, part: value.endswith(part),
}
_COMPARISONS: dict[str, Callable[[int], bool]] = {
    "eq": lambda order: order == 0,
    "ne": lambda order: order != 0,
    "gt": lambda order: order > 0,
    "ge": lambda order: order >= 0,
    "lt": lambda order: order < 0,
    "le": lambda order: order <= 0,
}


def parse(text: str, names: Collection[str], type_name: str) -> Condition:
    """Read an expression.

    Args:
        text: as it came.
        names: the properties that may stand in it, paths with a slash.
        type_name: of the resource, for the refusal of other names.

    Raises:
        GraphError: the text is not an expression over these properties.
    """
    if len(text) > _LONGEST:
        raise errors.invalid_query("The query specified in the URI is too long.")
    return _Parser(_tokens(text), {name.lower(): name for name in names}, type_name).whole()


def moment(text: str) -> datetime | None:
    """Read a date or a moment in ISO form, UTC unless it says otherwise; `None` when it is neither."""
    try:
        found = datetime.fromisoformat(_FRACTION.sub(r".\1", text.replace("Z", "+00:00")))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise errors.invalid_query(f"Syntax error at position {place} in '{text[:200]}'.")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        place = match.end()
    return found


class _Parser:
    """Reads by recursive descent; `or` binds weakest."""

    def __init__(self, tokens: list[tuple[str, str]], names: dict[str, str], type_name: str) -> None:
        self._tokens = tokens
        self._names = names
        self._type_name = type_name
        self._place = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._either()
        if self._place < len(self._tokens):
            raise self._error()
        return condition

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._takes("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda lookup: any(part(lookup) for part in parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda lookup: all(part(lookup) for part in parts)

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise self._error()
        try:
            if self._takes("not"):
                inner = self._one()
                return lambda lookup: not inner(lookup)
            if self._takes("("):
                condition = self._either()
                self._expect(")")
                return condition
            return self._function() or self._comparison()
        finally:
            self._depth -= 1

    def _function(self) -> Condition | None:
        following = self._tokens[self._place + 1 : self._place + 2]
        function = _FUNCTIONS.get(self._word())
        if function is None or following != [("mark", "(")]:
            return None
        self._place += 2
        name = self._property()
        self._expect(",")
        part = self._literal()
        self._expect(")")
        if not isinstance(part, str):
            raise self._error()
        wanted = part.lower()
        return lambda lookup: function(str(lookup(name) or "").lower(), wanted)

    def _comparison(self) -> Condition:
        name = self._property()
        holds = _COMPARISONS.get(self._word())
        if holds is None:
            raise self._error()
        self._place += 1
        wanted = self._literal()
        return lambda lookup: _compare(lookup(name), wanted, holds)

    def _property(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise self._error()
        name = self._names.get(text.lower())
        if name is None:
            raise errors.invalid_query(f"Could not find a property named '{text[:100]}' on type '{self._type_name}'.")
        return name

    def _literal(self) -> object:
        kind, text = self._next()
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if kind == "moment" and (found := moment(text)) is not None:
            return found
        if kind == "name" and text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        raise self._error()

    def _next(self) -> tuple[str, str]:
        if self._place >= len(self._tokens):
            raise self._error()
        self._place += 1
        return self._tokens[self._place - 1]

    def _word(self) -> str:
        kind, text = self._tokens[self._place] if self._place < len(self._tokens) else ("", "")
        return text.lower() if kind in ("name", "mark") else ""

    def _takes(self, word: str) -> bool:
        if self._word() != word:
            return False
        self._place += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise self._error()

    def _error(self) -> errors.GraphError:
        return errors.invalid_query("Invalid filter clause: the expression could not be read.")


def _compare(value: object, wanted: object, holds: Callable[[int], bool]) -> bool:
    """Compare two values of the same kind; text without regard to case, as Exchange compares it."""
    if isinstance(wanted, str) and isinstance(value, datetime):
        wanted = moment(wanted)
    if isinstance(value, str) and isinstance(wanted, str):
        return holds(_order(value.lower(), wanted.lower()))
    if isinstance(value, datetime) and isinstance(wanted, datetime):
        return holds(_order(value, wanted))
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return holds(_order(value, wanted))
    return holds(0 if value is None and wanted is None else 1) and holds in (_COMPARISONS["eq"], _COMPARISONS["ne"])


def _order(value: "str | datetime | float", wanted: "str | datetime | float") -> int:
    return (value > wanted) - (value < wanted)  # type: ignore[operator]
