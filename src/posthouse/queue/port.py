"""What the queue asks of the layer above it: carry a job, write a notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from posthouse.decide.ways import Way
from posthouse.mail.address import Address
from posthouse.mail.budget import Charge
from posthouse.mail.message import Lease, Message, Waiting
from posthouse.mail.outcome import AttemptResult
from posthouse.mail.reply import Reply
from posthouse.mail.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt: a lease, and the route that the current flow gives it.

    Attributes:
        ways: The route's ways out that can carry it, in the order in which they are tried.
        permit: What the budgets granted for the first of them; None where nothing limits it.
    """

    lease: Lease
    route: Route
    ways: tuple[Way, ...]
    permit: Permit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to attempt one message over one way.

    Attributes:
        mailbox: The mailbox that sends; empty where none does.
        charges: What was taken for it.
        taken_at: When.
    """

    way: Way
    mailbox: str
    charges: tuple[Charge, ...]
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """A way has no room for a message now.

    Attributes:
        wait: Until it may have.
        reason: Which limit, or why a mailbox rests; a sentence for the operator.
    """

    wait: timedelta
    reason: str


class Budgeting(Protocol):
    """Keeps attempts inside the limits. Implemented by ``queue.budget``."""

    async def take(self, way: Way, sender: Address | None, waiting: Sequence[Waiting]) -> Permit | NoRoom:
        """Take what one message to these recipients costs, on disk before it returns, or say when there is room."""

    async def finish(self, permit: Permit, results: Sequence[AttemptResult]) -> None:
        """The attempt ended: its connection is free, and what the server said of limits is taken to heart."""


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
