"""Budgets: how much of a limit is used. A limit counts something for an account in a window that slides.

Shape: frozen values. An account is a mailbox (``mailbox:a@b``), an application with a mailbox or a tenant, spelled as
text so that connectors, restarts and nodes mean the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt takes from one limit.

    Attributes:
        account: Whose limit.
        what: What is counted: ``messages``, ``recipients``, ``external recipients``, ``requests``.
        window: Over how long.
        limit: How much of it in any such window.
        amount: How much this attempt takes.
    """

    account: str
    what: str
    window: timedelta
    limit: int
    amount: int

    @property
    def key(self) -> str:
        """Name of the count in the store."""
        return f"{self.account} {self.what} {int(self.window.total_seconds())}"

    @property
    def slot(self) -> timedelta:
        """Grain of the count; use within one slot ends together, at the slot's end plus the window."""
        return max(timedelta(seconds=1), timedelta(seconds=int(self.window.total_seconds()) // 144))


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUse:
    """What is used of one limit at this moment.

    Attributes:
        used: In the window that ends now.
        recent: In its last tenth, for a forecast.
        reset_at: When the oldest use falls out of the window; None when nothing is used.
    """

    account: str
    what: str
    window: timedelta
    used: int
    recent: int
    reset_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """An account that must rest: a mailbox whose log-in was refused, an identity without a token.

    Attributes:
        until: None when a person has to act first.
        reason: A sentence.
        reply: The server's words, if it spoke.
    """

    account: str
    since: datetime
    until: datetime | None
    reason: str
    reply: str = ""
