"""Scenarios: an organisation in trouble, a time line, and how it must end.

Purpose: play an incident again, the same each time. Shape: a TOML file with `title`, `description`, `tenant` (a merge
patch), `load` (what a sender is to send), `[[at]]` (orders after a while) and `expect` (counts). `$domain`,
`$client_id` and `$public_client_id` stand for the tenant's first domain, its first application and its first public
one, in keys and values. `findings` compares what is there with what is expected.
Failures: `ScenarioError` says which file and what is wrong. Leaves to others: carrying orders out (`web.control`).
"""

import re
import tomllib
from collections.abc import Callable
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.mailbox import EXTERNAL, MessageStore
from m365emu.tenant import Tenant
from m365emu.web.orders import Order, OrderFault

REPORT = "report"
"""How a report about mail that failed says it came."""

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"(?:\d{1,6}[dhms] ?){1,4}")
_PLACEHOLDER = re.compile(r"\$(domain|client_id|public_client_id)\b")


class ScenarioError(Exception):
    """A scenario cannot be played; the text says which and why."""


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A count that lies within bounds, both included."""

    min: int = 0
    max: int | None = None


class Load(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sender is to hand in while the scenario plays: a test reads it, the emulator does not act on it.

    `senders` are the addresses in From, `recipients` the envelope recipients, each taken in turn; `over` is the time
    over which the messages are spread, nothing meaning all at once.
    """

    messages: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    devices: Annotated[int, Meta(ge=1, le=100_000)] = 1
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    recipients_per_message: Annotated[int, Meta(ge=1, le=1_000)] = 1
    octets: Annotated[int, Meta(ge=0, le=157_286_400)] = 2_000
    over: str = "0s"
    way: str = "submission"


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Orders to carry out once so much time has passed since the start."""

    after: str
    do: tuple[Order, ...]


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it must end.

    `delivered` counts pairs of Message-ID and recipient, `duplicates` those that came again. `folders` counts messages
    by folder, `refused` SMTP refusals by reason, `tokens` answers of the token endpoint (`issued`, `AADSTS...`);
    `statistics` takes any key of the statistics, in a dotted path.
    """

    delivered: int | Bounds | None = None
    duplicates: int | Bounds | None = None
    folders: dict[str, int | Bounds] = field(default_factory=dict)
    refused: dict[str, int | Bounds] = field(default_factory=dict)
    tokens: dict[str, int | Bounds] = field(default_factory=dict)
    statistics: dict[str, int | Bounds] = field(default_factory=dict)


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario, made for one tenant."""

    title: str
    description: str
    seed: int = 1
    tenant: dict[str, Any] = field(default_factory=dict)
    load: Load = field(default_factory=Load)
    at: tuple[Step, ...] = ()
    expect: Expect = field(default_factory=Expect)


class Finding(Struct, frozen=True, kw_only=True):
    """One expectation beside what is there."""

    what: str
    expected: str
    found: int
    met: bool


def scenario_names() -> list[str]:
    """Return the names of the scenarios that come with the emulator."""
    folder = resources.files("m365emu") / "scenarios"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def scenario_title(name: str) -> str:
    """Return the title of a scenario that comes with the emulator."""
    return str(tomllib.loads(_packaged(name))["title"])


def _packaged(name: str) -> str:
    return (resources.files("m365emu") / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")


def read_scenario(name: str, tenant: Tenant, seed: int | None = None) -> Scenario:
    """Read a scenario by its name or from a file, for a tenant; `seed` takes the place of its own.

    Raises:
        ScenarioError: there is none of this name, or it cannot be used.
    """
    if name in scenario_names():
        text = _packaged(name)
    else:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise ScenarioError(f"{name}: neither a scenario's name nor a file that can be read") from error
    try:
        scenario = msgspec.convert(_filled(tomllib.loads(text), _values(tenant)), Scenario)
        for step in scenario.at:
            read_duration(step.after)
        return seeded(scenario, scenario.seed if seed is None else seed)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
        raise ScenarioError(f"{name}: {error}") from error


def seeded(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with this seed for every fault that asks for odds and names none."""
    steps = tuple(
        msgspec.structs.replace(step, do=tuple(_with_seed(order, seed + n) for n, order in enumerate(step.do)))
        for step in scenario.at
    )
    return msgspec.structs.replace(scenario, seed=seed, at=steps)


