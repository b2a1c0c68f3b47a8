"""All listeners of the node, from start to stop.

Shape: `Receiver` is built by the service with everything it needs, then `start`, later `drain`. While it runs, a new
flow, new certificates and the counts of the last day can be handed in.
Failures: `ReceiveProblem` from `start`, with all that is wrong; nothing is left open then.
Leaves to others: signals and files of settings (``service``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from posthouse.decide.policy import Policy
from posthouse.net.certificates import KeptOld, Reloaded, ServerCertificates, make_self_signed
from posthouse.net.contexts import CertificateProblem
from posthouse.net.handler import Endpoint
from posthouse.receive.listener import Listener, ListenProblem
from posthouse.receive.login import LoginDesk
from posthouse.receive.port import Intake
from posthouse.receive.quota import ConnectionQuota
from posthouse.receive.reception import Door, Reception, Statistics
from posthouse.receive.settings import ListenerSettings, LoginSettings, TlsSettings
from posthouse.store.port import Keeping
from posthouse.store.sealing import Sealer
from posthouse.trace.protocol_log import ProtocolLog

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 50_000
"""Of the node; each listener has its own, smaller limit."""


class ReceiveProblem(Exception):
    """The node cannot take mail in.

    Attributes:
        problems: One sentence for each thing that is wrong.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Receiver:
    """All listeners.

    Attributes:
        desk: For log-ins; `LoginDesk.forget` after accounts changed is possible, not needed.
    """

    def __init__(
        self,
        listeners: Sequence[ListenerSettings],
        *,
        hostname: str,
        policy: Policy,
        intake: Intake,
        store: Keeping,
        login: LoginSettings,
        sealer: Sealer,
        clock: Callable[[], datetime],
        certificates: ServerCertificates | None = None,
        protocol_log: ProtocolLog | None = None,
        max_received: int = 30,
        max_connections: int = MAX_CONNECTIONS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Wire the parts together inside a running loop; nothing is opened.

        Args:
            hostname: In banners and Received fields.
            certificates: None where no listener speaks TLS.
            protocol_log: Used by the listeners that ask for it.
            max_received: Received fields above which a message is in a loop.
            sleep: Waits before the answer to a wrong password.
        """
        loop = asyncio.get_running_loop()
        self.desk = LoginDesk(store, login, sealer, monotonic=loop.time, clock=clock, record=intake.refused)
        self._certificates = certificates
        self._reception = Reception(
            hostname=hostname,
            policy=policy,
            intake=intake,
            desk=self.desk,
            max_received=max_received,
            max_connections=max_connections,
            clock=clock,
            sleep=sleep,
            loop=loop,
        )
        self._listeners = [
            Listener(
                Door(
                    reception=self._reception,
                    settings=settings,
                    certificates=certificates if settings.tls != "none" else None,
                    quota=ConnectionQuota(settings.max_connections, settings.max_connections_per_address),
                    protocol_log=protocol_log if settings.protocol_log else None,
                )
            )
            for settings in listeners
        ]

    async def start(self) -> None:
        """Open all listeners, or none.

        Raises:
            ReceiveProblem: Certificates cannot be used, or addresses cannot be bound.
        """
        problems = [problem for listener in self._listeners if (problem := _tls_problem(listener.door))]
        for listener in self._listeners if not problems else ():
            try:
                await listener.open()
            except ListenProblem as problem:
                problems.append(str(problem))
        if problems:
            self._close_listeners()
            raise ReceiveProblem(problems)
        self._reception.wheel.start()
        for listener in self._listeners:
            settings = listener.door.settings
            log.info(
                "listening",
                listener=settings.name,
                addresses=[str(address) for address in listener.addresses],
                tls=settings.tls,
            )
            if settings.profile == "legacy":
                log.warning("legacy_tls_profile", listener=settings.name, risk="TLS 1.0 and old ciphers are accepted")

    @property
    def reception(self) -> Reception:
        """What all ways in share, for the one that is no listener (``receive.local``)."""
        return self._reception

    @property
    def addresses(self) -> dict[str, list[Endpoint]]:
        """Where each listener listens, by its name."""
        return {listener.door.settings.name: listener.addresses for listener in self._listeners}

    @property
    def statistics(self) -> Statistics:
        """Counts since the start."""
        return self._reception.statistics

    @property
    def open_connections(self) -> dict[str, int]:
        """Connections of this moment by listener."""
        return {listener.door.settings.name: listener.door.quota.open for listener in self._listeners}

    def accounts_changed(self) -> None:
        """Log-ins of open sessions count no more from their next MAIL on: the account may be gone."""
        self._reception.accounts_revision += 1

    def set_policy(self, policy: Policy) -> None:
        """Use a new revision of the flow, from the next MAIL of each session on."""
        self._reception.policy = policy

    def prime_quota(self, recipients: Mapping[str, int]) -> None:
        """Hand in `store.recipients_since` of the last 24 hours, so that a restart gives nobody a second day."""
        self._reception.sending.prime(recipients, self._reception.wheel.now)

    def reload_certificates(self, *, force: bool = False) -> Reloaded | KeptOld | None:
        """Load certificates again where their files changed, or in any case with `force`; sessions go on.

        Returns:
            What happened, or None where nothing changed.
        """
        if self._certificates is None:
            return None
        result = self._certificates.reload() if force else self._certificates.reload_if_changed()
        if isinstance(result, KeptOld):
            log.error("certificate_not_loaded", problem=result.problem)
        elif result is not None:
            log.info("certificate_loaded")
        return result

    async def drain(self, deadline: timedelta) -> int:
        """Stop: accept no more, send idle sessions away, let the others finish until the deadline.

        Returns:
            Number of sessions that had to be cut off.
        """
        reception = self._reception
        reception.is_draining = True
        self._close_listeners()
        reception.emptied.clear()
        sessions = [session for listener in self._listeners for session in listener.door.sessions]
        for session in sessions:
            session.drain()
        try:
            if reception.quota.open:
                async with asyncio.timeout(deadline.total_seconds()):
                    await reception.emptied.wait()
        except TimeoutError:
            log.warning("sessions_cut_off", count=reception.quota.open)
        left = reception.quota.open
        for session in [session for listener in self._listeners for session in listener.door.sessions]:
            session.abort()
        reception.wheel.stop()
        self.desk.close()
        return left

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()


def open_certificates(settings: TlsSettings, directory: Path, hostname: str, now: datetime) -> ServerCertificates:
    """The node's certificate: the operator's, or else a self-signed pair that is made in `directory` once.

    Raises:
        OSError: A pair cannot be written.
    """
    if settings.certificate is not None:
        return ServerCertificates(settings.certificate, settings.key or settings.certificate, settings.client_ca)
    certificate, key = directory / "self-signed.pem", directory / "self-signed.key"
    if make_self_signed(certificate, key, hostname, now):
        log.warning("self_signed_certificate_made", certificate=str(certificate), hostname=hostname)
    return ServerCertificates(certificate, key, settings.client_ca)


def _tls_problem(door: Door) -> str | None:
    if door.settings.tls == "none":
        return None
    try:
        door.tls_context()
    except CertificateProblem as problem:
        return f"listener {door.settings.name!r}: {problem}"
    return None
