"""What all sessions share: the flow in force, the intake, the desk for log-ins, counts and the clock.

Shape: one `Reception` for the node, one `Door` for each listener. Sessions read from them at the moment of need, so a
new flow counts from the next MAIL on.
Leaves to others: sockets (``receive.listener``), life (``receive.server``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from posthouse.decide.policy import Policy, Rights
from posthouse.mail.event import Event, EventKind
from posthouse.mail.reply import Reply
from posthouse.net.certificates import ServerCertificates
from posthouse.net.contexts import CertificateProblem
from posthouse.receive.bans import address_key
from posthouse.receive.login import LoginDesk
from posthouse.receive.port import Intake
from posthouse.receive.quota import ConnectionQuota, SendingQuota
from posthouse.receive.settings import ListenerSettings
from posthouse.receive.wheel import Wheel
from posthouse.trace.protocol_log import ProtocolLog
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.replies import SHUTTING_DOWN

if TYPE_CHECKING:
    from posthouse.receive.connection import ServerSession

BANNED = Reply.of(421, "4.7.0", "Too many failed log-ins from your address, try again later")


STORE_TROUBLE_SECONDS = 60.0
"""Between two lines of the log about a store that keeps nothing."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Statistics:
    """Counts since the start, for metrics."""

    connections: int = 0
    refused_connections: int = 0
    handshakes_failed: int = 0
    logins: int = 0
    logins_refused: int = 0
    messages: int = 0
    octets: int = 0
    recipients: int = 0
    refused_senders: int = 0
    refused_recipients: int = 0
    refused_messages: int = 0
    timed_out: int = 0


class Reception:
    """What the sessions of all listeners share.

    Attributes:
        policy: The flow in force.
        is_draining: No new mail is begun.
        emptied: Set whenever the last connection has gone.
        tasks: Log-ins and large messages under way, kept so that they are not lost.
    """

    __slots__ = (
        "_quiet_until",
        "accounts_revision",
        "clock",
        "desk",
        "emptied",
        "hostname",
        "intake",
        "is_draining",
        "loop",
        "max_received",
        "policy",
        "quota",
        "sending",
        "sleep",
        "statistics",
        "tasks",
        "wheel",
    )

    def __init__(
        self,
        *,
        hostname: str,
        policy: Policy,
        intake: Intake,
        desk: LoginDesk,
        max_received: int,
        max_connections: int,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Wire the parts together; nothing is opened.

        Args:
            max_received: Received fields above which a message is in a loop.
            max_connections: Sessions of the node.
            clock: Aware UTC.
            sleep: Waits; for the delay after a wrong password.
        """
        self.hostname, self.policy, self.intake, self.desk = hostname, policy, intake, desk
        self.max_received, self.clock, self.sleep, self.loop = max_received, clock, sleep, loop
        self.quota = ConnectionQuota(max_connections, max_connections)
        self.sending = SendingQuota()
        self.wheel = Wheel(loop)
        self.statistics = Statistics()
        self.is_draining = False
        self._quiet_until = 0.0
        self.accounts_revision = 0
        self.emptied = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def start_task(self, work: Coroutine[None, None, None]) -> None:
        """Run something that a session waits for."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def note_store_trouble(self, error: Exception) -> None:
        """Messages cannot be kept: said in the log once a minute, however many clients try."""
        if self.wheel.now >= self._quiet_until:
            self._quiet_until = self.wheel.now + STORE_TROUBLE_SECONDS
            log.error("message_not_kept", reason=str(error))

    def refused(self, detail: dict[str, str | int | None]) -> None:
        """Hand a refusal to the intake for the trace."""
        self.intake.refused(Event(self.clock(), EventKind.REFUSED, detail={k: v for k, v in detail.items() if v}))


@dataclass(slots=True, kw_only=True)
class Door:
    """What the sessions of one listener share.

    Attributes:
        sessions: Those that are open.
        protocol_log: None where it is off.
    """

    reception: Reception
    settings: ListenerSettings
    certificates: ServerCertificates | None
    quota: ConnectionQuota
    protocol_log: ProtocolLog | None = None
    sessions: set[ServerSession] = field(default_factory=set)
    _offers: dict[tuple[int, bool], Offer] = field(default_factory=dict)

    def enter(self, ip: str) -> Reply | None:
        """Count a connection that wants in, or say why it must not."""
        reception, key = self.reception, address_key(ip)
        if reception.is_draining:
            return SHUTTING_DOWN
        if reception.desk.is_banned(ip):
            return BANNED
        refusal = reception.quota.enter(key)
        if refusal is None:
            refusal = self.quota.enter(key)
            if refusal is None:
                reception.statistics.connections += 1
                return None
            reception.quota.leave(key)
        return refusal

    def leave(self, ip: str, session: ServerSession | None) -> None:
        """A connection that was counted is gone."""
        key = address_key(ip)
        self.quota.leave(key)
        self.reception.quota.leave(key)
        if session is not None:
            self.sessions.discard(session)
        if self.reception.quota.open == 0:
            self.reception.emptied.set()

    def tls_context(self) -> ssl.SSLContext:
        """The context of the moment. Raises `CertificateProblem`."""
        if self.certificates is None:
            raise CertificateProblem(f"listener {self.settings.name!r} has no certificate")
        return self.certificates.context(self.settings.profile, ask_client=self.settings.client_certificates)

    def offer(self, rights: Rights | None, *, has_certificate: bool) -> Offer:
        """What a session is offered: the listener's settings, narrowed by the rights of its principal."""
        octets = self.settings.max_message
        if rights is not None and rights.max_message is not None:
            octets = min(octets, rights.max_message)
        found = self._offers.get((octets, has_certificate))
        if found is None:
            found = _make_offer(self.reception.hostname, self.settings, has_certificate=has_certificate)
            found = self._offers[octets, has_certificate] = replace(found, max_message_octets=octets)
        return found


def note_handshake(door: Door, ip: str, problem: str) -> None:
    """A TLS handshake failed. Port scanners do that all day, so it is told to the trace and is no error."""
    door.reception.statistics.handshakes_failed += 1
    door.reception.refused({"stage": "tls", "reason": problem, "peer": ip, "listener": door.settings.name})


def _make_offer(hostname: str, settings: ListenerSettings, *, has_certificate: bool) -> Offer:
    mechanisms = tuple(m for m in settings.auth if m != "EXTERNAL" or has_certificate)
    in_clear = settings.auth_without_tls and settings.profile == "legacy"
    return Offer(
        hostname=hostname,
        starttls_offered=settings.tls == "starttls",
        mechanisms=mechanisms,
        mechanisms_before_tls=mechanisms if in_clear else (),
        advertise_auth_equals=settings.auth_equals,
        max_recipients=settings.max_recipients,
        max_line_octets=settings.max_line,
        max_errors=settings.max_errors,
        smtputf8=settings.smtputf8,
        chunking=settings.chunking,
    )
