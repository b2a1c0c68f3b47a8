"""Budgets in the shapes of the control API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """One limit and what is used of it.

    Attributes:
        account: ``mailbox:a@b``, ``connector:name`` or ``tenant:name``.
        connectors: Names of the outbound connectors that use it.
        what: ``messages``, ``recipients``, ``external recipients`` or ``requests``.
        window_seconds: The window that slides.
        resets_at: When the oldest use falls out of the window.
        full_at: When the limit is reached if the present rate goes on, before anything falls out of the window.
        rests_until: When the account may send again; None with a `rests_because` means that a person must act.
        rests_because: Why the account rests; empty while it works.
        source: Who says so: Microsoft's page with its date, or ``flow.toml``.
    """

    account: str
    connectors: tuple[str, ...]
    what: str
    window_seconds: int
    used: int
    limit: int
    resets_at: datetime | None = None
    full_at: datetime | None = None
    rests_until: datetime | None = None
    rests_because: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class BudgetRows:
    """All limits of the present flow, and at what time they were read."""

    budgets: tuple[BudgetRow, ...]
    at: datetime
