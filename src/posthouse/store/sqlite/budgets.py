"""Use of limits, and accounts that rest.

Shape: `BudgetStore` is the `Budgeting` part of the store. A limit's use is kept in slots of a 144th of its window;
asking and adding is one job of the writer, so that no other use comes between.
Failures: `StoreUnavailable`.
Leaves to others: which limits there are (``decide.ways``), what to do without room (``queue.budget``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import apsw

from posthouse.mail.budget import BudgetUse, Charge, Pause
from posthouse.store.sqlite.database import Database
from posthouse.store.sqlite.reader import fetch_json
from posthouse.store.sqlite.rows import to_datetime, to_micros
from posthouse.store.sqlite.statements import read_statements

_SQL = read_statements("budget")
_RECENT_PARTS = 10


class BudgetStore(Database):
    """What is used, and who rests."""

    async def spend(self, charges: Sequence[Charge], now: datetime) -> tuple[Charge, datetime] | None:
        """Add all charges if each stays within its limit; else the one that fits last, and when it will."""

        def take(connection: apsw.Connection) -> tuple[Charge, datetime] | None:
            late = [(until, charge) for charge in charges if (until := _fits_at(connection, charge, now)) is not None]
            if late:
                until, charge = max(late, key=lambda found: found[0])
                return charge, until
            for charge in charges:
                connection.execute(_SQL["add"], _row(charge, now))
            return None

        return await self.writer.call(take)

    async def move(self, charges: Sequence[Charge], taken_at: datetime, to: datetime | None) -> None:
        """Let use that was counted at `taken_at` count at `to` instead, or not at all."""

        def change(connection: apsw.Connection) -> None:
            for charge in charges:
                connection.execute(_SQL["take_back"], _row(charge, taken_at))
                if to is not None:
                    connection.execute(_SQL["add"], _row(charge, to))

        if charges:
            await self.writer.call(change)

    async def budget_uses(self, now: datetime) -> list[BudgetUse]:
        """What is used in the window of each count that is not empty."""
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL["uses"], {"now": int(now.timestamp())}))
        grouped: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
        for account, what, window, slot, used in rows:
            grouped.setdefault((account, what, window), []).append((slot, used))
        return [_use(*key, slots, now) for key, slots in sorted(grouped.items())]

    async def forget_budgets(self, before: datetime) -> None:
        """Remove counts from before that moment."""
        await self.writer.call(lambda c: _run(c, "forget", {"before": int(before.timestamp())}))

    async def save_pause(self, pause: Pause) -> None:
        """Insert or replace."""
        row: dict[str, int | str | None] = {
            "account": pause.account,
            "since": to_micros(pause.since),
            "until": None if pause.until is None else to_micros(pause.until),
            "reason": pause.reason,
            "reply": pause.reply,
        }
        await self.writer.call(lambda c: _run(c, "save_pause", row))

    async def remove_pause(self, account: str) -> bool:
        """False where there was none."""
        return await self.writer.call(lambda c: _run(c, "remove_pause", {"account": account}) > 0)

    async def pauses(self) -> list[Pause]:
        """All of them."""
        rows = await self.reader.run(lambda c: fetch_json(c, _SQL["pauses"], {}))
        return [
            Pause(
                account=account,
                since=to_datetime(since),
                until=None if until is None else to_datetime(until),
                reason=reason,
                reply=reply,
            )
            for account, since, until, reason, reply in rows
        ]


def _run(connection: apsw.Connection, statement: str, row: dict[str, int | str | None]) -> int:
    connection.execute(_SQL[statement], row)
    return connection.changes()


def _slot(charge: Charge, at: datetime) -> int:
    grain = int(charge.slot.total_seconds())
    return int(at.timestamp()) // grain * grain


def _row(charge: Charge, at: datetime) -> dict[str, int | str]:
    return {
        "account": charge.account,
        "what": charge.what,
        "window": int(charge.window.total_seconds()),
        "slot": _slot(charge, at),
        "amount": charge.amount,
    }


def _fits_at(connection: apsw.Connection, charge: Charge, now: datetime) -> datetime | None:
    """None when the charge fits now, else the moment at which enough has fallen out of the window."""
    reach = int((charge.window + charge.slot).total_seconds())
    row = _row(charge, now)
    wanted = {key: row[key] for key in ("account", "what", "window")} | {"before": int(now.timestamp()) - reach}
    used = connection.execute(_SQL["used"], wanted).get
    assert isinstance(used, int)
    excess = used + charge.amount - charge.limit
    if excess <= 0:
        return None
    for slot, part in connection.execute(_SQL["slots"], wanted):
        assert isinstance(slot, int) and isinstance(part, int)
        excess -= part
        if excess <= 0:
            return datetime.fromtimestamp(slot + reach, UTC)
    # More than the limit at once: never fits, so it is asked again when the window is empty.
    return now + charge.window


def _use(account: str, what: str, window: int, slots: list[tuple[int, int]], now: datetime) -> BudgetUse:
    grain = max(1, window // 144)
    recent_from = int(now.timestamp()) - window // _RECENT_PARTS
    return BudgetUse(
        account=account,
        what=what,
        window=timedelta(seconds=window),
        used=sum(used for _, used in slots),
        recent=sum(used for slot, used in slots if slot >= recent_from),
        reset_at=datetime.fromtimestamp(min(slot for slot, _ in slots) + grain + window, UTC),
    )
