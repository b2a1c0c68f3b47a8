"""What the queue asks of the layer above it: carry a job, find out what became of one, write a notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        """The attempt over this way ended: its connection is free, and what was said of limits is taken to heart.

        The deliverer calls it for each permit, with that way's own results; with none where it broke off.
        """

    async def give_back(self, permit: Permit) -> None:
        """Nothing was attempted with it: what it took is free again."""


class Deliverer(Protocol):
    """Carries jobs, and hands each permit back to the budgets. Implemented by ``deliver.worker``."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Copies of one message whose answer was lost in one attempt.

    Attributes:
        message: Without its content.
        recipients: By index.
        mailboxes: That may have sent them; empty where none did.
        since: When the answer was lost; aware UTC.
        has_delivered: Other copies of the message went the same way in other attempts and arrived, or may have, so that
            a copy in Sent Items may be theirs.
        control: A message that went the same way before and was delivered: where it is not found either, nothing is
            proven.
        has_twins: Other messages bear the same Message-ID, as some devices write it.
    """

    message: Message
    recipients: Mapping[int, Address]
    mailboxes: tuple[str, ...]
    since: datetime
    has_delivered: bool = False
    control: Control | None = None
    has_twins: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """A message that is known to have arrived.

    Attributes:
        message_id: Its Message-ID.
        received_at: When we took it in.
    """

    message_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """The other side has the message.

    Attributes:
        where: ``Sent Items of a@b``, ``the message trace (Delivered)``.
        at: When the other side took it, where it says so.
    """

    where: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The other side does not show the message.

    Attributes:
        is_final: It would by now: the message never arrived, and may be sent again.
        reason: Where was looked.
    """

    is_final: bool
    reason: str


@dataclass(frozen=True, slots=True)
class CannotLook:
    """Nobody here can find out; `reason` says what is missing."""

    reason: str


Looked = Found | NotFound | CannotLook


class Verifier(Protocol):
    """Finds out what became of a message whose answer was lost. Implemented by ``deliver.graph.verify``."""

    async def look_up(self, way: Way, lost: Lost, now: datetime) -> Mapping[int, Looked]:
        """Look for the message; one answer for each recipient. Never raises for what a network can do."""
