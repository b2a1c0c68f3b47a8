"""Open a session with a host, as far as it takes until a message may follow.

Source: RFC 5321 3.1, 3.2; RFC 3207; RFC 4954; RFC 8314 3.3 (implicit TLS); RFC 7435 (opportunistic TLS).
Shape: `Dialer.open` connects, waits for the greeting, says hello, begins TLS and logs in, as the connector's settings
ask, and gives a `Session` that is ready.
Failures: `SessionFailure` as a value; the connection is closed then.
Leaves to others: which host (``deliver.resolve``), keeping sessions (``deliver.pool``).

With ``opportunistic``, TLS that fails is no reason not to deliver: the host is dialled again without it. Never with a
login: whoever can break TLS could read it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from posthouse.decide.outbound import Outbound, Smarthost
from posthouse.deliver.failure import SessionFailure
from posthouse.deliver.login import Login, LoginSource, TokenLogin, exchange_for, without_secret
from posthouse.deliver.patience import Patience
from posthouse.deliver.smtp import Session, SessionLog
from posthouse.deliver.target import Target
from posthouse.mail.event import Detail
from posthouse.net.connect import open_connection
from posthouse.net.contexts import CertificateProblem, ClientTls
from posthouse.wire.smtp.client import ClientMachine
from posthouse.wire.smtp.client_events import Answered, Ended, Stage

_MECHANISM_UNKNOWN = (504, 534)
REMEMBER_REFUSAL_SECONDS = 60.0
"""A password that was refused is not shown again for this long, because servers lock accounts for it."""


class Dialer:
    """Opens sessions for one connector."""

    def __init__(
        self,
        connector: Outbound,
        *,
        hostname: str,
        login: LoginSource,
        patience: Patience,
        open_log: Callable[[Outbound], SessionLog | None],
    ) -> None:
        self._connector = connector
        self._helo = connector.helo or hostname
        self._login = login
        self._patience = patience
        self._open_log = open_log
        self._is_implicit = isinstance(connector, Smarthost) and connector.implicit_tls
        self._one_by_one = asyncio.Lock()
        self._proved: dict[str, Login] = {}
        self._refused: dict[str, tuple[Login, SessionFailure, float]] = {}

    async def open(self, target: Target) -> Session | SessionFailure:
        """Open one session."""
        mailbox = target.mailbox
        login = await self._login(mailbox)
        if isinstance(login, SessionFailure):
            return login
        if login is None or login == self._proved.get(mailbox):
            return await self._open_some_way(target, login)
        # A login that never worked is tried by one session at a time: twenty wrong ones at once lock an account.
        async with self._one_by_one:
            refused, now = self._refused.get(mailbox), asyncio.get_running_loop().time()
            if refused is not None and refused[0] == login and now < refused[2]:
                return refused[1]
            outcome = await self._open_some_way(target, login)
            if isinstance(outcome, Session):
                self._proved[mailbox] = login
                self._refused.pop(mailbox, None)
            elif _is_refused_login(outcome):
                self._refused[mailbox] = (login, outcome, now + REMEMBER_REFUSAL_SECONDS)
            return outcome

    async def _open_some_way(self, target: Target, login: Login | None) -> Session | SessionFailure:
        try:
            tls = self._tls(target)
        except CertificateProblem as problem:
            return SessionFailure(Stage.HANDSHAKE, str(problem), is_ours=True)
        outcome = await self._open(target, tls, login)
        if isinstance(outcome, SessionFailure) and _is_refused_login(outcome):
            self._proved.pop(target.mailbox, None)
        if not isinstance(outcome, SessionFailure) or login is not None or self._is_implicit:
            return outcome
        if outcome.stage is not Stage.HANDSHAKE or self._connector.tls != "opportunistic":
            return outcome
        plain = await self._open(target, None, None)
        if isinstance(plain, Session):
            plain.detail["tls_failure"] = outcome.cause
        return plain

    def _tls(self, target: Target) -> ClientTls | None:
        connector, mode = self._connector, self._connector.tls
        if mode == "none":
            if not self._is_implicit:
                return None
            mode = "encryption"
        return ClientTls.towards(
            target.host,
            mode,
            tls_domain=connector.tls_domain,
            ca=connector.tls_ca,
            certificate=connector.client_certificate,
            key=connector.client_key,
        )

    async def _open(self, target: Target, tls: ClientTls | None, login: Login | None) -> Session | SessionFailure:
        session = await self._connect(target)
        if isinstance(session, SessionFailure):
            return session
        try:
            failure = await self._prepare(session, tls, login)
        except BaseException:
            session.abandon("the attempt was cancelled")
            raise
        if failure is not None:
            session.leave()
            return failure
        session.detail |= _trace_detail(session)
        return session

    async def _connect(self, target: Target) -> Session | SessionFailure:
        log = self._open_log(self._connector)
        loop = asyncio.get_running_loop()

        def make() -> Session:
            machine = ClientMachine(self._helo, keeps_transcript=log is not None)
            return Session(target, machine, self._patience, loop, log)

        seconds = self._connector.connect_timeout.total_seconds()
        try:
            _, session = await open_connection(
                target.ip, target.port, handler=make, timeout=seconds, source_address=self._connector.source_address
            )
        except TimeoutError:
            return SessionFailure(Stage.CONNECT, f"no connection to {target} within {seconds:g} s")
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else str(error)
            return SessionFailure(Stage.CONNECT, f"{target}: {said.lower()}")
        return session

    async def _prepare(self, session: Session, tls: ClientTls | None, login: Login | None) -> SessionFailure | None:
        if tls is not None and self._is_implicit:
            failure = await self._shake_hands(session, tls)
            if failure is not None:
                return failure
        failure = _failure(Stage.GREETING, await session.greeting())
        failure = failure or _failure(Stage.HELLO, await session.hello())
        if failure is not None:
            return failure
        if tls is not None and not self._is_implicit:
            failure = await self._begin_tls(session, tls, login)
            if failure is not None:
                return failure
        return await self._log_in(session, login) if login is not None else None

    async def _begin_tls(self, session: Session, tls: ClientTls, login: Login | None) -> SessionFailure | None:
        is_optional = self._connector.tls == "opportunistic"
        if not session.machine.extensions.starttls:
            if is_optional:
                return None
            return SessionFailure(Stage.STARTTLS, "the server does not offer it, and the connector demands TLS")
        failure = _failure(Stage.STARTTLS, await session.start_tls())
        if failure is not None:
            return None if is_optional and session.is_ready else failure
        return await self._shake_hands(session, tls) or _failure(Stage.HELLO, await session.hello())

    async def _shake_hands(self, session: Session, tls: ClientTls) -> SessionFailure | None:
        session.connection.start_tls(tls.context, server_side=False, server_hostname=tls.server_hostname)
        facts = await session.handshake()
        if isinstance(facts, Ended):
            return SessionFailure(Stage.HANDSHAKE, facts.cause)
        problem = tls.problem(facts)
        if problem is not None:
            return SessionFailure(Stage.HANDSHAKE, problem)
        return None

    async def _log_in(self, session: Session, login: Login) -> SessionFailure | None:
        may_use_clear = session.tls is not None or self._connector.tls == "none"
        refused: frozenset[str] = frozenset()
        while True:
            offered = session.machine.extensions.mechanisms
            exchange = exchange_for(login, offered, may_use_clear=may_use_clear, refused=refused)
            if isinstance(exchange, SessionFailure):
                return exchange
            failure = _failure(Stage.AUTH, await session.authenticate(exchange))
            if failure is None:
                session.detail["auth"] = exchange.mechanism
                return None
            if not _was_unknown(failure) or not session.is_ready:
                break
            refused |= {exchange.mechanism}
        if isinstance(login, TokenLogin) and failure.reply is not None and failure.reply.is_permanent:
            login.forget()
        return _without_secret(failure, login)


def _trace_detail(session: Session) -> Detail:
    """Facts of a session for the trace."""
    local = session.connection.local
    detail: dict[str, str | int | float | bool | list[str] | None] = {"local": str(local)}
    if session.tls is not None:
        detail |= {"tls": session.tls.version, "cipher": session.tls.cipher}
        if session.tls.peer_names:
            detail["certificate_names"] = list(session.tls.peer_names[:5])
    return detail


def _failure(stage: Stage, answer: Answered | Ended) -> SessionFailure | None:
    """None for a good answer."""
    if isinstance(answer, Ended):
        return SessionFailure(stage, answer.cause, answer.reply)
    if answer.reply.is_positive:
        return None
    return SessionFailure(stage, answer.detail, answer.reply)


def _without_secret(failure: SessionFailure, login: Login) -> SessionFailure:
    reply = failure.reply
    if reply is not None:
        reply = replace(reply, lines=tuple(without_secret(login, line) for line in reply.lines))
    return replace(failure, cause=without_secret(login, failure.cause), reply=reply)


def _is_refused_login(failure: SessionFailure) -> bool:
    return failure.stage is Stage.AUTH and failure.reply is not None and failure.reply.is_permanent


def _was_unknown(failure: SessionFailure) -> bool:
    return failure.reply is not None and failure.reply.code in _MECHANISM_UNKNOWN
