"""Metrics in Prometheus' text format: for a scrape of the control socket, and for node_exporter's textfile collector.

Source: Prometheus "Exposition formats", version 0.0.4; "Metric and label naming".
Shape: `Snapshot` holds the values of one moment, `exposition` writes them. Nothing is counted here, so the text is made
anew each time and a series whose subject is gone ends.
Failures: none.
Leaves to others: taking the snapshot (``service``), serving the text (``operate.control``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReading:
    """Use of one limit.

    Attributes:
        limit: None where the flow names no limit for it any more.
    """

    account: str
    what: str
    window: timedelta
    used: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The values of one moment.

    Attributes:
        copies: Number of copies by state.
        expires: End of each identity's credential, by name.
        paused: Accounts that rest.
    """

    version: str
    copies: Mapping[str, int] = field(default_factory=dict)
    expires: Mapping[str, datetime] = field(default_factory=dict)
    paused: Sequence[str] = ()
    budgets: Sequence[BudgetReading] = ()


class _OneMoment(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """All families."""
        now = self._snapshot
        yield _family("posthouse_build_info", "Version of the node.", ("version",), [((now.version,), 1)])
        yield _family(
            "posthouse_queue_copies", "Copies in the queue.", ("state",), [((s,), n) for s, n in now.copies.items()]
        )
        yield _family(
            "posthouse_credential_expires_timestamp_seconds",
            "When an identity's credential ends, in seconds of the epoch.",
            ("identity",),
            [((name,), ends_at.timestamp()) for name, ends_at in now.expires.items()],
        )
        yield _family(
            "posthouse_identity_paused",
            "1 for an identity, mailbox or connector that rests.",
            ("account",),
            [((account,), 1) for account in now.paused],
        )
        labels = ("account", "what", "window")
        uses = [((b.account, b.what, _seconds(b.window)), b.used) for b in now.budgets]
        limits = [((b.account, b.what, _seconds(b.window)), b.limit) for b in now.budgets if b.limit is not None]
        yield _family("posthouse_budget_used", "Use of a limit in the window that ends now.", labels, uses)
        yield _family("posthouse_budget_limit", "The limit itself.", labels, limits)


def exposition(snapshot: Snapshot) -> str:
    """The text of all metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OneMoment(snapshot))
    return generate_latest(registry).decode()


def _family(
    name: str, text: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _seconds(window: timedelta) -> str:
    return f"{int(window.total_seconds())}s"
