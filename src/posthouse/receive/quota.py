"""How much one address may connect and one principal may send.

Source: Exchange's receive-connector limits (MaxInboundConnectionPerSource, MessageRateLimit) and mailbox limits
(recipients a day over a rolling 24 hours).
Shape: `ConnectionQuota` counts sessions; `SendingQuota` counts messages a minute and recipients a day by principal.
Time is handed in as monotonic seconds. Answers are replies; None means go on.
Leaves to others: arithmetic (``decide.limits``), who has which limit (``decide.policy.Rights``).

Counts live in the node's memory. Day counts begin with what the store knows of the last 24 hours, as if it all had
come at the start: too strict for a day rather than too generous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil

from posthouse.decide.limits import Pace, RollingCount
from posthouse.decide.policy import Rights
from posthouse.mail.reply import Reply

TOO_MANY_FROM_ADDRESS = Reply.of(
    421,
    "4.3.2",
    "The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
)
TOO_MANY_ON_SERVER = Reply.of(
    421,
    "4.3.2",
    "The maximum number of concurrent server connections has exceeded a limit, closing transmission channel",
)
RATE_EXCEEDED = Reply.of(450, "4.4.2", "Message submission rate for this client has exceeded the configured limit")
DAY_EXCEEDED = Reply.of(452, "4.5.3", "Recipient limit of this sender for 24 hours has been reached, try again later")

BURST_SHARE = 0.25
"""Part of a minute's messages that may come at once."""


class ConnectionQuota:
    """Sessions by address and in all, for one listener or for the node."""

    __slots__ = ("_by_address", "max_all", "max_per_address", "open")

    def __init__(self, max_all: int, max_per_address: int) -> None:
        self.max_all, self.max_per_address = max_all, max_per_address
        self._by_address: Counter[str] = Counter()
        self.open = 0

    def enter(self, key: str) -> Reply | None:
        """Count a session, or say why it must not be."""
        if self.open >= self.max_all:
            return TOO_MANY_ON_SERVER
        if self._by_address[key] >= self.max_per_address:
            return TOO_MANY_FROM_ADDRESS
        self._by_address[key] += 1
        self.open += 1
        return None

    def leave(self, key: str) -> None:
        """A counted session has ended."""
        self.open -= 1
        self._by_address[key] -= 1
        if self._by_address[key] <= 0:
            del self._by_address[key]


class SendingQuota:
    """Messages a minute and recipients a day, by principal."""

    def __init__(self) -> None:
        self._paces: dict[str, tuple[int, Pace]] = {}
        self._days: dict[str, RollingCount] = {}

    def prime(self, recipients: Mapping[str, int], now: float) -> None:
        """Begin the day counts with what `store.recipients_since` of the last 24 hours gave."""
        for principal, count in recipients.items():
            self._day(principal).add(now, count)

    def take_message(self, rights: Rights, now: float) -> tuple[Reply, str] | None:
        """Count a message, or refuse it with a reply and a reason."""
        per_minute = rights.messages_per_minute
        if per_minute is None:
            return None
        key = str(rights.principal)
        known = self._paces.get(key)
        if known is None or known[0] != per_minute:
            known = self._paces[key] = (per_minute, Pace(per_minute, ceil(per_minute * BURST_SHARE)))
        if known[1].take(now):
            return None
        return RATE_EXCEEDED, f"{key} may send {per_minute} messages a minute"

    def judge_recipients(self, rights: Rights, count: int, now: float) -> tuple[Reply, str] | None:
        """Refuse when `count` recipients of one message do not fit in the day. Counts nothing."""
        a_day = rights.recipients_per_day
        if a_day is None:
            return None
        key = str(rights.principal)
        total = self._day(key).total(now)
        if total + count <= a_day:
            return None
        return DAY_EXCEEDED, f"{key} may send to {a_day} recipients in 24 hours; {total} were reached"

    def count_recipients(self, rights: Rights, count: int, now: float) -> None:
        """A message to so many recipients was accepted."""
        if rights.recipients_per_day is not None:
            self._day(str(rights.principal)).add(now, count)

    def _day(self, principal: str) -> RollingCount:
        found = self._days.get(principal)
        if found is None:
            found = self._days[principal] = RollingCount()
        return found
