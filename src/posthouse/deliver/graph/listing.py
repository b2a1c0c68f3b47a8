"""What a Graph query found, or why it found nothing out.

Source: "Use the $filter query parameter", "Paging Microsoft Graph data in your app"; OData 4.01 part 2, 5.1.1.6.1
(quotes in literals are doubled).
Shape: `ask_for` asks for a list and gives `Rows`, `Denied` where a right is missing, or `Trouble` that may pass.
Failures: values. Pages after the first few are left out.
Leaves to others: what is asked, and what follows (``verify``, ``returns``, ``microsoft_half``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from posthouse.deliver.graph.client import Answer, GraphClient, NoAnswer, NoToken, Request
from posthouse.deliver.graph.errors import read_error

MAX_PAGES = 5
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What was found."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """The identity may not look there; `reason` has Graph's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer, or none that helps; later there may be one."""

    reason: str


Listing = Rows | Denied | Trouble


async def ask_for(client: GraphClient, path: str, **options: str) -> Listing:
    """Ask for a list.

    Args:
        path: Below the version, already quoted.
        options: Query options without their ``$``.
    """
    query = urlencode({f"${name}": value for name, value in options.items()}, quote_via=quote, safe="$")
    where, rows = f"{path}?{query}" if query else path, list[Row]()
    for _ in range(MAX_PAGES):
        answered = await client.ask(Request(method="GET", path=where))
        if not isinstance(answered, Answer) or answered.status != 200:
            return _problem(answered)
        page = _page(answered)
        if page is None:
            return Trouble("Graph answered with something that is no list")
        rows += [row for row in page.get("value", ()) if isinstance(row, dict)]
        following = page.get("@odata.nextLink")
        if not isinstance(following, str) or not following.startswith(client.base + "/"):
            break
        where = following.removeprefix(client.base)
    return Rows(tuple(rows))


def literal(text: str) -> str:
    """Text as it stands in a filter."""
    return "'" + text.replace("'", "''") + "'"


def moment(at: datetime) -> str:
    """A moment as it stands in a filter."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def address_of(person: object) -> str:
    """The address of a recipient or sender as Graph writes one; empty for anything else."""
    named = person.get("emailAddress") if isinstance(person, dict) else None
    address = named.get("address") if isinstance(named, dict) else None
    return address if isinstance(address, str) else ""


def read_moment(value: object) -> datetime | None:
    """A moment as Graph writes it; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _page(answered: Answer) -> dict[str, Any] | None:
    page = answered.value
    return page if isinstance(page, dict) and isinstance(page.get("value"), list) else None


def _problem(answered: Answer | NoAnswer | NoToken) -> Denied | Trouble:
    match answered:
        case NoToken(problem=problem):
            return Denied(problem.reason) if problem.needs_operator else Trouble(problem.reason)
        case NoAnswer(cause=cause):
            return Trouble(f"no answer from Graph: {cause}")
        case Answer(status=status):
            error = read_error(answered)
            reason = f"Graph {status} {error.code}: {error.message}" if error.code else f"Graph {status}"
            return Denied(reason) if status in (401, 403, 404) else Trouble(reason)
