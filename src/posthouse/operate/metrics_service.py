"""Metrics of one moment, from the store and the flow.

Shape: `MetricsService.text` reads what is shown and writes it out; it works with and without a running node.
Failures: `StoreUnavailable`, which `Services` turns into a refusal.
Leaves to others: the format (``operate.metrics``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from posthouse import __version__
from posthouse.deliver.identities import Identities
from posthouse.operate.budget_service import BudgetService
from posthouse.operate.identity_shapes import MetricsText
from posthouse.operate.metrics import BudgetReading, Snapshot, exposition
from posthouse.operate.shapes import Nothing, Refusal
from posthouse.store.port import Store


class MetricsService:
    """Shows the node to Prometheus."""

    def __init__(
        self, store: Store, identities: Identities, budgets: BudgetService, clock: Callable[[], datetime]
    ) -> None:
        self._store, self._identities, self._budgets, self._clock = store, identities, budgets, clock

    async def text(self, request: Nothing, by: str) -> MetricsText:
        """All metrics as text."""
        return MetricsText(exposition(await self.snapshot()))

    async def snapshot(self) -> Snapshot:
        """The values of this moment."""
        now = self._clock()
        copies: Counter[str] = Counter(dict.fromkeys(("pending", "leased", "held", "unknown"), 0))
        for hop in await self._store.hops():
            copies.update({state.value: count for state, count in hop.counts.items()})
        listed = await self._budgets.list(Nothing(), "")
        rows = () if isinstance(listed, Refusal) else listed.budgets
        return Snapshot(
            version=__version__,
            copies=copies,
            expires={expiry.identity: expiry.ends_at for expiry in await self._identities.watch.all()},
            paused=[p.account for p in await self._store.pauses() if p.until is None or p.until > now],
            budgets=[
                BudgetReading(
                    account=row.account,
                    what=row.what,
                    window=timedelta(seconds=row.window_seconds),
                    used=row.used,
                    limit=row.limit,
                )
                for row in rows
            ],
        )
