"""How much an application may ask of a mailbox.

Purpose: count requests, requests at once and octets, per application and mailbox, and message-trace queries per
tenant. Source: "Microsoft Graph service-specific throttling limits" (Outlook: 10,000 requests in 10 minutes, four at
once, 150 MB uploaded in 5 minutes; message trace: 100 requests in 5 minutes).
Shape: `Window` slides; `Throttle` keeps the windows; the present moment and the limits are handed in with each
question. Memory is bounded by the limits. Failures: `GraphError`, with how long to wait.
Leaves to others: what a request is.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from m365emu.graph import errors
from m365emu.tenant import Limits

_TEN_MINUTES = timedelta(minutes=10)
_FIVE_MINUTES = timedelta(minutes=5)


class Window:
    """Amounts within a span that slides."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._uses: dict[tuple[str, str], deque[tuple[datetime, int]]] = {}
        self._totals: Counter[tuple[str, str]] = Counter()

    def use(self, key: tuple[str, str], amount: int, now: datetime, limit: int) -> None:
        """Count an amount; raises `GraphError` when it would be too much, and then it does not count."""
        uses = self._uses.setdefault(key, deque())
        while uses and uses[0][0] <= now - self._span:
            self._totals[key] -= uses.popleft()[1]
        if self._totals[key] + amount > limit and uses:
            wait = uses[0][0] + self._span - now
            raise errors.too_many_requests(-int(-wait.total_seconds() // 1))
        uses.append((now, amount))
        self._totals[key] += amount

    def clear(self) -> None:
        self._uses.clear()
        self._totals.clear()


class Throttle:
    """All counts of Graph.

    Attributes:
        most: the most requests at once that were let in, by mailbox.
    """

    def __init__(self) -> None:
        self._requests = Window(_TEN_MINUTES)
        self._octets = Window(_FIVE_MINUTES)
        self._traces = Window(_FIVE_MINUTES)
        self._open: Counter[tuple[str, str]] = Counter()
        self.most: Counter[str] = Counter()

    @contextmanager
    def request(self, application: str, mailbox: str, now: datetime, limits: Limits) -> Iterator[None]:
        """Let a request in for as long as it lasts; raises `GraphError`."""
        key = (application, mailbox)
        if self._open[key] >= limits.graph_concurrent:
            raise errors.mailbox_concurrency()
        self._requests.use(key, 1, now, limits.graph_requests_per_10_minutes)
        self._open[key] += 1
        self.most[mailbox] = max(self.most[mailbox], self._open[key])
        try:
            yield
        finally:
            self._open[key] -= 1

    def upload(self, application: str, mailbox: str, octets: int, now: datetime, limits: Limits) -> None:
        """Count octets that came in; raises `GraphError`."""
        if octets:
            self._octets.use((application, mailbox), octets, now, limits.graph_upload_octets_per_5_minutes)

    def trace(self, tenant_id: str, now: datetime, limits: Limits) -> None:
        """Count a message-trace query; raises `GraphError`."""
        self._traces.use((tenant_id, ""), 1, now, limits.trace_requests_per_5_minutes)

    def under_way(self, mailbox: str) -> int:
        """Return how many requests for a mailbox are being answered."""
        return sum(count for (_, name), count in self._open.items() if name == mailbox)

    def clear(self) -> None:
        """Forget what was counted; what is open stays open."""
        for window in (self._requests, self._octets, self._traces):
            window.clear()
        self.most.clear()
