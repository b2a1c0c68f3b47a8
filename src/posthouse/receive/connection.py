"""One session with a client: it drives the SMTP machine and answers its events.

Source: RFC 5321 (session), 4.5.3.2 (time-outs); RFC 3207 (STARTTLS), RFC 4954 (AUTH).
Shape: `ServerSession` handles one admitted connection. Everything is a callback; only a log-in or a large message is a
task, and while one runs the machine stands still. Replies to pipelined commands leave in one piece.
Failures: what the client does wrong is a reply. A connection that breaks throws its message away, unless the last octet
was in: then the message is kept, although nobody hears the 250. A fault of ours closes this session alone, with 421.
Leaves to others: keeping and 250 (``receive.accept``), judging (``receive.transaction``), who it is
(``receive.identity``), admission (``receive.admission``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from posthouse.mail.address import Address
from posthouse.mail.reply import Reply
from posthouse.mail.session import TlsFacts
from posthouse.net.connection import Connection
from posthouse.net.contexts import CertificateProblem
from posthouse.receive.accept import Waiting
from posthouse.receive.authentication import Exchange
from posthouse.receive.identity import Identity
from posthouse.receive.login import Caller, Granted
from posthouse.receive.patience import Patience
from posthouse.receive.reception import Door, note_handshake
from posthouse.receive.transaction import Transaction
from posthouse.receive.wheel import Checked
from posthouse.wire.smtp import events, replies
from posthouse.wire.smtp.order import State
from posthouse.wire.smtp.server import ServerMachine

log = structlog.get_logger(__name__)

INTERNAL_ERROR = Reply.of(421, "4.3.0", "Internal error, closing transmission channel")

MAX_BACKLOG_OCTETS = 64 * 1024
"""Input that may wait behind a command that is being worked on, before reading stops."""


class ServerSession:
    """One admitted connection.

    Attributes:
        slot: The wheel's.
    """

    __slots__ = (
        "_connection",
        "_door",
        "_exchange",
        "_identity",
        "_is_driving",
        "_is_gone",
        "_is_paused",
        "_is_waiting",
        "_machine",
        "_patience",
        "_transaction",
        "slot",
    )

    def __init__(self, door: Door, connection: Connection, tls: TlsFacts | None) -> None:
        """Open the session; the banner is written.

        Args:
            tls: Facts of a handshake that came first (implicit TLS).
        """
        self._door, self._connection = door, connection
        self.slot: set[Checked] | None = None
        self._patience = Patience(door.reception.wheel.now)
        self._is_waiting = self._is_paused = self._is_driving = self._is_gone = False
        self._exchange: Exchange | None = None
        self._identity = Identity(door, connection, tls)
        self._transaction = Transaction(door)
        self._machine = ServerMachine(
            door.offer(None, has_certificate=False),
            is_secured=tls is not None,
            transcript=self._identity.transcript,
        )
        self._identity.belongs_to(self._machine)
        door.sessions.add(self)
        door.reception.wheel.add(self, door.settings.idle_timeout.total_seconds())
        self._machine.greet()
        self._send()

    # What the connection tells

    def connected(self, connection: Connection) -> None:
        """Was told to whoever admitted the connection."""

    def received(self, data: memoryview | bytes) -> None:
        """Octets from the client."""
        machine = self._machine
        machine.receive_data(data)
        self._patience.octets += len(data)
        if not self._is_waiting:
            self._drive()
        elif not self._is_paused and machine.backlog_octets > MAX_BACKLOG_OCTETS:
            self._pause()

    def secured(self, facts: TlsFacts) -> None:
        """STARTTLS is done: the session begins anew."""
        self._is_waiting = False
        self._machine.secured()
        self._identity.secured(facts)
        if self._machine.discarded_octets:
            self._note_refusal(
                "starttls", None, f"{self._machine.discarded_octets} octets of plain text came behind it"
            )
        self._identity.inform(f"TLS protocol {facts.version} negotiation succeeded using {facts.cipher}")
        if self._door.reception.is_draining:
            self.drain()
        self._drive()

    def writable(self) -> None:
        """The client reads again."""
        if not self._is_waiting:
            self._resume()
            self._drive()
        elif self._machine.state is State.HANDSHAKE:
            self._resume()

    def ended(self) -> None:
        """The client has said all it will say; what is complete is still done and answered."""
        self._machine.peer_closed()
        if not self._is_waiting:
            self._drive()

    def closed(self, reason: str, error: Exception | None) -> None:
        """The connection is gone."""
        self._is_gone = True
        self._transaction.forget()
        self._door.reception.wheel.remove(self)
        self._door.leave(self._identity.peer.ip, self)
        self._identity.ended(reason)
        if self._machine.state is State.HANDSHAKE:
            note_handshake(self._door, self._identity.peer.ip, reason)

    # What others ask for

    def drain(self) -> None:
        """End as soon as nothing is in the middle."""
        if not self._is_waiting and not self._machine.in_transaction:
            self._machine.close(replies.SHUTTING_DOWN, "the node is stopping")
            self._drive()

    def abort(self) -> None:
        """End at once."""
        self._connection.abort()

    def check(self, now: float) -> float | None:
        """Look whether the client has been silent, or trickles, for too long."""
        limit: float = self._door.settings.idle_timeout.total_seconds()
        if self._is_waiting:
            # For the store, for a password check or for a handshake, each of which ends by itself.
            return limit
        left = self._patience.left(now, limit, has_content=self._transaction.has_content)
        if left > 0:
            return left
        self._door.reception.statistics.timed_out += 1
        self._machine.close(replies.IDLE_TOO_LONG, "timed out")
        self._drive()
        return limit

    # The loop

    def _drive(self, reply: Reply | None = None) -> None:
        """Answer what has come, then send all replies in one piece.

        Args:
            reply: To the event that waited until now.
        """
        machine = self._machine
        self._is_driving = True
        try:
            if reply is not None:
                self._reply(reply)
            while not self._is_waiting:
                event = machine.next_event()
                if event is events.NEED_DATA or event is events.PAUSED:
                    break
                _ACTIONS[type(event)](self, event)
        except Exception as error:  # noqa: BLE001 - the session's own boundary: no other session may suffer
            self._fail(error)
        self._is_driving = False
        self._send()

    def _reply(self, reply: Reply) -> None:
        machine = self._machine
        machine.reply(reply)
        if self._door.reception.is_draining and not machine.in_transaction:
            machine.close(replies.SHUTTING_DOWN, "the node is stopping")

    def _send(self) -> None:
        out = self._machine.data_to_send()
        if out and not self._is_gone:
            self._patience.since = self._door.reception.wheel.now
            connection = self._connection
            connection.send(out)
            if not connection.is_writable:
                self._pause()

    def _answer(self, reply: Reply) -> None:
        """The reply to an event that had to wait."""
        self._is_waiting = False
        if self._is_driving:
            # It did not have to wait after all; the loop that asked goes on by itself.
            self._reply(reply)
        elif not self._is_gone:
            self._resume()
            self._drive(reply)

    def _pause(self) -> None:
        self._is_paused = True
        self._connection.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and self._connection.is_writable:
            self._is_paused = False
            self._connection.resume_reading()

    def _fail(self, error: Exception) -> None:
        log.error("session_failed", session=self._identity.id, exc_info=error)
        self._machine.close(INTERNAL_ERROR, "internal error")
        self._send()
        self._is_waiting = True
        self._connection.close(linger=True)

    # Commands

    def _on_hello(self, _: events.Hello) -> None:
        self._machine.welcome()

    def _on_starttls(self, _: events.StartTls) -> None:
        try:
            context = self._door.tls_context()
        except CertificateProblem as problem:
            self._identity.inform(str(problem))
            self._machine.reply(replies.TLS_NOT_AVAILABLE)
            return
        self._machine.reply(replies.READY_FOR_TLS)
        self._send()
        self._is_waiting = True
        self._connection.start_tls(context, server_side=True)

    def _on_mail(self, event: events.MailFrom) -> None:
        identity = self._identity
        refusal = self._transaction.begin(event, identity.current(), is_secured=identity.tls is not None)
        if refusal is None:
            self._machine.reply(replies.SENDER_OK)
        else:
            self._door.reception.statistics.refused_senders += 1
            self._refuse("mail", *refusal)
            self._transaction.forget()

    def _on_rcpt(self, event: events.RcptTo) -> None:
        refusal = self._transaction.add_recipient(event.recipient)
        if refusal is None:
            self._machine.reply(replies.RECIPIENT_OK)
        else:
            self._door.reception.statistics.refused_recipients += 1
            self._refuse("rcpt", *refusal, event.recipient.address)

    def _on_content_requested(self, _: events.ContentRequested) -> None:
        self._transaction.begin_content()
        self._patience.begin_content(self._door.reception.wheel.now)
        self._machine.reply(replies.START_MAIL_INPUT)

    def _on_chunk(self, event: events.ContentChunk) -> None:
        wait = self._transaction.add_content(event.data)
        if wait is not None:
            self._is_waiting = True
            self._pause()
            self._door.reception.start_task(self._wait_for_disk(wait, event))
        elif event.is_last:
            self._finish(event)

    async def _wait_for_disk(self, wait: Waiting, event: events.ContentChunk) -> None:
        try:
            await wait
        except Exception as error:  # noqa: BLE001 - as in the loop
            self._fail(error)
            return
        self._is_waiting = False
        if self._is_gone:
            return
        if event.is_last:
            self._finish(event)
        else:
            self._resume()
            self._drive()

    def _finish(self, event: events.ContentChunk) -> None:
        self._is_waiting = True
        self._transaction.finish(event, self._identity.facts(), self._machine.repairs, self._on_answer)

    def _on_answer(self, reply: Reply, reason: str) -> None:
        if reason:
            self._door.reception.statistics.refused_messages += 1
            self._note_refusal("content", reply, reason)
        self._transaction.forget()
        self._answer(reply)

    def _on_aborted(self, event: events.ContentAborted) -> None:
        self._door.reception.statistics.refused_messages += 1
        self._note_refusal("content", None, event.reason)
        self._transaction.forget()

    def _on_reset(self, _: events.Reset) -> None:
        self._transaction.forget()

    def _on_closed(self, event: events.Closed) -> None:
        self._transaction.forget()
        self._send()
        self._is_waiting = True
        self._connection.close(linger=event.reason != "quit")

    # Log-ins

    def _on_auth(self, event: events.AuthStarted) -> None:
        identity, reception = self._identity, self._door.reception
        caller = Caller(identity.peer.ip, self._door.settings.name, identity.id, event.mechanism)
        names = identity.tls.peer_names if identity.tls is not None else ()
        self._exchange = Exchange(reception.desk, caller, reception.hostname, names, reception.clock())
        self._go_on(self._exchange, event.initial)

    def _on_auth_response(self, event: events.AuthResponse) -> None:
        assert self._exchange is not None
        self._go_on(self._exchange, event.data)

    def _on_auth_cancelled(self, _: events.AuthCancelled) -> None:
        self._exchange = None

    def _go_on(self, exchange: Exchange, response: bytes | None) -> None:
        challenge = exchange.challenge(response)
        if challenge is not None:
            self._machine.challenge(challenge)
        else:
            self._is_waiting = True
            self._door.reception.start_task(self._wait_for_desk(exchange))

    async def _wait_for_desk(self, exchange: Exchange) -> None:
        reception = self._door.reception
        try:
            result = await exchange.result()
        except Exception as error:  # noqa: BLE001 - as in the loop
            self._fail(error)
            return
        if isinstance(result, bytes):
            self._is_waiting = False
            if not self._is_gone:
                self._machine.challenge(result)
                self._resume()
                self._drive()
            return
        self._exchange = None
        if isinstance(result, Granted):
            reception.statistics.logins += 1
            self._identity.logged_in(result.rights)
            self._answer(replies.AUTHENTICATED)
            return
        reception.statistics.logins_refused += 1
        self._identity.inform(f"log-in refused: {result.reason}")
        if result.delay_seconds:
            await reception.sleep(result.delay_seconds)
        self._answer(result.reply)

    # Notes

    def _refuse(self, stage: str, reply: Reply, reason: str, recipient: Address | None = None) -> None:
        self._note_refusal(stage, reply, reason, recipient)
        self._machine.reply(replies.TOO_MANY_ERRORS if self._identity.is_nuisance() else reply)

    def _note_refusal(self, stage: str, reply: Reply | None, reason: str, recipient: Address | None = None) -> None:
        transaction = self._transaction
        recipient = recipient or transaction.only_recipient
        self._identity.note_refusal(stage, reply, reason, transaction.sender, recipient)


# Each action takes the event of its key.
_ACTIONS: Mapping[type, Callable[[ServerSession, Any], None]] = {
    events.Hello: ServerSession._on_hello,
    events.StartTls: ServerSession._on_starttls,
    events.AuthStarted: ServerSession._on_auth,
    events.AuthResponse: ServerSession._on_auth_response,
    events.AuthCancelled: ServerSession._on_auth_cancelled,
    events.MailFrom: ServerSession._on_mail,
    events.RcptTo: ServerSession._on_rcpt,
    events.ContentRequested: ServerSession._on_content_requested,
    events.ContentChunk: ServerSession._on_chunk,
    events.ContentAborted: ServerSession._on_aborted,
    events.Reset: ServerSession._on_reset,
    events.Closed: ServerSession._on_closed,
}
