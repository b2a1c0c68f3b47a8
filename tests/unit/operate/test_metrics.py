"""Metrics: the text that Prometheus reads, and the way it gets there."""

from __future__ import annotations

import http.client
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.operate.conftest import Run
from tests.unit.operate.test_control import in_thread, serving

from posthouse.operate.metrics import BudgetReading, Snapshot, exposition


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and label values, as Prometheus itself reads them."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_value_of_the_moment_is_shown_and_nothing_else() -> None:
    day = timedelta(days=1)
    snapshot = Snapshot(
        version="1.2",
        copies={"pending": 3, "held": 0},
        expires={"app": datetime(2027, 1, 31, tzinfo=UTC)},
        paused=['mailbox:odd"name\\@x.example'],
        budgets=[
            BudgetReading(account="mailbox:a@b", what="recipients", window=day, used=7, limit=10_000),
            BudgetReading(account="mailbox:c@d", what="messages", window=timedelta(minutes=1), used=1, limit=None),
        ],
    )
    assert samples(exposition(snapshot)) == {
        ("posthouse_build_info", "1.2"): 1.0,
        ("posthouse_queue_copies", "pending"): 3.0,
        ("posthouse_queue_copies", "held"): 0.0,
        ("posthouse_credential_expires_timestamp_seconds", "app"): 1801353600.0,
        ("posthouse_identity_paused", 'mailbox:odd"name\\@x.example'): 1.0,
        ("posthouse_budget_used", "mailbox:a@b", "recipients", "86400s"): 7.0,
        ("posthouse_budget_used", "mailbox:c@d", "messages", "60s"): 1.0,
        ("posthouse_budget_limit", "mailbox:a@b", "recipients", "86400s"): 10_000.0,
    }


async def test_a_scraper_gets_them_from_the_control_socket(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:

        def scrape() -> tuple[int, str, str]:
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(path))
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, answer.headers["Content-Type"], body

        status, media_type, text = await in_thread(path, lambda _: scrape())
    assert status == 200 and media_type.startswith("text/plain; version=0.0.4")
    assert samples(text)[("posthouse_queue_copies", "pending")] == 0.0


def test_a_command_prints_them_without_a_node(place: Path, run: Run) -> None:
    done = run("metrics", "--dir", place)
    assert done.exit_code == 0
    assert ("posthouse_queue_copies", "unknown") in samples(done.output)
