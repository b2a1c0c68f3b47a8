"""What a setting may hold, in words: for the reference and for error messages.

Shape: `describe` turns a field of a settings class into "a whole number from 1 to 65535"; `field_at` finds the field
that a path such as ``("outbound", 0, "port")`` means; `known_keys` lists what may stand at a place.
Failures: none; a place that no settings class knows gives None or nothing.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posthouse.decide import patterns
from posthouse.mail.settings import Settings, read_size, show_duration
from posthouse.receive.settings import HostPort

Place = tuple[str | int, ...]

_WORDED = {
    patterns.Domain: 'a domain name such as "example.com"',
    patterns.RecipientPattern: 'a domain, "*.domain", an address, "accepted" or "*"',
    patterns.SenderPattern: 'an address, "@domain", "@*.domain" or "*"',
    patterns.SecretReference: 'a reference: "env:NAME", "file:PATH" or "secret:NAME"',
    patterns.Mailbox: 'the address of a mailbox, such as "relay@example.com"',
    patterns.Name: "a name of lower-case letters, digits, dots, underscores and hyphens, 60 at most",
    HostPort: '"host:port", for instance "0.0.0.0:25", "[::]:587" or "127.0.0.1:2525"',
    bool: "true or false",
    str: "text in quotes",
    Path: "the path of a file or directory",
    timedelta: 'a duration such as "90s", "15m", "24h" or "7d"',
}
_SIZE = 'a size such as "256KiB", "35MiB", "150MB" or a number of octets'
_NETWORK = 'a network such as "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"'


def describe(field: FieldInfo) -> str:
    """What the field takes, as the end of "expected ..."."""
    for marker in field.metadata:
        for annotated, words in _WORDED.items():
            if marker in getattr(annotated, "__metadata__", ()):
                return words
        if getattr(marker, "func", None) is read_size:
            return _SIZE
        if getattr(marker, "pattern", None):
            return "a short name of lower-case letters, digits, underscores and hyphens"
    if field.annotation is int or set(get_args(field.annotation)) == {int, type(None)}:
        return _number(field)
    return _words_of(field.annotation)


def _number(field: FieldInfo) -> str:
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    if low is not None and high is not None:
        return f"a whole number from {low} to {high}"
    return f"a whole number, {low} or more" if low is not None else "a whole number"


def _words_of(annotation: Any) -> str:
    if annotation in _WORDED:
        return _WORDED[annotation]
    if annotation is int:
        return "a whole number"
    metadata = getattr(annotation, "__metadata__", None)
    if metadata is not None:
        return describe(FieldInfo.from_annotation(annotation))
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return choice([f'"{argument}"' for argument in arguments])
    if get_origin(annotation) is tuple:
        inner = _words_of(arguments[0])
        return f"a list, each item {inner}"
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [argument for argument in arguments if argument is not type(None)]
        return _NETWORK if IPv4Network in rest else _words_of(rest[0])
    return "a table"


def choice(options: list[str]) -> str:
    """``"a", "b" or "c"``."""
    return " or ".join(filter(None, (", ".join(options[:-1]), options[-1]))) if options else "nothing"


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Settings classes that a field holds, directly, in a list or in a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def models_at(root: type[BaseModel], place: Place, data: object) -> list[type[BaseModel]]:
    """Settings classes that may stand at a place; `data` chooses among kinds by their ``kind`` key."""
    models = [root]
    for step in place:
        if isinstance(step, int):
            data = data[step] if isinstance(data, list) and step < len(data) else None
        else:
            fields = [model.model_fields[step] for model in models if step in model.model_fields]
            models = [found for field in fields for found in models_in(field.annotation)]
            data = data.get(step) if isinstance(data, Mapping) else None
        if isinstance(data, Mapping) and len(models) > 1:
            models = [m for m in models if _kind_of(m) == data.get("kind")] or models
    return models


def _kind_of(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return field.default if field is not None else None


def field_at(root: type[BaseModel], place: Place, data: object) -> FieldInfo | None:
    """The field that a path means, list indexes at its end left aside."""
    names = place
    while names and isinstance(names[-1], int):
        names = names[:-1]
    if not names:
        return None
    for model in models_at(root, names[:-1], data):
        if (field := model.model_fields.get(str(names[-1]))) is not None:
            return field
    return None


def known_keys(root: type[BaseModel], place: Place, data: object) -> list[str]:
    """Keys that may stand in the table at a place."""
    keys = {name for model in models_at(root, place, data) for name in model.model_fields}
    return sorted(keys)


def holds_secret(field: FieldInfo) -> bool:
    """Whether the field is a reference to a secret."""
    wanted = patterns.SecretReference.__metadata__[0]  # type: ignore[attr-defined]
    return wanted in field.metadata or any(
        wanted in getattr(argument, "__metadata__", ()) for argument in get_args(field.annotation)
    )


def show_default(field: FieldInfo) -> str:
    """The default as it would be written in TOML, or "required" or "none"."""
    if field.is_required() or _chooses(field.annotation):
        return "required"
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else _toml(value)


def _chooses(annotation: object) -> bool:
    """Whether the field is what tells one kind of table from another: it has one value, and must be written."""
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case timedelta():
            return f'"{show_duration(value)}"'
        case tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case Settings():
            inner = ", ".join(f"{name} = {_toml(getattr(value, name))}" for name in type(value).model_fields)
            return f"{{ {inner} }}"
        case int():
            return str(value)
        case _:
            return f'"{value}"'


def tables(root: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel], bool]]:
    """Every table below a settings class: its TOML path, its class, whether it is a list of tables."""
    for name, field in root.model_fields.items():
        for model in models_in(field.annotation):
            here = f"{path}.{name}" if path else name
            yield here, model, get_origin(field.annotation) is tuple
            yield from tables(model, here)
