"""What can keep an attempt from reaching a recipient, as values.

Shape: `SessionFailure` when no session with a host came about, `Unroutable` and `LookupTrouble` when no host was found.
What happens inside a transaction is told by ``wire.smtp.client_events``.
Leaves to others: what follows from it (``deliver.classify``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from posthouse.mail.reply import Reply
from posthouse.wire.smtp.client_events import Stage


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """A session was not opened.

    Attributes:
        stage: How far it came.
        cause: What happened, in words; never a secret.
        reply: The server's words, if it spoke.
        is_ours: Our own settings are at fault (a secret, a file, a name): another host would not help.
        account: Whom it concerns, where not the host: the identity that got no token, or the mailbox.
        needs_operator: Nothing will change until a person acts.
        retry_after: What the authority asked for, else None.
    """

    stage: Stage
    cause: str
    reply: Reply | None = None
    is_ours: bool = False
    account: Literal["", "identity", "mailbox"] = ""
    needs_operator: bool = False
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unroutable:
    """DNS proves that mail for a domain goes nowhere.

    Attributes:
        status: Enhanced status code, permanent.
    """

    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class LookupTrouble:
    """DNS did not answer, or not sensibly. Later it may."""

    reason: str
