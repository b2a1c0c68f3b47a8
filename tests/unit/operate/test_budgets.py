"""What an operator sees of budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posthouse.mail.budget import BudgetUse, Charge, Pause
from posthouse.operate.budget_service import BudgetService, forecast
from posthouse.operate.budget_shapes import BudgetRows
from posthouse.operate.cli.budgets import _line
from posthouse.operate.shapes import Nothing, Refusal
from posthouse.store.sqlite.store import SqliteStore

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
DAY = timedelta(days=1)
FLOW = """
[[domain]]
name = "contoso.example"
[[identity]]
name = "app"
kind = "client_secret"
tenant = "contoso.example"
client_id = "c"
client_secret = "env:S"
[[tenant]]
name = "contoso.example"
licences = 25
[[outbound]]
name = "microsoft365"
kind = "submission"
identity = "app"
mailboxes = ["a@contoso.example", "b@contoso.example"]
[[outbound]]
name = "graph"
kind = "graph"
identity = "app"
mailboxes = "a@contoso.example"
recipients_per_day = 500
[[route]]
name = "all"
connectors = ["microsoft365", "graph"]
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path, node="node")
    await made.open()
    yield made
    await made.close()


async def budgets(store: SqliteStore) -> BudgetRows:
    found = await BudgetService(store, lambda: NOW).list(Nothing(), "root")
    assert isinstance(found, BudgetRows)
    return found


async def test_every_limit_of_the_flow_is_listed_with_its_use_and_source(store: SqliteStore) -> None:
    await store.save_flow(FLOW, by="root", comment="", at=NOW)
    await store.spend((Charge("mailbox:a@contoso.example", "recipients", DAY, 10_000, 450),), NOW)
    rows = {(row.account, row.what, row.window_seconds): row for row in (await budgets(store)).budgets}
    day = rows[("mailbox:a@contoso.example", "recipients", 86400)]
    assert (day.used, day.limit, day.connectors) == (450, 500, ("microsoft365", "graph"))
    assert day.source == "flow.toml"
    minute = rows[("mailbox:b@contoso.example", "messages", 60)]
    assert (minute.used, minute.limit) == (0, 30)
    assert minute.source.startswith("Improvements in Exchange Online SMTP AUTH")
    assert rows[("tenant:contoso.example", "external recipients", 86400)].limit == 14_259


async def test_a_resting_mailbox_says_why(store: SqliteStore) -> None:
    await store.save_flow(FLOW, by="root", comment="", at=NOW)
    await store.save_pause(
        Pause(account="mailbox:b@contoso.example", since=NOW, until=None, reason="the account is locked")
    )
    found = await budgets(store)
    resting = [row for row in found.budgets if row.rests_because]
    assert {row.account for row in resting} == {"mailbox:b@contoso.example"}
    assert _line(resting[0], found.at).note == "rests until a person acts: the account is locked"


async def test_without_a_flow_there_is_nothing_to_list(store: SqliteStore) -> None:
    assert isinstance(await BudgetService(store, lambda: NOW).list(Nothing(), "root"), Refusal)


def test_a_minute_is_not_foreseen() -> None:
    use = BudgetUse(account="mailbox:a", what="messages", window=timedelta(minutes=1), used=3, recent=3, reset_at=NOW)
    assert forecast(use, 30, NOW) is None


@pytest.mark.parametrize(
    ("used", "recent", "after"),
    [
        (0, 0, None),
        (5_000, 1_000, timedelta(hours=12)),
        (9_900, 1_000, timedelta(minutes=14, seconds=24)),
        (10_000, 0, timedelta()),
        (100, 1, None),
    ],
)
def test_the_forecast_carries_the_present_rate_on(used: int, recent: int, after: timedelta | None) -> None:
    use = BudgetUse(account="mailbox:a", what="recipients", window=DAY, used=used, recent=recent, reset_at=NOW)
    expected = None if after is None else NOW + after
    assert forecast(use, 10_000, NOW) == expected
