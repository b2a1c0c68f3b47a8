"""Used, limit, reset and a forecast of every budget.

Shape: `BudgetService.list` puts what the store counted beside the limits of the present flow. `forecast` is pure.
Failures: `Refusal` where no flow was applied yet; `StoreUnavailable` passes through.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from posthouse.decide.flow import Flow
from posthouse.decide.outbound import FromMailboxes, Microsoft
from posthouse.decide.policy import Policy
from posthouse.decide.ways import Way
from posthouse.mail.budget import BudgetUse, Charge, Pause
from posthouse.microsoft.limits import all_limits
from posthouse.operate.budget_shapes import BudgetRow, BudgetRows
from posthouse.operate.shapes import Nothing, Refusal
from posthouse.store.port import Store

_RECENT_PARTS = 10
_OWN = "flow.toml"
SHORTEST_FORECAST = timedelta(hours=1)
"""Of a shorter window there is nothing to foresee: it is full and empty again before anybody looks."""


class BudgetService:
    """What is used of each limit."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock

    async def list(self, request: Nothing, by: str) -> BudgetRows | Refusal:
        """Every limit of the present flow, and limits of mailboxes that were used although the flow names none."""
        now = self._clock()
        revision = await self._store.flow()
        if revision is None:
            return Refusal(code="not_found", message="no mail flow was applied yet; start the node once")
        policy = Policy(Flow.model_validate(tomllib.loads(revision.text)))
        uses = {(use.account, use.what, use.window): use for use in await self._store.budget_uses(now)}
        pauses = {pause.account: pause for pause in await self._store.pauses()}
        mailboxes = [
            use.account.removeprefix("mailbox:") for use in uses.values() if use.account.startswith("mailbox:")
        ]
        rows: dict[tuple[str, str, timedelta], BudgetRow] = {}
        for way in policy.ways.values():
            for charge in _charges(way, mailboxes):
                key = (charge.account, charge.what, charge.window)
                row = _row(charge, way, uses.get(key), _pause(way, charge, pauses, now), now)
                known = rows.get(key)
                rows[key] = row if known is None else _joined(known, row)
        return BudgetRows(tuple(rows.values()), now)


def forecast(use: BudgetUse, limit: int, now: datetime) -> datetime | None:
    """When the limit is reached if the last tenth of the window goes on, or None when it is not before a use ends."""
    if use.window < SHORTEST_FORECAST and use.used < limit:
        return None
    if use.recent <= 0 or use.used >= limit:
        return now if use.used >= limit else None
    seconds = (limit - use.used) * (use.window.total_seconds() / _RECENT_PARTS) / use.recent
    if seconds > use.window.total_seconds():
        return None
    return now + timedelta(seconds=seconds)


def _charges(way: Way, used_mailboxes: Iterable[str]) -> Iterable[Charge]:
    connector = way.connector
    if not isinstance(connector, Microsoft):
        return ()
    mailboxes: Iterable[str] = ("",)
    if isinstance(connector, FromMailboxes):
        mailboxes = connector.mailboxes or tuple(dict.fromkeys(used_mailboxes))
    return [charge for mailbox in mailboxes for charge in way.charges(mailbox, 1, 1)]


def _pause(way: Way, charge: Charge, pauses: dict[str, Pause], now: datetime) -> Pause | None:
    identity = f"identity:{way.identity.name}" if way.identity is not None else ""
    for account in (charge.account, identity, f"connector:{way.name}"):
        found = pauses.get(account)
        if found is not None and (found.until is None or found.until > now):
            return found
    return None


def _row(charge: Charge, way: Way, use: BudgetUse | None, pause: Pause | None, now: datetime) -> BudgetRow:
    return BudgetRow(
        account=charge.account,
        connectors=(way.name,),
        what=charge.what,
        window_seconds=int(charge.window.total_seconds()),
        used=use.used if use else 0,
        limit=charge.limit,
        resets_at=use.reset_at if use else None,
        full_at=forecast(use, charge.limit, now) if use else None,
        rests_until=pause.until if pause else None,
        rests_because=pause.reason if pause else "",
        source=_source(charge, way),
    )


def _joined(known: BudgetRow, row: BudgetRow) -> BudgetRow:
    """Two connectors draw on one account: the narrower limit is the one that holds."""
    narrower = known if known.limit <= row.limit else row
    return BudgetRow(
        account=row.account,
        connectors=(*known.connectors, *row.connectors),
        what=row.what,
        window_seconds=row.window_seconds,
        used=row.used,
        limit=narrower.limit,
        resets_at=row.resets_at,
        full_at=narrower.full_at,
        rests_until=known.rests_until or row.rests_until,
        rests_because=known.rests_because or row.rests_because,
        source=narrower.source,
    )


def _source(charge: Charge, way: Way) -> str:
    names = {("messages", 60): "messages_per_minute", ("messages", 3600): "messages_per_hour"}
    names |= {("requests", 600): "requests_per_ten_minutes", ("recipients", 86400): "recipients_per_day"}
    name = names.get((charge.what, int(charge.window.total_seconds())), "")
    kind = way.connector.kind if way.connector.kind != "acs" else "acs_custom"
    for limit in all_limits():
        if (limit.method, limit.name, limit.value) == (kind, name, charge.limit):
            return f"{limit.source}, {limit.date}"
    return _OWN if not charge.account.startswith("tenant:") else "[[tenant]] in flow.toml"
