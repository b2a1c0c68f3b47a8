"""Every refusal that the offline Microsoft 365 speaks is in the catalogue, so every refusal in a trace is explained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from m365emu import exchanger_replies, replies, store_replies
from m365emu.hosts import FrontEnd
from m365emu.tenant import Service
from posthouse.microsoft.replies import find

NOW = datetime(2026, 11, 21, 8, 15, 2, tzinfo=UTC)
FRONT = FrontEnd(service=Service(), session_id="08DE00A5C9E01234")
VALUES: dict[str, object] = {"front": FRONT, "now": NOW, "earlier": None}


def values_of(name: str, kind: Any) -> list[object]:
    """What a parameter may be given."""
    if name in VALUES:
        return [VALUES[name]]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return {str: ["someone@contoso.example"], int: [3]}.get(kind, [])


def spoken_by(make: Callable[..., object]) -> Iterator[object]:
    """What a function says, for each way to call it that this test knows."""
    hints = get_type_hints(make)
    names = list(inspect.signature(make).parameters)
    for chosen in product(*(values_of(name, hints[name]) for name in names)):
        given = dict(zip(names, chosen, strict=True))
        yield make(**given)


def refusals() -> Iterator[tuple[str, str]]:
    """Name and octets of each refusal."""
    for module in (replies, store_replies, exchanger_replies):
        for name, spoken in spoken_in(module):
            if isinstance(spoken, replies.Reply) and spoken.code >= 400:
                yield f"{module.__name__}.{name}", spoken.to_bytes().decode()


def spoken_in(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, member in vars(module).items():
        if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_"):
            if get_type_hints(member).get("return") is replies.Reply and name != "one_line":
                yield from ((name, spoken) for spoken in spoken_by(member))
        elif isinstance(member, replies.Reply):
            yield name, member


REFUSALS = list(refusals())


def test_there_are_many() -> None:
    assert len(REFUSALS) > 70


@pytest.mark.parametrize(("name", "text"), REFUSALS, ids=[f"{name} {text[:20]}" for name, text in REFUSALS])
def test_a_refusal_of_the_emulator_is_known(name: str, text: str) -> None:
    assert find(text) is not None, text
