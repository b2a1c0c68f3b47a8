"""From a lease to a job: each copy is routed by the flow of this moment, not by that of its acceptance.

Shape: `plan_job` is a pure function of policy, lease and time.
"""

from __future__ import annotations

from datetime import datetime

from posthouse.decide.policy import Policy
from posthouse.mail.message import Lease, RecipientState, RecipientUpdate, Waiting
from posthouse.mail.route import NoRoute, Route
from posthouse.queue.lines import NO_ROUTE_HOP
from posthouse.queue.port import Job

_UNROUTABLE = Route("", (), NO_ROUTE_HOP, "no route")


def plan_job(policy: Policy, lease: Lease, now: datetime) -> tuple[Job | None, list[RecipientUpdate]]:
    """Route the copies of a lease.

    Returns:
        The job for the copies that still belong to the lease's waiting line (None when none does), and the moves of
        the others to theirs.
    """
    message, staying, moved = lease.message, list[Waiting](), list[RecipientUpdate]()
    route = _UNROUTABLE
    for waiting in lease.waiting:
        answer = policy.route(
            message.envelope.sender, waiting.recipient.address, message.session.principal, message.content.size_octets
        )
        hop = NO_ROUTE_HOP if isinstance(answer, NoRoute) else answer.hop
        if hop == lease.hop:
            staying.append(waiting)
            route = answer if isinstance(answer, Route) else route
        else:
            moved.append(_move(waiting, hop, now))
    if not staying:
        return None, moved
    if moved:
        lease = Lease(message=message, hop=lease.hop, waiting=tuple(staying), until=lease.until)
    return Job(lease=lease, route=route, connectors=tuple(policy.outbound[name] for name in route.connectors)), moved


def _move(waiting: Waiting, hop: str, now: datetime) -> RecipientUpdate:
    return RecipientUpdate(
        index=waiting.index, state=RecipientState.PENDING, next_at=now, hop=hop, counts_as_attempt=False
    )
