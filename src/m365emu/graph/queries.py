"""The query options of a list: `$filter`, `$select`, `$orderby`, `$top`, `$skip`, `$count`.

Purpose: turn a collection into the page that was asked for. Source: OData 4.01 part 1, 11.2.6; "Paging Microsoft
Graph data in your app". Shape: `Query.read` reads the options, `page` applies them to items with a look-up and gives
the JSON object, with a link to the next page when there is one. Failures: `GraphError`.
Leaves to others: rendering an item.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlencode

from m365emu.graph import errors
from m365emu.graph.call import Call
from m365emu.graph.filters import Condition, parse

T = TypeVar("T")
_KNOWN = {"$filter", "$select", "$orderby", "$top", "$skip", "$skiptoken", "$count"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The options of one request.

    Attributes:
        condition: the filter, if there is one.
        select: the properties wanted, in the order asked for; empty means the usual ones.
        order: the property to sort by, and whether downwards.
    """

    condition: Condition | None
    select: tuple[str, ...]
    order: tuple[str, bool] | None
    top: int
    skip: int
    count: bool

    @classmethod
    def read(
        cls,
        call: Call,
        *,
        names: Collection[str],
        filterable: Collection[str],
        type_name: str,
        usual: int,
        most: int,
    ) -> "Query":
        """Read the options; raises `GraphError`.

        Args:
            call: the request.
            names: what may be selected.
            filterable: what may stand in a filter and an order.
            type_name: of the resource, for refusals.
            usual: the page's size when none is asked for.
            most: the largest page.
        """
        for name in call.query:
            if name.startswith("$") and name not in _KNOWN:
                raise errors.invalid_query(f"Query option '{name[:50]}' is not supported here.")
        text = call.query.get("$filter", "")
        top = _number(call, "$top", usual)
        if not 1 <= top <= most:
            raise errors.invalid_query(f"Invalid value for $top: it must lie between 1 and {most}.")
        return cls(
            condition=parse(text, filterable, type_name) if text else None,
            select=_select(call.query.get("$select", ""), names, type_name),
            order=_order(call.query.get("$orderby", ""), filterable, type_name),
            top=top,
            skip=max(_number(call, "$skip", 0), _number(call, "$skiptoken", 0)),
            count=call.query.get("$count", "").lower() == "true",
        )

    def page(
        self,
        call: Call,
        items: Iterable[T],
        lookup: Callable[[T, str], object],
        render: Callable[[T], object],
        *,
        token: str = "$skip",
    ) -> dict[str, object]:
        """Filter, sort and cut; return the collection's JSON object, without its context."""
        found: Sequence[T] = list(items)
        if (condition := self.condition) is not None:
            found = [item for item in found if condition(partial(lookup, item))]
        if self.order is not None:
            name, downwards = self.order
            found = sorted(found, key=lambda item: _sortable(lookup(item, name)), reverse=downwards)
        body: dict[str, object] = {"@odata.count": len(found)} if self.count else {}
        body["value"] = [render(item) for item in found[self.skip : self.skip + self.top]]
        if len(found) > self.skip + self.top:
            body["@odata.nextLink"] = _next_link(call, token, self.skip + self.top)
        return body


def _next_link(call: Call, token: str, skip: int) -> str:
    options = {**call.query, token: str(skip)}
    path = "/".join(quote(segment, safe="@") for segment in call.path)
    return f"{call.root}/{path}?{urlencode(options, quote_via=quote, safe='$')}"


def _select(text: str, names: Collection[str], type_name: str) -> tuple[str, ...]:
    known = {name.lower(): name for name in names}
    wanted = [name.strip() for name in text[:4_000].split(",") if name.strip()]
    for name in wanted:
        if name.lower() not in known:
            raise errors.invalid_query(f"Could not find a property named '{name[:100]}' on type '{type_name}'.")
    return tuple(dict.fromkeys(known[name.lower()] for name in wanted))


def _order(text: str, names: Collection[str], type_name: str) -> tuple[str, bool] | None:
    words = text.partition(",")[0].split()
    if not words:
        return None
    known = {name.lower(): name for name in names}
    name = known.get(words[0].lower())
    if name is None or words[1:] not in ([], ["asc"], ["desc"]):
        raise errors.invalid_query(f"Could not find a property named '{words[0][:100]}' on type '{type_name}'.")
    return name, words[1:] == ["desc"]


def _sortable(value: object) -> tuple[int, str]:
    if isinstance(value, datetime):
        return 1, value.isoformat()
    if isinstance(value, int):
        return 1, f"{value:020d}"
    return (0, "") if value is None else (1, str(value).lower())


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise errors.invalid_query(f"Invalid value for {name}: it must be a whole number.")
    return int(text)
