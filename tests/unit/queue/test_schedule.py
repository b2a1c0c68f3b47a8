"""What follows from an outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Recipient
from posthouse.mail.event import EventKind
from posthouse.mail.ids import MessageId, SessionId
from posthouse.mail.message import HeaderFacts, InlineContent, Message, Origin, RecipientState, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Delivered, Failed, Outcome, Unknown
from posthouse.mail.reply import Reply
from posthouse.mail.session import SessionFacts
from posthouse.queue.schedule import RetryPlan, Step, expire, follow
from posthouse.queue.settings import QueueSettings

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLAN = RetryPlan(QueueSettings())


def message(expires_in: timedelta = timedelta(hours=24)) -> Message:
    session = SessionFacts(
        id=SessionId("0" * 16),
        listener="smtp",
        peer_ip="127.0.0.1",
        peer_port=1,
        helo="x",
        protocol="ESMTP",
        tls=None,
        principal=None,
        started_at=NOW,
    )
    return Message(
        id=MessageId(1),
        received_at=NOW,
        expires_at=NOW + expires_in,
        origin=Origin.SMTP,
        envelope=Envelope(sender=Address("a", "x.example"), recipients=(Recipient(Address("b", "y.example")),)),
        session=session,
        content=InlineContent(b"\r\n"),
        header=HeaderFacts(),
    )


def after(outcome: Outcome, attempts: int = 0, expires_in: timedelta = timedelta(hours=24)) -> Step:
    recipient = Recipient(Address("b", "y.example"))
    result = AttemptResult(index=0, outcome=outcome, connector="out", remote="mx [192.0.2.1]:25")
    return follow(message(expires_in), Waiting(0, recipient, attempts), result, PLAN, NOW, 0.5)


def test_the_plan_is_four_minutes_then_six_times_five_then_every_fifteen() -> None:
    minutes = [PLAN.interval(n, 0.5) / timedelta(minutes=1) for n in range(1, 14)]
    assert minutes == [1, 1, 1, 1, 5, 5, 5, 5, 5, 5, 15, 15, 15]


def test_jitter_spreads_ten_percent_to_each_side() -> None:
    assert PLAN.interval(1, 0.0) == timedelta(seconds=54)
    assert PLAN.interval(1, 0.999999) < timedelta(seconds=66)


def test_delivered_ends_the_copy_with_the_servers_words() -> None:
    step = after(Delivered(reply=Reply.of(250, "2.0.0", "OK id=7")))
    assert step.update.state is RecipientState.DELIVERED
    assert step.event.detail["reply"] == "250 2.0.0 OK id=7"
    assert step.event.detail["remote"] == "mx [192.0.2.1]:25"
    assert step.failure is None


def test_failed_ends_the_copy_and_tells_the_sender() -> None:
    step = after(Failed(status="5.1.1", reason="no such user", reply=Reply.of(550, "5.1.1", "unknown")))
    assert step.update.state is RecipientState.FAILED
    assert step.failure is not None
    assert step.failure.status == "5.1.1"


def test_deferred_waits_for_its_interval_or_for_what_the_server_asked() -> None:
    assert after(Deferred(reason="busy")).update.next_at == NOW + timedelta(minutes=1)
    asked = after(Deferred(reason="busy", retry_after=timedelta(minutes=7)))
    assert asked.update.next_at == NOW + timedelta(minutes=7)
    assert asked.update.state is RecipientState.PENDING


def test_the_last_attempt_falls_on_the_expiry_and_not_after_it() -> None:
    step = after(Deferred(reason="busy"), attempts=20, expires_in=timedelta(minutes=3))
    assert step.update.next_at == NOW + timedelta(minutes=3)


def test_deferred_after_the_expiry_is_expired_with_a_failure_for_the_sender() -> None:
    step = after(Deferred(reason="busy"), expires_in=timedelta(0))
    assert step.update.state is RecipientState.EXPIRED
    assert step.event.kind is EventKind.EXPIRED
    assert step.failure is not None
    assert step.failure.status == "4.4.7"


@pytest.mark.parametrize(("retry", "state"), [(True, RecipientState.PENDING), (False, RecipientState.UNKNOWN)])
def test_an_unknown_outcome_is_recorded_as_such_and_retried_only_where_allowed(
    retry: bool, state: RecipientState
) -> None:
    step = after(Unknown(reason="connection lost after the final dot", retry=retry))
    assert step.event.kind is EventKind.UNKNOWN
    assert step.update.state is state
    assert step.failure is None


def test_a_copy_that_ran_out_of_time_while_waiting_is_expired() -> None:
    step = expire(message(), Waiting(0, Recipient(Address("b", "y.example"))), NOW, "451 busy")
    assert step.update.state is RecipientState.EXPIRED
    assert step.failure is not None
    assert "451 busy" in step.failure.reason
