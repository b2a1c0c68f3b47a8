"""The part of the store that counts use of limits, for all nodes together; the rest is in ``store.port``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from posthouse.mail.budget import BudgetUse, Charge, Pause


class Budgeting(Protocol):
    """The part of the store that counts use of limits, for all nodes together."""

    async def spend(self, charges: Sequence[Charge], now: datetime) -> tuple[Charge, datetime] | None:
        """Add all charges if each stays within its limit, else none of them.

        Returns:
            None when they were added, and are on disk; else the charge that fits last, and when it will.
        """

    async def move(self, charges: Sequence[Charge], taken_at: datetime, to: datetime | None) -> None:
        """Let use that was counted at `taken_at` count at `to` instead, or not at all."""

    async def budget_uses(self, now: datetime) -> list[BudgetUse]:
        """What is used in the window of each count that is not empty."""

    async def forget_budgets(self, before: datetime) -> None:
        """Remove counts from before that moment."""

    async def save_pause(self, pause: Pause) -> None:
        """Insert or replace."""

    async def remove_pause(self, account: str) -> bool:
        """False where there was none."""

    async def pauses(self) -> list[Pause]:
        """All of them."""
