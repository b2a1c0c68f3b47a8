"""From a lease to a job: each copy is routed by the flow of this moment, not by that of its acceptance.

Shape: `plan_job` is a pure function of policy, lease and time. Ways that cannot carry a copy whatever the hour (too
large, outside an internal-only way, no mailbox for the sender) are left out; the copies that no way can carry are
refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from posthouse.decide.policy import Policy
from posthouse.decide.ways import Unsuitable, Way
from posthouse.mail.message import Lease, RecipientState, RecipientUpdate, Waiting
from posthouse.mail.outcome import AttemptResult, Failed
from posthouse.mail.route import NoRoute, Route
from posthouse.queue.lines import NO_ROUTE_HOP
from posthouse.queue.port import Job

_UNROUTABLE = Route("", (), NO_ROUTE_HOP, "no route")


@dataclass(slots=True)
class Plan:
    """What becomes of a lease.

    Attributes:
        job: What is attempted now, or None.
        later: Copies that stay in the line for another attempt, because other ways carry them or one transaction has
            no room for all.
        moved: Copies that the flow now sends elsewhere.
        refused: Copies that no way of their route can carry.
    """

    job: Job | None = None
    later: tuple[Waiting, ...] = ()
    moved: list[RecipientUpdate] = field(default_factory=list)
    refused: list[AttemptResult] = field(default_factory=list)


def plan_job(policy: Policy, lease: Lease, now: datetime) -> Plan:
    """Route the copies of a lease."""
    plan = Plan()
    message = lease.message
    groups: dict[tuple[Way, ...], list[Waiting]] = {}
    route = _UNROUTABLE
    for waiting in lease.waiting:
        answer = policy.route(
            message.envelope.sender, waiting.recipient.address, message.session.principal, message.content.size_octets
        )
        hop = NO_ROUTE_HOP if isinstance(answer, NoRoute) else answer.hop
        if hop != lease.hop:
            plan.moved.append(_move(waiting, hop, now))
            continue
        if isinstance(answer, NoRoute):
            groups.setdefault((), []).append(waiting)
            continue
        route = answer
        ways = _suitable(policy, lease, waiting, answer)
        if isinstance(ways, Unsuitable):
            outcome = Failed(status=ways.status, reason=ways.reason)
            plan.refused.append(AttemptResult(index=waiting.index, outcome=outcome, connector=answer.connectors[0]))
        else:
            groups.setdefault(ways, []).append(waiting)
    if not groups:
        return plan
    ways, first = next(iter(groups.items()))
    most = min((way.most_recipients for way in ways if way.is_microsoft), default=len(first))
    staying = tuple(first[:most])
    plan.later = (*first[most:], *(w for group in list(groups.values())[1:] for w in group))
    job_lease = lease if len(staying) == len(lease.waiting) else replace(lease, waiting=staying)
    plan.job = Job(lease=job_lease, route=route, ways=ways)
    return plan


def _suitable(policy: Policy, lease: Lease, waiting: Waiting, route: Route) -> tuple[Way, ...] | Unsuitable:
    ways = policy.ways_of(route.connectors)
    if not any(way.is_microsoft for way in ways):
        return ways
    message, refusal = lease.message, Unsuitable("5.4.4", "the route names no connector")
    fitting = list[Way]()
    is_internal = policy.router.is_internal(waiting.recipient.address.domain)
    for way in ways:
        refused = way.refuses(message.envelope.sender, message.content.size_octets, is_internal=is_internal)
        if refused is None:
            fitting.append(way)
        else:
            refusal = refused
    return tuple(fitting) or refusal


def _move(waiting: Waiting, hop: str, now: datetime) -> RecipientUpdate:
    return RecipientUpdate(
        index=waiting.index, state=RecipientState.PENDING, next_at=now, hop=hop, counts_as_attempt=False
    )
