"""Events: what happened to a message, to a recipient or at the door. The only place that spells their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from posthouse.mail.ids import MessageId

Detail = Mapping[str, str | int | float | bool | list[str] | None]


class EventKind(StrEnum):
    """What can happen. The values are stored and shown; never rename one."""

    ACCEPTED = "accepted"
    """Detail: session, listener, peer, helo, protocol, tls, cipher, principal, size, repairs, routes."""
    REFUSED = "refused"
    """At the door, no message: stage, reply, peer, listener, session, sender, recipient."""
    ROUTED = "routed"
    """Detail: route, connectors, hop, reason."""
    ATTEMPTED = "attempted"
    """One SMTP transaction with a remote server: connector, remote, tls, cipher, local, duration_ms."""
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    HELD = "held"
    RELEASED = "released"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    DELAY_NOTICED = "delay_noticed"
    BOUNCED = "bounced"
    """A notice about this message was queued: notice (message id)."""
    NOT_BOUNCED = "not_bounced"
    """Failure without a notice: reason (null sender, NOTIFY=NEVER)."""
    LEASE_RETURNED = "lease_returned"
    """The node ended during an attempt; the copy is due again."""
    RETURNED = "returned"
    """A report about a delivered copy came back: status, reply, source, report, explanation, remote."""
    LOGIN = "login"
    """Door: account, mechanism, result."""
    EXPIRES = "credential_expires"
    """No message: identity, what, ends_at, days_left, source."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        at: Aware UTC.
        kind: What.
        message_id: None for what happened at the door.
        recipient: Index in the envelope, or None for the whole message.
        detail: Further fields, shown by `trace show`; never a secret.
    """

    at: datetime
    kind: EventKind
    message_id: MessageId | None = None
    recipient: int | None = None
    detail: Detail = field(default_factory=dict)
