"""What an attempt ended in, recipient by recipient.

An unknown failure is temporary; permanent needs a 5xx reply or a rule; an acknowledgement lost after the final dot is
``Unknown`` and neither of the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from posthouse.mail.event import Detail
from posthouse.mail.reply import Reply

OnUnknown = Literal["retry", "hold", "verify"]
"""What a connector does when the answer after the final dot was lost."""


class Scope(StrEnum):
    """How far a deferral reaches."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    MAILBOX = "mailbox"
    """The mailbox or identity that sends: it has to rest, others of the connector go on."""
    HOP = "hop"
    """The whole waiting line: the connector or destination cannot be reached or asks for peace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The next server took responsibility.

    Attributes:
        reply: Its words.
        relayed_dsn: The next server promised to honour NOTIFY itself (it offers DSN).
    """

    reply: Reply
    relayed_dsn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now.

    Attributes:
        reason: A sentence for the operator.
        reply: The server's words, if it spoke.
        scope: Recipient, message or the whole waiting line.
        retry_after: What the server or a limit asked for, else None.
        is_glitch: True for failures of the connection itself, which deserve the quick first retries.
        needs_operator: Nothing will change until a person acts; the mailbox rests until then.
        explanation_id: Entry of ``microsoft.replies`` that says what the reply means, or empty.
    """

    reason: str
    reply: Reply | None = None
    scope: Scope = Scope.RECIPIENT
    retry_after: timedelta | None = None
    is_glitch: bool = False
    needs_operator: bool = False
    explanation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Never.

    Attributes:
        status: Enhanced status code for the bounce, ``5.1.1``.
        reason: A sentence for people.
        reply: The server's words, if it spoke.
        explanation_id: Entry of ``microsoft.replies`` that says what the reply means, or empty.
    """

    status: str
    reason: str
    reply: Reply | None = None
    explanation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The final dot was sent and no answer came.

    Attributes:
        retry: The connector's `on_unknown` is ``retry``.
        verify: It is ``verify``: whoever can look into the mailbox says what became of it.
        mailbox: The mailbox that sent, whose Sent Items know; empty where none did.
    """

    reason: str
    retry: bool
    verify: bool = False
    mailbox: str = ""


Outcome = Delivered | Deferred | Failed | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """One recipient's result of one attempt.

    Attributes:
        index: Position in the envelope.
        remote: Name and address of the server that answered: ``mx.example.net [192.0.2.1]:25``, or empty.
        connector: Name of the outbound connector used last.
        detail: Facts for the trace: tls, cipher, local address, duration_ms, connectors tried before.
    """

    index: int
    outcome: Outcome
    connector: str
    remote: str = ""
    detail: Detail = field(default_factory=dict)
