"""One request and its answer, free of HTTP.

Purpose: let handlers, and a batch of requests, work on plain values. Source: "Use the Microsoft Graph API" (URL
syntax), OData 4.01 4.3 (keys in parentheses). Shape: `Call` and `Answer` are values; `segments` takes a path apart;
`json_body` reads a body whose property names are matched without regard to the case of their first letter, as
Graph does. Failures: `GraphError`. Leaves to others: sockets (`service`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from m365emu.graph import errors

_MOST_SEGMENTS = 20
_MOST_DEPTH = 16
_KEY = re.compile(r"([A-Za-z]+)\(([^()]*)\)")
_QUOTED = re.compile(r"(?:([A-Za-z]+)=)?'(.*)'")

Read = Callable[[int], Awaitable[bytes]]
"""Reads a body of at most so many octets; raises `GraphError` when there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request.

    Attributes:
        path: the segments after the version, decoded, with OData keys as segments of their own.
        query: the query options, names in lower case.
        headers: names in lower case.
        read: reads the body.
        root: the URL up to and with the version.
        params: what the route's placeholders stand for.
        request_id: also the id of the session that a message is kept with.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    read: Read
    root: str
    request_id: str
    client: str = ""
    tls_version: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """The media type of the body, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.root.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes back: a JSON value, octets, a file's content, or nothing."""

    status: int = 200
    json: object = None
    octets: bytes | None = None
    file: Path | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def segments(raw_path: str) -> tuple[str, ...]:
    """Take a percent-encoded path apart: `users('a')/messages` is `users`, `a`, `messages`."""
    found: list[str] = []
    for raw in raw_path.split("/")[: _MOST_SEGMENTS + 1]:
        if raw:
            found.extend(_keys(unquote(raw)))
    return tuple(found[:_MOST_SEGMENTS])


def _keys(segment: str) -> list[str]:
    match = _KEY.fullmatch(segment)
    if match is None:
        return [segment]
    quoted = _QUOTED.fullmatch(match[2])
    if quoted is None:
        return [match[1], match[2]]
    value = quoted[2].replace("''", "'")
    return [match[1], f"{quoted[1]}={value}" if quoted[1] else value]


async def json_body(call: Call, limit: int) -> dict[str, Any]:
    """Read a JSON object; raises `GraphError` for anything else."""
    octets = await call.read(limit)
    try:
        value = canonical(msgspec.json.decode(octets))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.unreadable_body("Unable to read JSON request payload.") from error
    if not isinstance(value, dict):
        raise errors.unreadable_body("The request payload must be a JSON object.")
    return value


def canonical(value: Any, depth: int = 0) -> Any:
    """Return the value with every property name beginning with a small letter; bounded in depth."""
    if depth > _MOST_DEPTH:
        raise errors.unreadable_body("The depth limit for entries in nested expanded navigation links was reached.")
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: canonical(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [canonical(inner, depth + 1) for inner in value]
    return value