def _with_seed(order: Order, seed: int) -> Order:
    if isinstance(order, OrderFault) and order.odds is not None and order.seed is None:
        return msgspec.structs.replace(order, seed=seed)
    return order


def read_duration(text: str) -> timedelta:
    """Read `90s`, `5m`, `2h`, `30d` or several of them; raises `ValueError`."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"`{text}` is not a duration such as 90s, 5m, 2h or 1d 12h")
    parts = re.findall(r"(\d+)([dhms])", text)
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


def start_time_line(scenario: Scenario, clock: Clock, carry_out: Callable[[Order], object]) -> None:
    """Set timers for the scenario's orders; what is due at once is done at once. Raises `ValueError`."""
    start = clock.now()
    for step in scenario.at:
        wait = read_duration(step.after)
        if wait:
            clock.call_at(start + wait, lambda orders=step.do: _carry_out_all(orders, carry_out))  # type: ignore[misc]
        else:
            _carry_out_all(step.do, carry_out)


def _carry_out_all(orders: tuple[Order, ...], carry_out: Callable[[Order], object]) -> None:
    for order in orders:
        carry_out(order)


def findings(expect: Expect, store: MessageStore, directory: Directory, report: dict[str, Any]) -> list[Finding]:
    """Compare what is there with what is expected.

    Args:
        report: the statistics as `Control.report` gives them.
    """
    pairs = _delivered(store, directory)
    distinct = len(set(pairs))
    counts = store.count()
    found = []
    if expect.delivered is not None:
        found.append(_finding("delivered", expect.delivered, distinct))
    if expect.duplicates is not None:
        found.append(_finding("duplicates", expect.duplicates, len(pairs) - distinct))
    found += [_finding(f"folder {name}", bounds, counts[name]) for name, bounds in expect.folders.items()]
    for title, key, wanted in (
        ("refused", "refused", expect.refused),
        ("token endpoint", "tokens", expect.tokens),
    ):
        table = report.get(key, {})
        found += [_finding(f"{title} {name}", bounds, int(table.get(name, 0))) for name, bounds in wanted.items()]
    found += [_finding(path, bounds, _at(report, path)) for path, bounds in expect.statistics.items()]
    return found


def _delivered(store: MessageStore, directory: Directory) -> list[tuple[str, str]]:
    """Return Message-ID and recipient of all that reached somebody; reports (with the null sender) do not count."""
    return [
        (record.message_id, to.lower())
        for record in store.messages()
        if record.authentication != REPORT and record.envelope_from
        for to in record.envelope_to
        if (directory.resolve(to) or EXTERNAL) in record.folders
    ]


def _finding(what: str, bounds: int | Bounds, found: int) -> Finding:
    if isinstance(bounds, int):
        return Finding(what=what, expected=str(bounds), found=found, met=found == bounds)
    top = bounds.max
    expected = f"{bounds.min} or more" if top is None else f"{bounds.min} to {top}"
    return Finding(what=what, expected=expected, found=found, met=bounds.min <= found and (top is None or found <= top))


def _at(report: dict[str, Any], path: str) -> int:
    """Return the number at a dotted path; what is not there is 0, and of a table the sum counts.

    A key may hold dots itself: the longest one that is there is taken.
    """
    value: Any = report
    words = path.split(".")
    while words:
        table = value if isinstance(value, dict) else {}
        length = next((n for n in range(len(words), 0, -1) if ".".join(words[:n]) in table), 0)
        if not length:
            return 0
        value, words = table[".".join(words[:length])], words[length:]
    return sum(value.values()) if isinstance(value, dict) else int(value)


def _values(tenant: Tenant) -> dict[str, str]:
    public = [client_id for client_id, application in tenant.applications.items() if application.public_client]
    values = {"domain": tenant.domains[0]}
    if tenant.applications:
        values["client_id"] = next(iter(tenant.applications))
    if public:
        values["public_client_id"] = public[0]
    return values


def _filled(document: Any, values: dict[str, str]) -> Any:
    """Put the tenant's own names where placeholders stand; raises `ValueError` for one it has no name for."""
    if isinstance(document, dict):
        return {_filled(key, values): _filled(value, values) for key, value in document.items()}
    if isinstance(document, list):
        return [_filled(value, values) for value in document]
    if isinstance(document, str):
        return _PLACEHOLDER.sub(lambda match: _value(match[1], values), document)
    return document


def _value(name: str, values: dict[str, str]) -> str:
    if name not in values:
        raise ValueError(f"the tenant has nothing that ${name} could stand for")
    return values[name]
