"""What follows from an outcome: the next state, the next time, the event. The one place that decides it.

Source: Exchange's queue intervals (glitch retry 4 x 1 min, transient 6 x 5 min, then every 15 min), RFC 5321 4.5.4.1.
Shape: pure functions; time and random numbers are handed in.
Leaves to others: what a reply means (``deliver.classify``), writing (``queue.settle``), notices (``deliver.bounce``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from posthouse.mail.event import Detail, Event, EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import Message, RecipientState, RecipientUpdate, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Delivered, Failed, Scope, Unknown
from posthouse.mail.reply import Reply
from posthouse.queue.port import RecipientFailure
from posthouse.queue.settings import QueueSettings

MAX_REPLY_CHARACTERS = 2000
EXPIRED_STATUS = "4.4.7"
VERIFY_AFTER = timedelta(seconds=30)
"""First look for what became of a message whose answer was lost."""


class RetryPlan:
    """The intervals between attempts."""

    def __init__(self, settings: QueueSettings) -> None:
        self._steps = [step.every for step in settings.retry for _ in range(step.times)]
        self._then = settings.then_every
        self._jitter = settings.jitter_percent / 100.0

    def interval(self, attempts: int, random: float) -> timedelta:
        """Time to the next attempt.

        Args:
            attempts: Attempts made so far, the last one included (1 or more).
            random: 0 <= random < 1; spreads the interval by the jitter around its middle.
        """
        base = self._steps[attempts - 1] if attempts <= len(self._steps) else self._then
        return base * (1.0 + self._jitter * (2.0 * random - 1.0))


@dataclass(frozen=True, slots=True)
class Step:
    """What one result leads to.

    Attributes:
        update: New state of the copy.
        event: What is written into the trace.
        failure: Set when the sender has to be told of a failure.
        success: Set when the sender asked to be told of success and nobody else will.
    """

    update: RecipientUpdate
    event: Event
    failure: RecipientFailure | None = None
    success: RecipientFailure | None = None


def follow(
    message: Message, waiting: Waiting, result: AttemptResult, plan: RetryPlan, now: datetime, random: float
) -> Step:
    """Decide what follows from one recipient's result.

    Args:
        message: The message.
        waiting: The copy as it was leased.
        result: What the attempt ended in.
        plan: Intervals.
        now: Aware UTC.
        random: 0 <= random < 1, for jitter.
    """
    match result.outcome:
        case Delivered(reply=reply, relayed_dsn=relayed):
            told = None if relayed else RecipientFailure(index=result.index, status="2.0.0", reason="", reply=reply)
            return _step(message.id, result, RecipientState.DELIVERED, EventKind.DELIVERED, now, reply, success=told)
        case Failed(status=status, reason=reason, reply=reply):
            failure = RecipientFailure(
                index=result.index, status=status, reason=reason, reply=reply, remote=result.remote
            )
            return _step(
                message.id, result, RecipientState.FAILED, EventKind.FAILED, now, reply, reason=reason, failure=failure
            )
        case Deferred(reason=reason, reply=reply, retry_after=retry_after, scope=scope):
            # Only the mailbox has to rest; another one may carry the message before.
            asked = timedelta() if scope is Scope.MAILBOX else retry_after or timedelta()
            next_at = now + max(plan.interval(waiting.attempts + 1, random), asked)
            return _wait_or_expire(message, result, EventKind.DEFERRED, now, next_at, reason, reply)
        case Unknown(reason=reason, retry=retry, verify=verify):
            if retry:
                next_at = now + plan.interval(waiting.attempts + 1, random)
                return _wait_or_expire(message, result, EventKind.UNKNOWN, now, next_at, reason, None)
            if verify:
                due, state = now + VERIFY_AFTER, RecipientState.UNKNOWN
                return _step(message.id, result, state, EventKind.UNKNOWN, now, None, reason=reason, next_at=due)
            return _step(message.id, result, RecipientState.UNKNOWN, EventKind.UNKNOWN, now, None, reason=reason)
        case never:
            assert_never(never)


def _wait_or_expire(
    message: Message,
    result: AttemptResult,
    kind: EventKind,
    now: datetime,
    next_at: datetime,
    reason: str,
    reply: Reply | None,
) -> Step:
    if now < message.expires_at:
        # The last attempt falls on the expiry itself, so that nothing waits for a time that never comes.
        due = min(next_at, message.expires_at)
        return _step(message.id, result, RecipientState.PENDING, kind, now, reply, reason=reason, next_at=due)
    failure = RecipientFailure(
        index=result.index,
        status=EXPIRED_STATUS,
        reason=f"Message expired: {reason}",
        reply=reply,
        remote=result.remote,
    )
    return _step(
        message.id, result, RecipientState.EXPIRED, EventKind.EXPIRED, now, reply, reason=reason, failure=failure
    )


def _step(
    message_id: MessageId,
    result: AttemptResult,
    state: RecipientState,
    kind: EventKind,
    now: datetime,
    reply: Reply | None,
    *,
    reason: str = "",
    next_at: datetime | None = None,
    failure: RecipientFailure | None = None,
    success: RecipientFailure | None = None,
) -> Step:
    said = str(reply)[:MAX_REPLY_CHARACTERS] if reply is not None else ""
    status = failure.status if failure else (reply.enhanced if reply else "")
    detail: dict[str, str | int | float | bool | list[str] | None] = {"connector": result.connector}
    if result.remote:
        detail["remote"] = result.remote
    if said:
        detail["reply"] = said
    if reason:
        detail["reason"] = reason
    if isinstance(result.outcome, Deferred | Failed) and result.outcome.explanation_id:
        detail["explanation"] = result.outcome.explanation_id
    if next_at is not None:
        detail["next_at"] = next_at.isoformat(timespec="seconds")
    if isinstance(result.outcome, Unknown) and result.outcome.verify:
        detail["then"] = "look"
        if result.outcome.mailbox:
            detail["mailbox"] = result.outcome.mailbox
    detail.update(result.detail)
    update = RecipientUpdate(
        index=result.index,
        state=state,
        next_at=next_at,
        status=status,
        last_reply=(said or reason)[:MAX_REPLY_CHARACTERS],
        remote=result.remote,
        connector=result.connector,
    )
    return Step(update, Event(now, kind, message_id, result.index, detail), failure, success)


def expire(message: Message, waiting: Waiting, now: datetime, last_reply: str) -> Step:
    """Decide for a copy whose time ran out while it waited."""
    reason = f"Message expired: {last_reply}" if last_reply else "Message expired before it could be delivered"
    result = AttemptResult(index=waiting.index, outcome=Deferred(reason=reason), connector="")
    failure = RecipientFailure(index=waiting.index, status=EXPIRED_STATUS, reason=reason)
    return _step(
        message.id, result, RecipientState.EXPIRED, EventKind.EXPIRED, now, None, reason=reason, failure=failure
    )


def operator_event(
    kind: EventKind, message_id: MessageId, index: int, now: datetime, by: str, detail: Detail | None = None
) -> Event:
    """An event of something that a named person did."""
    return Event(now, kind, message_id, index, {"by": by, **(detail or {})})
