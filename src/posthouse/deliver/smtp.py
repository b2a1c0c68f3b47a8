"""One SMTP session over one connection: the client machine with a socket, TLS and patience.

Source: RFC 5321 3 and 4.5.3.2.
Shape: `Session` is the handler of a `Connection`. Each coroutine asks the machine for one thing and waits for its
event; while a transaction runs, replies are answered inside the callback, so that a message costs one wake-up.
Failures: events of the machine; `Session` never raises for what the network does.
Leaves to others: opening (``deliver.dial``), keeping (``deliver.pool``), what answers mean (``deliver.classify``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from posthouse.deliver.patience import Patience
from posthouse.deliver.target import Target
from posthouse.mail.session import TlsFacts
from posthouse.net.connection import Connection
from posthouse.wire.sasl.client import SaslExchange
from posthouse.wire.smtp.client import ClientMachine, ClientState
from posthouse.wire.smtp.client_events import (
    Answered,
    ClientEvent,
    ContentWanted,
    Ended,
    RecipientResult,
    Stage,
    Transaction,
    TransactionEnded,
)

_TICK_SECONDS = 1.0


class SessionLog(Protocol):
    """The protocol log of one session, as the connector wants it."""

    def connected(self, local: str, remote: str) -> None:
        """The socket is open; both ends as ``address:port``."""

    def line(self, direction: str, text: str) -> None:
        """``>`` what we said, ``<`` what the server said, ``*`` a remark. Credentials are left out already."""

    def closed(self, reason: str) -> None:
        """The connection is gone."""


class Session:
    """One session.

    Attributes:
        target: Where to.
        machine: The protocol.
        remote: The target as text.
        tls: What TLS negotiated, or None.
        messages: Transactions begun.
        idle_since: Time of the loop when it was last given back.
        detail: Facts for the trace, the same for every message of the session.
        on_gone: Called once when the connection is gone.
    """

    __slots__ = (
        "_allowed",
        "_connection",
        "_deadline",
        "_end_event",
        "_inbox",
        "_log",
        "_loop",
        "_patience",
        "_seconds",
        "_source",
        "_streaming",
        "_timer",
        "_waiter",
        "_writable",
        "detail",
        "idle_since",
        "is_gone",
        "machine",
        "messages",
        "on_gone",
        "remote",
        "target",
        "tls",
    )

    def __init__(
        self,
        target: Target,
        machine: ClientMachine,
        patience: Patience,
        loop: asyncio.AbstractEventLoop,
        log: SessionLog | None,
    ) -> None:
        self.target, self.machine = target, machine
        self.tls: TlsFacts | None = None
        self.messages = 0
        self.idle_since = 0.0
        self.remote = str(target)
        self.is_gone = False
        self.detail: dict[str, str | int | float | bool | list[str] | None] = {}
        self.on_gone: Callable[[Session], None] | None = None
        self._patience, self._loop, self._log = patience, loop, log
        self._seconds = {stage: patience.seconds(stage) for stage in Stage}
        self._connection: Connection | None = None
        self._inbox: deque[ClientEvent | TlsFacts] = deque()
        self._waiter: asyncio.Future[ClientEvent | TlsFacts] | None = None
        self._source: AsyncGenerator[bytes, None] | None = None
        self._streaming: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._end_event = Ended("the connection is closed")
        self._allowed = self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Session {self.target} {self.machine.state}>"

    @property
    def is_ready(self) -> bool:
        """A transaction may begin."""
        return not self.is_gone and self.machine.state is ClientState.READY

    @property
    def connection(self) -> Connection:
        """The connection, once it is open."""
        assert self._connection is not None
        return self._connection

    # What the owner asks.

    async def greeting(self) -> Answered | Ended:
        """Wait for the server's first word."""
        return await self._answer()

    async def hello(self) -> Answered | Ended:
        """EHLO, or HELO."""
        self.machine.hello()
        return await self._answer()

    async def start_tls(self) -> Answered | Ended:
        """STARTTLS; after a positive answer call `secure`."""
        self.machine.start_tls()
        return await self._answer()

    async def authenticate(self, exchange: SaslExchange) -> Answered | Ended:
        """Log in."""
        self.machine.authenticate(exchange)
        return await self._answer()

    async def handshake(self) -> TlsFacts | Ended:
        """Wait until TLS has begun."""
        event = await self._next()
        if isinstance(event, TlsFacts):
            return event
        return event if isinstance(event, Ended) else Ended("the server spoke during the TLS handshake")

    async def transact(
        self, transaction: Transaction, *, source: AsyncGenerator[bytes, None] | None = None, may_bundle: bool = False
    ) -> tuple[RecipientResult, ...]:
        """Carry one transaction through.

        Where the task is cancelled meanwhile, the session ends and the answers are those of a lost connection: what was
        refused stays refused, and only what may have arrived is unknown. The caller looks at `Task.cancelling`.

        Args:
            source: Pieces of streamed content, where the transaction holds none.
            may_bundle: See `ClientMachine.begin`.
        """
        self.messages += 1
        self._source = source
        self.machine.begin(transaction, may_bundle=may_bundle)
        try:
            event = await self._next()
        except asyncio.CancelledError:
            if not self._inbox:
                raise
            event = self._inbox.popleft()
        finally:
            self._stop_streaming()
        assert isinstance(event, TransactionEnded)
        return event.results

    def now(self) -> float:
        """The loop's time, in seconds."""
        return self._loop.time()

    def idle(self) -> None:
        """Nothing is asked of the session for now; it ends by itself before long."""
        self.idle_since = self._arm(self._patience.idle)

    def wake(self) -> None:
        """It is used again."""
        self._arm(self._patience.mail)

    def leave(self) -> None:
        """Say QUIT without waiting for an answer that nobody needs, and close."""
        if not self.is_gone and self.machine.state in (ClientState.READY, ClientState.HELLO):
            self.machine.quit()
            self._pump()
        self.abandon("")

    def abandon(self, cause: str) -> None:
        """Close without another word."""
        if self.is_gone:
            return
        if cause:
            self.machine.lost(cause)
        if self._connection is not None:
            self._connection.close()
        self._pump()
        self._gone()

    # Waiting.

    async def _answer(self) -> Answered | Ended:
        event = await self._next()
        assert isinstance(event, Answered | Ended)
        return event

    async def _next(self) -> ClientEvent | TlsFacts:
        self._pump()
        if not self._inbox:
            if self.machine.state is ClientState.CLOSED:
                return self._end_event
            self._waiter = self._loop.create_future()
            try:
                return await self._waiter
            except asyncio.CancelledError:
                self.abandon("the attempt was cancelled")
                raise
            finally:
                self._waiter = None
        return self._inbox.popleft()

    def _tell(self, event: ClientEvent | TlsFacts) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(event)
        else:
            self._inbox.append(event)

    def _pump(self) -> None:
        """Hand events on, send what is to be sent, and look at the clock."""
        machine = self.machine
        while (event := machine.next_event()) is not None:
            if isinstance(event, ContentWanted):
                self._streaming = self._loop.create_task(self._stream())
            elif isinstance(event, Ended):
                self._end(event)
            else:
                self._tell(event)
        if machine.transcript:
            self._write_log(machine.transcript)
        data = machine.data_to_send()
        if data and self._connection is not None:
            self._connection.write(data)
            self._connection.flush()
        stage = machine.awaiting
        if stage is not None:
            self._arm(self._seconds[stage])

    def _write_log(self, transcript: list[tuple[str, str]]) -> None:
        if self._log is not None:
            for direction, text in transcript:
                self._log.line(direction, text)
        transcript.clear()

    def _end(self, event: Ended) -> None:
        self._end_event = event
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(event)
        if self._connection is not None:
            self._connection.close()
        self._gone()

    def _gone(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            if self._timer is not None:
                self._timer.cancel()
            if self.on_gone is not None:
                self.on_gone(self)

    # Streamed content.

    async def _stream(self) -> None:
        source, machine, connection = self._source, self.machine, self.connection
        assert source is not None
        try:
            async with aclosing(source):
                async for piece in source:
                    machine.send_content(piece)
                    connection.write(machine.data_to_send())
                    connection.flush()
                    self._arm(self._patience.block)
                    if not connection.is_writable:
                        self._writable = self._loop.create_future()
                        await self._writable
        except OSError as error:
            # The server waits for octets that do not come; only closing tells it so without a message made of half.
            machine.lost(f"the content could not be read: {error.strerror or error}")
        else:
            machine.end_content()
        self._pump()

    def _stop_streaming(self) -> None:
        self._source = None
        if self._streaming is not None:
            self._streaming.cancel()
            self._streaming = None

    # Patience.

    def _arm(self, seconds: float) -> float:
        """Set the deadline and say what time it is.

        One timer looks at the deadline now and then, which costs less than a timer for each answer.
        """
        now = self._loop.time()
        self._allowed = seconds
        self._deadline = now + seconds
        timer = self._timer
        if timer is not None:
            if timer.when() <= self._deadline:
                return now
            timer.cancel()
        self._timer = self._loop.call_at(now + min(seconds, _TICK_SECONDS), self._on_timer)
        return now

    def _on_timer(self) -> None:
        self._timer = None
        if self.is_gone:
            return
        now = self._loop.time()
        if now < self._deadline:
            self._timer = self._loop.call_at(min(self._deadline, now + _TICK_SECONDS), self._on_timer)
            return
        stage = self.machine.awaiting
        if stage is None and self.machine.state is ClientState.READY:
            self.leave()
        elif self._writable is not None and not self._writable.done():
            self.abandon(f"the server took no content for {self._allowed:g} s")
        else:
            self.abandon(f"no answer to {stage or Stage.HANDSHAKE} within {self._allowed:g} s")

    # What the connection calls.

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        if self._log is not None:
            self._log.connected(str(connection.local), str(connection.peer))
        self._arm(self._seconds[Stage.GREETING])

    def received(self, data: memoryview | bytes) -> None:
        self.machine.receive_data(data)
        self._pump()

    def secured(self, facts: TlsFacts) -> None:
        self.tls = facts
        if self._log is not None:
            self._log.line("*", f"TLS negotiation succeeded: {facts.version} {facts.cipher}")
        self.machine.secured()
        self._tell(facts)

    def writable(self) -> None:
        self._arm(self._patience.block)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def ended(self) -> None:
        self._lost("the server closed the connection")

    def closed(self, reason: str, error: Exception | None) -> None:
        self._lost("the server closed the connection" if reason == "remote" else reason)
        if self._log is not None:
            self._log.closed(reason)
        self._gone()

    def _lost(self, cause: str) -> None:
        self.machine.lost(cause)
        self._pump()
