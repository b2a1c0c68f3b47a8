"""A waiting line whose mailboxes all rest says until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from posthouse.mail.budget import Pause
from posthouse.operate.resting import line_rest, resting_connectors
from posthouse.store.sqlite.store import SqliteStore

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
FLOW = """
[[identity]]
name = "app"
kind = "client_secret"
tenant = "contoso.example"
client_id = "c"
client_secret = "env:S"
[[outbound]]
name = "m365"
kind = "submission"
identity = "app"
mailboxes = ["a@contoso.example", "b@contoso.example"]
[[outbound]]
name = "graph"
kind = "graph"
identity = "app"
mailboxes = "a@contoso.example"
[[route]]
name = "all"
connectors = ["m365", "graph"]
"""


async def test_a_line_rests_when_nothing_of_it_can_send(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, node="node")
    await store.open()
    await store.save_flow(FLOW, by="root", comment="", at=NOW)

    async def rest(account: str, hours: int | None) -> None:
        until = None if hours is None else NOW + timedelta(hours=hours)
        await store.save_pause(Pause(account=account, since=NOW, until=until, reason="no"))

    assert await resting_connectors(store, NOW) == {}
    await rest("mailbox:a@contoso.example", None)
    assert await resting_connectors(store, NOW) == {}
    await rest("mailbox:b@contoso.example", 2)
    resting = await resting_connectors(store, NOW)
    assert resting["m365"].until == NOW + timedelta(hours=2)
    assert line_rest("m365", resting) is not None and line_rest("m365+graph", resting) is None
    await rest("identity:app", 1)
    both = line_rest("m365+graph", await resting_connectors(store, NOW))
    assert both is not None and both.until == NOW + timedelta(hours=1)
    assert await resting_connectors(store, NOW + timedelta(hours=3)) == {}
    await store.close()
