"""The statements that must stay fast with millions of rows are answered by an index."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from posthouse.store.sqlite.migrate import migrate
from posthouse.store.sqlite.statements import read_statements

SQL = read_statements("queue", "segments", "trace", "retention")
PLANS = {
    "due_messages": "copy USING COVERING INDEX copy_open (state=? AND hop=? AND next_at<?)",
    "due": "copy USING COVERING INDEX copy_open (state=? AND hop=? AND next_at<?)",
    "next_due": "copy USING COVERING INDEX copy_open (state=? AND hop>?)",
    "expired_messages": "copy USING COVERING INDEX copy_open (state=?)",
    "undelayed_messages": "o USING COVERING INDEX copy_open (state=?)",
    "expired_leases": "copy USING INDEX copy_open (state=?)",
    "lease_copies": "copy USING PRIMARY KEY (message_id=? AND position=?)",
    "rename_hops": "copy USING PRIMARY KEY (message_id=? AND position=?)",
    "open_count": "copy USING COVERING INDEX copy_open",
    "hop_counts": "copy USING COVERING INDEX copy_open",
    "search_all": "c USING PRIMARY KEY (message_id>? AND message_id<?)",
    "search_by_recipient": "c USING INDEX copy_recipient (segment=? AND recipient>? AND recipient<?)",
    "search_by_sender": "m USING INDEX message_sender (segment=? AND sender>? AND sender<?)",
    "search_by_header": "m USING INDEX message_header (segment=? AND header_hash=? AND rowid>? AND rowid<?)",
    "seen_before": "m USING INDEX message_header (segment=? AND header_hash=?)",
    "story_events": "journal USING INDEX journal_message (message_id=?)",
    "story_notices": "message USING COVERING INDEX message_parent (parent=?)",
    "door_events": "journal USING INDEX journal_door (at>?)",
    "journal_after": "journal USING INTEGER PRIMARY KEY (rowid>?)",
    "delete_journal": "journal USING COVERING INDEX journal_message (message_id=? AND rowid<?)",
    "old_door_rows": "journal USING INDEX journal_door (at<?)",
    "is_named": "spooled USING COVERING INDEX spooled_file (file=?)",
}


@pytest.fixture(scope="module")
def schema() -> apsw.Connection:
    """An empty database."""
    connection = apsw.Connection(":memory:")
    migrate(connection, Path(":memory:"))
    return connection


@pytest.mark.parametrize("name", PLANS)
def test_the_plan_uses_the_index(schema: apsw.Connection, name: str) -> None:
    names = re.findall(r":(\w+)", SQL[name])
    rows = schema.execute("EXPLAIN QUERY PLAN " + SQL[name], dict.fromkeys(names))
    plan = [detail for *_, detail in rows]
    assert any(PLANS[name] in step for step in plan), "\n".join(plan)
