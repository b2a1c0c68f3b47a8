"""Hand one message to one address of one host, in as many transactions as that takes.

Source: RFC 5321 4.5.3.1.8 and 4.5.3.1.10 (100 recipients, and what to do beyond), 3.8 (sessions that end).
Shape: `hand_over` gives exactly one result for each recipient, and the `SessionFailure` if no session came about.
Failures: results. Nothing that a network or a remote server does raises.
Leaves to others: which address (``deliver.carrier``), what a reply means (``deliver.classify``).

A kept session that turns out to be dead, or used up, when MAIL is said is no attempt: the message goes over a new one
at once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from posthouse.decide.outbound import Outbound
from posthouse.decide.ways import Way
from posthouse.deliver.classify import classify, classify_session, wants_new_transaction
from posthouse.deliver.content import Fitted, fit, fit_octets, pieces
from posthouse.deliver.failure import SessionFailure
from posthouse.deliver.pool import Pool
from posthouse.deliver.smtp import Session
from posthouse.deliver.target import Target
from posthouse.mail.message import InlineContent, Message, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Scope
from posthouse.wire.smtp.client_events import Answer, CannotSend, NoAnswer, RecipientResult, Stage, Transaction
from posthouse.wire.smtp.client_extensions import Extensions

MAX_RECIPIENTS = 100
"""What every server must take in one transaction; Microsoft's limits say more."""
BUNDLE_IDLE_SECONDS = 1.0
"""After a longer rest a session may be dead, so content waits until MAIL and RCPT were answered."""

_BEFORE_MAIL = (Stage.RESET, Stage.MAIL)
_ENOUGH = re.compile(r"(messages|mails|transactions|deliveries)\b.*\b(session|connection)", re.IGNORECASE)
"""Servers that limit messages for each connection say so in words; no code is set apart for it."""


async def hand_over(
    way: Way, pool: Pool, target: Target, message: Message, waiting: Sequence[Waiting]
) -> tuple[list[AttemptResult], SessionFailure | None]:
    """Attempt delivery at one address.

    Args:
        waiting: The recipients, at least one.
    """
    connector, most = way.connector, way.limits.recipients_per_message or MAX_RECIPIENTS
    results: list[AttemptResult] = []
    left = list(waiting)
    must_be_fresh = False
    known: Extensions | None = None
    fitted: Fitted | CannotSend | NoAnswer = CannotSend("", "")
    while left:
        session = None if must_be_fresh else pool.take_idle(target)
        if session is None:
            opened = await pool.acquire(target, fresh=must_be_fresh)
            if isinstance(opened, SessionFailure):
                outcome = classify_session(opened)
                remote = str(target)
                results += [
                    AttemptResult(index=w.index, outcome=outcome, connector=connector.name, remote=remote) for w in left
                ]
                return results, opened
            session = opened
        must_be_fresh = False
        if known is not session.machine.extensions:
            known = session.machine.extensions
            fitted = await _fit(message, known)
            if not session.is_ready:
                pool.release(session)
                continue
        chunk, rest = (left, []) if len(left) <= most else (left[:most], left[most:])
        was_kept = session.messages > 0
        started = session.now()
        answers = await _transact(connector, session, message, fitted, chunk)
        if is_cut_off():
            pool.release(session)
            results += _results(connector, session, chunk, answers, (), started)
            return results + [_not_begun(w, connector) for w in rest], None
        if was_kept and _was_used_up(answers):
            session.leave()
            must_be_fresh = True
            continue
        pool.release(session)
        again = _for_another_transaction(answers, chunk)
        results += _results(connector, session, chunk, answers, again, started)
        left = again + rest
    return results, None


def is_cut_off() -> bool:
    """The node stops and waits no longer: what runs may be ended, nothing new begins."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _not_begun(waiting: Waiting, connector: Outbound) -> AttemptResult:
    outcome = Deferred(reason="the node stopped before the attempt", scope=Scope.MESSAGE)
    return AttemptResult(index=waiting.index, outcome=outcome, connector=connector.name)


def _results(
    connector: Outbound,
    session: Session,
    chunk: Sequence[Waiting],
    answers: Sequence[RecipientResult],
    again: Sequence[Waiting],
    started: float,
) -> list[AttemptResult]:
    """Results of one transaction, but not of those that follow in another."""
    detail = session.detail | {"duration_ms": int((session.now() - started) * 1000)}
    dsn, on_unknown = session.machine.extensions.dsn, connector.on_unknown
    return [
        AttemptResult(
            index=w.index,
            outcome=classify(answer, on_unknown=on_unknown, relayed_dsn=dsn),
            connector=connector.name,
            remote=session.remote,
            detail=detail,
        )
        for w, answer in zip(chunk, answers, strict=True)
        if w not in again
    ]


async def _fit(message: Message, extensions: Extensions) -> Fitted | CannotSend | NoAnswer:
    content = message.content
    if isinstance(content, InlineContent):
        return fit_octets(content.data, message, extensions)
    try:
        return await fit(message, extensions)
    except OSError as error:
        return NoAnswer(Stage.MAIL, f"the content cannot be read: {error.strerror or error}", False)


async def _transact(
    connector: Outbound,
    session: Session,
    message: Message,
    fitted: Fitted | CannotSend | NoAnswer,
    chunk: Sequence[Waiting],
) -> tuple[RecipientResult, ...]:
    if not isinstance(fitted, Fitted):
        return (fitted,) * len(chunk)
    envelope = message.envelope
    transaction = Transaction(
        sender=envelope.sender,
        recipients=tuple([w.recipient for w in chunk]),
        size_octets=fitted.size_octets,
        body=fitted.body,
        has_utf8_header=fitted.has_utf8_header,
        ret=envelope.ret,
        envid=envelope.envid,
        content=fitted.content,
    )
    if fitted.spooled is not None:
        return await session.transact(transaction, source=pieces(fitted.spooled))
    is_lively = session.messages == 0 or (
        connector.on_unknown == "retry" and session.now() - session.idle_since < BUNDLE_IDLE_SECONDS
    )
    return await session.transact(transaction, may_bundle=is_lively)


def _was_used_up(answers: Sequence[RecipientResult]) -> bool:
    """The session was gone before it answered MAIL, or had carried enough; nothing of the content was on its way."""
    first = next((a for a in answers if not isinstance(a, CannotSend)), None)
    if isinstance(first, NoAnswer):
        return first.stage in _BEFORE_MAIL and not first.may_be_delivered
    if not isinstance(first, Answer) or first.stage not in _BEFORE_MAIL or not first.reply.is_transient:
        return False
    # Before MAIL is accepted, an answer counts for all recipients alike.
    return first.reply.code == 421 or _ENOUGH.search(first.reply.text) is not None


def _for_another_transaction(answers: Sequence[RecipientResult], chunk: Sequence[Waiting]) -> list[Waiting]:
    """Recipients that the server had no more room for, if it took others: each round then makes progress."""
    if len(chunk) == 1:
        return []
    turned_away = [w for w, answer in zip(chunk, answers, strict=True) if wants_new_transaction(answer)]
    if not turned_away:
        return []
    took_some = any(isinstance(a, Answer) and a.stage is Stage.CONTENT and a.reply.is_positive for a in answers)
    return turned_away if took_some else []
