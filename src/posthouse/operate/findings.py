"""Validation errors of a settings class as problems that people can mend.

Purpose: each error names file, line, key, what was found and what was expected, and a hint where one is known.
Shape: `find_problems` validates and translates; values that may be secrets are never repeated.
Failures: none; errors are values.
Leaves to others: reading files and what two settings mean together (``posthouse.config``).
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from posthouse.operate.fields import Place, choice, describe, field_at, holds_secret, known_keys, models_in
from posthouse.operate.problem import Problem
from posthouse.operate.toml_lines import Path as TomlPath
from posthouse.operate.toml_lines import find_line

SettingsT = TypeVar("SettingsT", bound=BaseModel)

_SECRET_NAME = re.compile(r"(?i)pass(word|wd|phrase)?|secret|token|credential|api_?key|private")
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Document:
    """One file that was read: its name, its data and the lines of its keys."""

    name: str
    data: Mapping[str, object]
    lines: Mapping[TomlPath, int]

    def problem(self, place: Place, **fields: str | None) -> Problem:
        """An error at a place of this file."""
        return Problem(file=self.name, line=find_line(dict(self.lines), place), key=show_place(place), **fields)  # type: ignore[arg-type]


def show_place(place: Place) -> str:
    """``outbound[0].port``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text


def find_problems(root: type[SettingsT], document: Document) -> SettingsT | list[Problem]:
    """Validate a document.

    Returns:
        The settings, or every problem, in the order of the file, one for each place.
    """
    try:
        return root.model_validate(document.data)
    except ValidationError as error:
        found: dict[tuple[Place, bool], Problem] = {}
        for detail in error.errors(include_url=False, include_context=True):
            place = _real_place(detail, document.data)
            if detail["type"] == "too_short" and detail["input"]:
                continue  # Its items are wrong, each with its own error.
            problem = _translate(root, document, detail, place)
            found.setdefault((place, bool(problem.message)), problem)
        return sorted(found.values(), key=lambda problem: problem.line or 0)


def _real_place(detail: ErrorDetails, data: object) -> Place:
    """Leave out of a location what is not in the file: names of union members and of kinds."""
    place: list[str | int] = []
    location = detail["loc"]
    for position, step in enumerate(location):
        if (
            position
            and isinstance(location[position - 1], int)
            and isinstance(data, Mapping)
            and data.get("kind") == step
        ):
            continue  # The kind of the table, which may be the name of one of its keys too.
        inside = (isinstance(data, Mapping) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        )
        if inside:
            data = data[step]  # type: ignore[index]
            place.append(step)
        elif position == len(location) - 1 and detail["type"] == "missing":
            place.append(step)
    return tuple(place)


def _translate(root: type[BaseModel], document: Document, detail: ErrorDetails, place: Place) -> Problem:
    kind, data = detail["type"], document.data
    if kind == "extra_forbidden":
        return _unknown_key(root, document, place)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _unknown_kind(document, detail, place)
    field = field_at(root, place, data)
    is_whole_table = field is None or (isinstance(place[-1], int) and isinstance(detail["input"], Mapping | BaseModel))
    if kind == "value_error" and (is_whole_table or not place):
        return document.problem(place, message=str(detail["ctx"]["error"]))
    if field is None:
        return document.problem(place, message=detail["msg"])
    expected = _expected(field, place)
    if kind == "missing":
        return document.problem(place, message="missing", expected=expected)
    if kind == "too_short":
        return document.problem(place, found="an empty list", expected="at least one item")
    found = None if holds_secret(field) or _is_secret(place) else show_value(detail["input"])
    return document.problem(place, found=found, expected=expected, hint=_hint(expected, detail["input"]))


def _expected(field: FieldInfo, place: Place) -> str:
    words = describe(field)
    if isinstance(place[-1], int):
        return words.removeprefix("a list, each item ")
    if models_in(field.annotation):
        title = ".".join(str(step) for step in place if isinstance(step, str))
        return (
            f"tables with the title [[{title}]]" if words.startswith("a list") else f"a table with the title [{title}]"
        )
    return words


def _hint(expected: str, value: object) -> str:
    if expected.startswith("a reference"):
        return "keep the secret in the environment, in a file, or in the store with `posthouse secret set NAME`"
    if not isinstance(value, str) or len(value) > _MAX_SHOWN:
        return ""
    if expected.startswith('"'):
        near = difflib.get_close_matches(value, re.findall(r'"([^"]+)"', expected), n=1)
        return f'did you mean "{near[0]}"?' if near else ""
    if expected.startswith("a list"):
        return f'write it in brackets: ["{value}"]'
    if expected.startswith("a network"):
        with contextlib.suppress(ValueError):
            return f'did you mean "{ip_network(value, strict=False)}"?'
    return ""


def _unknown_key(root: type[BaseModel], document: Document, place: Place) -> Problem:
    known = known_keys(root, place[:-1], document.data)
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(known)}"
    return document.problem(place, message="unknown key", hint=hint)


def _unknown_kind(document: Document, detail: ErrorDetails, place: Place) -> Problem:
    kinds = re.findall(r"'([a-z_0-9]+)'", str(detail.get("ctx", {}).get("expected_tags", ""))) or [
        "smarthost",
        "mx",
        "submission",
    ]
    expected = choice([f'"{kind}"' for kind in kinds])
    if detail["type"] == "union_tag_not_found":
        return document.problem((*place, "kind"), message="missing", expected=expected)
    value = detail["input"]
    found = value.get("kind") if isinstance(value, Mapping) else None
    near = difflib.get_close_matches(str(found), kinds, n=1)
    hint = f'did you mean "{near[0]}"?' if near else ""
    return document.problem((*place, "kind"), found=show_value(found), expected=expected, hint=hint)


def _is_secret(place: Place) -> bool:
    return any(isinstance(step, str) and _SECRET_NAME.search(step) for step in place)


def show_value(value: object) -> str:
    """A value as an error message may repeat it: short, and without the password of a URL."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = re.sub(r"([^/@:\s]*):[^@\s]*@", r"\1:***@", value)
            return f'"{text[:_MAX_SHOWN]}..."' if len(text) > _MAX_SHOWN else f'"{text}"'
        case int() | float():
            return str(value)
        case list() | tuple():
            return "a list" if value else "an empty list"
        case Mapping():
            return "a table"
        case None:
            return "nothing"
        case _:
            return f"a {type(value).__name__}"
