"""The base of every setting, and the types that carry their unit.

Each package owns its part of the configuration as classes derived from `Settings`; ``posthouse.config`` reads TOML into
them. Durations are written as ``"90s"``, ``"15m"``, ``"24h"``, ``"7d"``; sizes as ``"35MiB"``, ``"150MB"`` or octets.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+) ?(B|kB|KiB|MB|MiB|GB|GiB)?")
_OCTETS = {
    "B": 1,
    "kB": 1000,
    "KiB": 1 << 10,
    "MB": 10**6,
    "MiB": 1 << 20,
    "GB": 10**9,
    "GiB": 1 << 30,
    None: 1,
}


class Settings(BaseModel):
    """A frozen group of settings; unknown keys are errors, so that a typing mistake is found."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=False)


def read_duration(value: object) -> timedelta:
    """Read ``"1h30m"``-like text; a timedelta passes unchanged.

    Raises:
        ValueError: Not such a text; the message says what is expected.
    """
    if isinstance(value, timedelta):
        return value
    text = value if isinstance(value, str) else ""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('expected a duration such as "90s", "15m", "24h" or "7d"')
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def show_duration(value: timedelta) -> str:
    """Write a duration as `read_duration` reads it."""
    seconds = value.total_seconds()
    if seconds != int(seconds):
        return f"{round(seconds * 1000)}ms"
    text, left = "", int(seconds)
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_SECONDS[unit]))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def read_size(value: object) -> int:
    """Read octets or text such as ``"35MiB"``.

    Raises:
        ValueError: Not such a value.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected a size such as "256KiB", "35MiB", "150MB" or a number of octets')
    return int(match[1]) * _OCTETS[match[2]]


Duration = Annotated[timedelta, BeforeValidator(read_duration), PlainSerializer(show_duration, return_type=str)]
Size = Annotated[int, BeforeValidator(read_size)]
