"""One attempt: leave to make it, and a result for every recipient whatever happens.

Shape: `permitted` asks the budgets; `attempt` runs the deliverer.
Failures: an exception of the deliverer is a fault of ours: logged, and the copies wait for their next attempt.
Leaves to others: waiting for room (``dispatch``), what follows from results (``schedule``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from posthouse.mail.message import Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, OnUnknown, Unknown
from posthouse.queue.port import Budgeting, Deliverer, Job, NoRoom, Permit

log = structlog.get_logger()


async def permitted(job: Job, budgets: Budgeting) -> Job | NoRoom:
    """Ask the budgets: the first way of the route that has room soon enough, or how long to wait."""
    if not job.ways or not job.ways[0].is_microsoft:
        return job
    sender, waiting = job.lease.message.envelope.sender, job.lease.waiting
    first: NoRoom | None = None
    for place, way in enumerate(job.ways):
        if not way.is_microsoft:
            return replace(job, ways=job.ways[place:])
        answer = await budgets.take(way, sender, waiting)
        if isinstance(answer, Permit):
            return replace(job, ways=job.ways[place:], permit=answer)
        first = first if first is not None and first.wait <= answer.wait else answer
        if answer.wait <= way.connector.failover_after:
            break
    assert first is not None
    return first


async def attempt(job: Job, deliverer: Deliverer) -> Sequence[AttemptResult]:
    """Attempt delivery once."""
    if not job.ways:
        reason = "no route of the flow matches; add one, or cancel the message"
        return [AttemptResult(index=w.index, outcome=Deferred(reason=reason), connector="") for w in job.lease.waiting]
    try:
        return await deliverer.deliver(job)
    except asyncio.CancelledError:
        # The node stops and cannot wait: whether the message was taken is not known, and must not be guessed.
        reason, then = "the node stopped during the attempt", job.ways[0].connector.on_unknown
        return [_unknown(w, reason, then, job) for w in job.lease.waiting]
    except Exception as error:  # a fault of ours must not lose mail: the copies wait for their next attempt
        log.exception("queue.attempt_crashed", message_id=job.lease.message.id, hop=job.lease.hop)
        reason = f"internal fault during the attempt: {type(error).__name__}"
        return [_fault(w, reason, job) for w in job.lease.waiting]


def _unknown(waiting: Waiting, reason: str, then: OnUnknown, job: Job) -> AttemptResult:
    mailbox = job.permit.mailbox if job.permit is not None else ""
    outcome = Unknown(reason=reason, retry=then == "retry", verify=then == "verify", mailbox=mailbox)
    return AttemptResult(index=waiting.index, outcome=outcome, connector=job.ways[0].name)


def _fault(waiting: Waiting, reason: str, job: Job) -> AttemptResult:
    return AttemptResult(index=waiting.index, outcome=Deferred(reason=reason), connector=job.ways[0].name)
