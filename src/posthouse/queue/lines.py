"""Waiting lines: one for each next hop, with its own memory, concurrency, pace and back-off.

Shape: `Line` belongs to one hop (``connector``, ``connector/domain``), `Gate` to one outbound connector, whose limits
all its lines share. Plain mutable objects of the event loop's thread; time is handed in, in monotonic seconds.
Leaves to others: tasks and the store (``dispatch``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from posthouse.decide.limits import Pace
from posthouse.decide.outbound import Mx
from posthouse.decide.ways import Way
from posthouse.mail.message import Lease

NO_ROUTE_HOP = "(no route)"
"""Waiting line of copies that the present flow cannot place; each attempt asks the flow again."""
FRESH_WHILE_STORED = 32
"""Fresh messages kept in memory while older ones wait in the store, so that both get their turn."""


REFILL_MESSAGES = 100
"""Messages that a line takes from the store at a time."""
REFILL_BELOW = 64
"""It takes more when it has fewer than these."""


class Gate:
    """Limits of one outbound connector, shared by its lines."""

    __slots__ = ("is_budgeted", "limit", "pace", "paused", "per_line", "refill", "refill_below", "running")

    def __init__(self, way: Way | None) -> None:
        self.running = 0
        self.configure(way)

    def configure(self, way: Way | None) -> None:
        """Take over the settings of a new revision of the flow."""
        connector = way.connector if way else None
        self.limit = way.connections if way else 1
        self.per_line = connector.max_connections_per_domain if isinstance(connector, Mx) else self.limit
        self.paused = bool(connector and connector.paused)
        self.is_budgeted = bool(way and way.is_microsoft)
        # A line that is short of room takes little at a time, so that each sender's turn comes soon.
        self.refill = min(REFILL_MESSAGES, 4 * self.limit) if self.is_budgeted else REFILL_MESSAGES
        self.refill_below = self.refill // 2 if self.is_budgeted else REFILL_BELOW
        # Where budgets are asked for each message, they hold the pace as well.
        per_minute = connector.messages_per_minute if connector and not self.is_budgeted else None
        self.pace = Pace(per_minute, burst=max(1.0, per_minute / 10)) if per_minute else None


class FairLeases:
    """Leases of one line in turns: one of each sender, then the next of each.

    Has the part of a deque's shape that lines use. Whoever sends a thousand messages waits for the others no longer
    than they for him.
    """

    __slots__ = ("_by_sender", "_count")

    def __init__(self) -> None:
        self._by_sender: dict[tuple[str, str, str], deque[Lease]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Lease]:
        return (lease for leases in self._by_sender.values() for lease in leases)

    def append(self, lease: Lease) -> None:
        """Add behind what the same sender has here."""
        self._by_sender.setdefault(_sender(lease), deque()).append(lease)
        self._count += 1

    def appendleft(self, lease: Lease) -> None:
        """Put back: this sender is the next one, with this lease."""
        key = _sender(lease)
        leases = self._by_sender.pop(key, None) or deque()
        leases.appendleft(lease)
        self._by_sender = {key: leases, **self._by_sender}
        self._count += 1

    def popleft(self) -> Lease:
        """Take the next sender's first lease; that sender then comes last."""
        key = next(iter(self._by_sender))
        leases = self._by_sender.pop(key)
        lease = leases.popleft()
        if leases:
            self._by_sender[key] = leases
        self._count -= 1
        return lease

    def clear(self) -> None:
        """Forget all."""
        self._by_sender.clear()
        self._count = 0


def _sender(lease: Lease) -> tuple[str, str, str]:
    """Whom a message is counted for: the device or program that brought it, under the sender it named.

    A whole network may share one connector or account, and one sender; its devices differ by their addresses.
    """
    session, sender = lease.message.session, lease.message.envelope.sender
    return (str(session.principal), session.peer_ip, str(sender or ""))


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
        "waits_for",
    )

    def __init__(self, hop: str, gate: Gate) -> None:
        self.hop = hop
        self.gate = gate
        self.leases: deque[Lease] | FairLeases = FairLeases() if gate.is_budgeted else deque()
        self.octets = 0
        self.running = 0
        self.has_stored = False
        self.refilling = False
        self.blocked_until = 0.0
        self.failures = 0
        self.last_reply = ""
        self.waits_for = ""

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
        leases = list(iter(self.leases))
        self.leases.clear()
        self.octets = 0
        return leases

    def put_back(self, lease: Lease) -> None:
        """Put a lease at the head of its sender's own line; it goes next when that sender's turn comes."""
        self.leases.appendleft(lease)
        self.octets += lease.message.content.size_octets

    def block(self, until: float, reply: str) -> None:
        """The whole hop failed."""
        self.failures += 1
        self.blocked_until = until
        self.last_reply = reply

    def succeeded(self) -> None:
        """The hop answers."""
        self.failures = 0
        self.blocked_until = 0.0
