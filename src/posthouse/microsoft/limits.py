"""Limits that Microsoft 365 sets for mail that is handed to it.

Source: ``limits.toml`` beside this module, where each number stands with its source, date and certainty.
Shape: `published(method)` gives the limits of one way to send, `external_recipients_per_day` the tenant's formula.
Failures: none; the file is part of the package and a test reads all of it.
Leaves to others: what the operator set instead (``decide.ways``), counting (``queue.budget``).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Method = Literal["submission", "hve", "acs_custom", "acs_managed", "graph", "relay", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One published number.

    Attributes:
        per: What it counts for: mailbox, message, app and mailbox.
        certainty: ``certain``, ``secondary`` or ``assumed``.
    """

    method: str
    name: str
    value: int
    per: str
    source: str
    date: str
    certainty: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodLimits:
    """What counts for one way to send; None means that no limit is known.

    Attributes:
        connections: At the same time, for one mailbox.
        messages_per_minute, messages_per_hour: For one mailbox, in windows that slide.
        requests_per_ten_minutes: For one application and mailbox (Graph).
        recipients_per_day: For one mailbox, in any 24 hours.
        recipients_per_message: In one transaction.
        message_octets: Of the message as it is transferred, attachments in base64.
    """

    connections: int | None = None
    messages_per_minute: int | None = None
    messages_per_hour: int | None = None
    requests_per_ten_minutes: int | None = None
    recipients_per_day: int | None = None
    recipients_per_message: int | None = None
    message_octets: int | None = None


def published(method: Method) -> MethodLimits:
    """The published limits of a way to send."""
    return MethodLimits(**{name: entry["value"] for name, entry in _data()[method].items()})


def external_recipients_per_day(licences: int | None, *, is_trial: bool = False) -> int | None:
    """The tenant's limit of external recipients in 24 hours (TERRL); None where the licences are not known.

    Args:
        licences: Email licences that are no trial.
    """
    formula = _data()["tenant"]
    if is_trial:
        return int(formula["trial"])
    if licences is None:
        return None
    power, factor, base = float(formula["power"]), float(formula["factor"]), float(formula["base"])
    return round(factor * math.pow(licences, power) + base)


def all_limits() -> Iterator[Limit]:
    """Every published number, for people to see."""
    for method, entries in _data().items():
        if method != "tenant":
            for name, entry in entries.items():
                yield Limit(method=method, name=name, **{**entry, "date": str(entry["date"])})


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(files("posthouse.microsoft").joinpath("limits.toml").read_text(encoding="utf-8"))
