"""Waiting lines: one for each next hop, with its own memory, concurrency, pace and back-off.

Shape: `Line` belongs to one hop (``connector``, ``connector/domain``), `Gate` to one outbound connector, whose limits
all its lines share. Plain mutable objects of the event loop's thread; time is handed in, in monotonic seconds.
Leaves to others: tasks and the store (``dispatch``).
"""

from __future__ import annotations

from collections import deque

from posthouse.decide.flow import Mx, Smarthost, Submission
from posthouse.decide.limits import Pace
from posthouse.mail.message import Lease

NO_ROUTE_HOP = "(no route)"
"""Waiting line of copies that the present flow cannot place; each attempt asks the flow again."""
FRESH_WHILE_STORED = 32
"""Fresh messages kept in memory while older ones wait in the store, so that both get their turn."""


class Gate:
    """Limits of one outbound connector, shared by its lines."""

    __slots__ = ("limit", "pace", "paused", "per_line", "running")

    def __init__(self, connector: Smarthost | Mx | Submission | None) -> None:
        self.running = 0
        self.configure(connector)

    def configure(self, connector: Smarthost | Mx | Submission | None) -> None:
        """Take over the settings of a new revision of the flow."""
        self.limit = connector.max_connections if connector else 1
        self.per_line = connector.max_connections_per_domain if isinstance(connector, Mx) else self.limit
        self.paused = bool(connector and connector.paused)
        per_minute = connector.messages_per_minute if connector else None
        self.pace = Pace(per_minute, burst=max(1.0, per_minute / 10)) if per_minute else None


class Line:
    """Copies that wait for one next hop."""

    __slots__ = (
        "blocked_until",
        "failures",
        "gate",
        "has_stored",
        "hop",
        "last_reply",
        "leases",
        "octets",
        "refilling",
        "running",
    )

    def __init__(self, hop: str, gate: Gate) -> None:
        self.hop = hop
        self.gate = gate
        self.leases: deque[Lease] = deque()
        self.octets = 0
        self.running = 0
        self.has_stored = False
        self.refilling = False
        self.blocked_until = 0.0
        self.failures = 0
        self.last_reply = ""

    def may_start(self, now: float) -> bool:
        """Whether one more attempt may begin."""
        gate = self.gate
        if gate.paused or self.blocked_until > now or gate.running >= gate.limit:
            return False
        # After a failure of the whole hop one attempt tests the ground before the others follow.
        return self.running < (1 if self.failures else gate.per_line)

    def keeps_in_memory(self, now: float) -> bool:
        """Whether a fresh message is better kept in memory than left to the store."""
        if self.gate.paused or self.blocked_until > now or self.failures:
            return False
        return not self.has_stored or len(self.leases) < FRESH_WHILE_STORED

    def push(self, lease: Lease) -> None:
        """Add a lease at the end."""
        self.leases.append(lease)
        self.octets += lease.message.content.size_octets

    def pop(self) -> Lease:
        """Take the first lease."""
        lease = self.leases.popleft()
        self.octets -= lease.message.content.size_octets
        return lease

    def drain(self) -> list[Lease]:
        """Take all leases out."""
        leases = list(self.leases)
        self.leases.clear()
        self.octets = 0
        return leases

    def block(self, until: float, reply: str) -> None:
        """The whole hop failed."""
        self.failures += 1
        self.blocked_until = until
        self.last_reply = reply

    def succeeded(self) -> None:
        """The hop answers."""
        self.failures = 0
        self.blocked_until = 0.0
