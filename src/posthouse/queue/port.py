"""What the queue asks of the layer above it: carry a job, write a notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from posthouse.decide.flow import Mx, Smarthost, Submission
from posthouse.mail.message import Lease, Message
from posthouse.mail.outcome import AttemptResult
from posthouse.mail.reply import Reply
from posthouse.mail.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt: a lease, and the route that the current flow gives it.

    Attributes:
        connectors: The route's outbound connectors, in the order in which they are tried.
    """

    lease: Lease
    route: Route
    connectors: tuple[Smarthost | Mx | Submission, ...]


class Deliverer(Protocol):
    """Carries jobs. Implemented by ``deliver.worker``."""

    async def deliver(self, job: Job) -> Sequence[AttemptResult]:
        """Attempt delivery once.

        Returns:
            Exactly one result for each waiting recipient of the lease. Never raises for what a network or a remote
            server can do; an exception is a fault of ours, which the queue treats as a temporary failure.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientFailure:
    """What a notice says about one recipient."""

    index: int
    status: str
    reason: str
    reply: Reply | None = None
    remote: str = ""


class NoticeWriter(Protocol):
    """Composes notices. Implemented by ``deliver.bounce``. May read a spooled file: call it in a thread for those.

    Each method returns the new message, or a sentence that says why none is sent.
    """

    def failure(
        self, message: Message, failures: Sequence[RecipientFailure], now: datetime, seed: int
    ) -> Message | str:
        """Non-delivery report."""

    def delay(self, message: Message, delays: Sequence[RecipientFailure], now: datetime, seed: int) -> Message | str:
        """Delay notice."""

    def success(
        self, message: Message, successes: Sequence[RecipientFailure], now: datetime, seed: int
    ) -> Message | str:
        """Delivered or relayed, for NOTIFY=SUCCESS."""
