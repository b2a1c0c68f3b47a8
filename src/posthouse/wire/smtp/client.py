"""The client's side of SMTP as a machine without I/O.

Source: RFC 5321 3 and 4; RFC 2920 (PIPELINING), RFC 3030 (BDAT), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
Shape: ask for one thing (`hello`, `start_tls`, `authenticate`, `begin`, `reset`, `noop`, `quit`), send what
`data_to_send` gives, feed what comes to `receive_data`, and call `next_event` until it gives None. Each command that is
sent leaves a mark, and replies are matched with marks in order, so none can be taken for the answer to another command.
Failures: events. `Ended` is the last: after a 421, after a reply that fits nothing that was asked, or after `lost`.
Calling an action out of turn raises ``RuntimeError``, a mistake of the driver.
Leaves to others: sockets, TLS, time-outs, which mechanism (``wire.sasl.client``), what answers mean (``deliver``).

A server that answers out of step (a 250 to DATA, a 503 where nothing was out of order) is not argued with: the open
recipients end as `NoAnswer` and so does the session, because the next reply might be another command's.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections import deque
from enum import StrEnum

from posthouse.mail.reply import Reply
from posthouse.wire.sasl.client import SaslError, SaslExchange
from posthouse.wire.smtp.client_channel import Channel
from posthouse.wire.smtp.client_events import (
    Answered,
    ClientEvent,
    ContentWanted,
    Ended,
    Stage,
    Transaction,
    TransactionEnded,
)
from posthouse.wire.smtp.client_extensions import NO_EXTENSIONS, Extensions, read_extensions
from posthouse.wire.smtp.client_transaction import OutOfStep, RunningTransaction, Step
from posthouse.wire.smtp.reply_parser import ReplyError, ReplyParser

MAX_AUTH_LINE_OCTETS = 12288
"""RFC 4954 4."""
HIDDEN = "<authentication information>"
"""What the transcript shows instead of credentials, as in Exchange's protocol log."""


class ClientState(StrEnum):
    """Where the session stands."""

    GREETING = "greeting"
    HELLO = "hello"
    """Hello may be said: after the greeting and again after TLS began."""
    READY = "ready"
    WAITING = "waiting"
    """An answer to a command outside a transaction is due."""
    HANDSHAKE = "handshake"
    TRANSACTION = "transaction"
    CLOSED = "closed"


_ACTIONS: dict[str, tuple[ClientState, ...]] = {
    "hello": (ClientState.HELLO, ClientState.READY),
    "start_tls": (ClientState.READY,),
    "secured": (ClientState.HANDSHAKE, ClientState.GREETING),
    "authenticate": (ClientState.READY,),
    "begin": (ClientState.READY,),
    "reset": (ClientState.READY,),
    "noop": (ClientState.READY,),
    "quit": (ClientState.READY, ClientState.HELLO),
}
"""Which action may be called in which state."""

_DATA, _CONTENT = Stage.DATA, Stage.CONTENT
_IN_TRANSACTION = (Stage.RCPT, Stage.MAIL, _DATA, _CONTENT)
_UNASKED_RESET = (Stage.RESET, 0)
"""Our own RSET after an abandoned transaction; nobody waits for its answer."""
_ASKED_RESET = (Stage.RESET, 1)
_DEAF = (ClientState.CLOSED, ClientState.HANDSHAKE)
_GOING = Step.GOING
_EHLO, _HELO = (Stage.HELLO, 1), (Stage.HELLO, 0)
_AUTH = (Stage.AUTH, 0)


class ClientMachine:
    """One session with one server.

    Attributes:
        state: Where it stands.
        extensions: What the server offers now; nothing after HELO.
        is_esmtp: EHLO was accepted.
    """

    __slots__ = (
        "_channel",
        "_events",
        "_exchange",
        "_held_initial",
        "_helo",
        "_parser",
        "_running",
        "extensions",
        "is_esmtp",
        "state",
    )

    def __init__(self, helo: str, *, keeps_transcript: bool = False) -> None:
        self._helo = helo
        self.state = ClientState.GREETING
        self.extensions: Extensions = NO_EXTENSIONS
        self.is_esmtp = False
        self._channel = Channel(keeps_transcript=keeps_transcript, first=(Stage.GREETING, 0))
        self._parser = ReplyParser()
        self._events: deque[ClientEvent] = deque()
        self._running: RunningTransaction | None = None
        self._exchange: SaslExchange | None = None
        self._held_initial: bytes | None = None

    # What the driver asks.

    @property
    def awaiting(self) -> Stage | None:
        """What the next reply answers; None when the server has nothing to answer."""
        mark = self._channel.awaiting
        return mark[0] if mark is not None else None

    @property
    def is_outcome_unknown_if_lost(self) -> bool:
        """The final dot or the last chunk was handed out, and the answer to it has not come."""
        return self._running is not None and self._running.is_outcome_unknown_if_lost

    @property
    def transcript(self) -> list[tuple[str, str]] | None:
        """Lines for the protocol log as ``(">" or "<", text)``, or None where nobody wants them."""
        return self._channel.transcript

    def hello(self) -> None:
        """Say EHLO, and HELO to a server that does not know EHLO. `Answered` follows; `extensions` are set then."""
        self._enter("hello", ClientState.WAITING)
        self._channel.ask(f"EHLO {self._helo}", _EHLO)

    def start_tls(self) -> None:
        """Ask for TLS. After `Answered` with 220 the driver shakes hands and calls `secured`."""
        self._enter("start_tls", ClientState.WAITING)
        self._channel.ask("STARTTLS", (Stage.STARTTLS, 0))

    def secured(self) -> None:
        """TLS began. All that was learnt before is forgotten (RFC 3207 4.2)."""
        is_first = self.state is ClientState.GREETING
        self._enter("secured", ClientState.GREETING if is_first else ClientState.HELLO)
        self._parser.clear()
        self._learn(NO_EXTENSIONS, is_esmtp=False)

    def authenticate(self, exchange: SaslExchange) -> None:
        """Log in. `Answered` follows: 235, or a refusal with the mechanism's own complaint as its detail."""
        self._enter("authenticate", ClientState.WAITING)
        self._exchange, self._held_initial = exchange, None
        command = f"AUTH {exchange.mechanism}"
        initial = exchange.initial
        if initial is not None:
            encoded = b64encode(initial).decode() or "="
            if len(command) + len(encoded) + 3 <= MAX_AUTH_LINE_OCTETS:
                self._channel.ask(f"{command} {encoded}", _AUTH, shown=f"{command} {HIDDEN}")
                return
            self._held_initial = initial
        self._channel.ask(command, _AUTH)

    def begin(self, transaction: Transaction, *, may_bundle: bool = False) -> None:
        """Begin a transaction. `TransactionEnded` follows, before it `ContentWanted` where content is streamed.

        Args:
            may_bundle: Content may leave in one piece with its commands where the server offers BDAT and pipelining.
                Not wise on a connection that has been idle: if it turns out to be dead, nobody can say whether the
                message was taken.
        """
        self._enter("begin", ClientState.TRANSACTION)
        self._running = RunningTransaction(self._channel, transaction, self.extensions)
        step = self._running.begin(transaction, self.extensions, may_bundle=may_bundle)
        if step is not _GOING:
            self._follow(step)

    def send_content(self, piece: bytes) -> None:
        """Queue a piece of streamed content. Dropped where the server has refused the content half-way."""
        if self._running is not None:
            self._running.send_content(piece)

    def end_content(self) -> None:
        """All pieces were given."""
        if self._running is not None:
            self._running.end_content()

    def reset(self) -> None:
        """Send RSET; `Answered` follows."""
        self._enter("reset", ClientState.WAITING)
        self._channel.ask("RSET", _ASKED_RESET)

    def noop(self) -> None:
        """Send NOOP; `Answered` follows."""
        self._enter("noop", ClientState.WAITING)
        self._channel.ask("NOOP", (Stage.NOOP, 0))

    def quit(self) -> None:
        """Send QUIT; `Answered` follows. Closing without waiting for it is fine."""
        self._enter("quit", ClientState.WAITING)
        self._channel.ask("QUIT", (Stage.QUIT, 0))

    def lost(self, cause: str) -> None:
        """The connection failed or the driver lost patience. The last events follow."""
        self._end(cause, self.awaiting, None)

    # Octets.

    def data_to_send(self) -> bytes:
        """Take out what is to be sent now."""
        if self._running is not None:
            self._running.handed_out()
        return self._channel.take_output()

    def receive_data(self, data: memoryview | bytes) -> None:
        """Feed octets from the server."""
        if self.state is not ClientState.CLOSED:
            self._parser.feed(data)

    def next_event(self) -> ClientEvent | None:
        """Take the next event out; None when more octets are needed."""
        events = self._events
        while not events:
            if self.state in _DEAF:
                return None
            try:
                reply = self._parser.next_reply()
            except ReplyError as error:
                self._end(str(error), self.awaiting, None)
                continue
            if reply is None:
                return None
            if self._channel.transcript is not None:
                self._channel.transcript += [("<", line) for line in reply.encode().decode().splitlines()]
            self._take(reply)
        return events.popleft()

    # Replies.

    def _enter(self, action: str, state: ClientState) -> None:
        if self.state not in _ACTIONS[action]:
            raise RuntimeError(f"{action} in state {self.state}")
        self.state = state

    def _learn(self, extensions: Extensions, *, is_esmtp: bool) -> None:
        self.extensions = extensions
        self.is_esmtp = is_esmtp
        self._channel.is_pipelining = extensions.pipelining

    def _take(self, reply: Reply) -> None:
        mark = self._channel.take_mark()
        if mark is None:
            self._end(f"the server said {reply} without being asked", None, reply if reply.code == 421 else None)
            return
        stage, number = mark
        code = reply.code
        if code == 421:
            self._close_service(stage, reply)
        elif code < 400 and not _fits(stage, code):
            self._end(str(OutOfStep(stage, reply)), stage, None)
        elif self._running is not None and stage in _IN_TRANSACTION:
            try:
                step = self._running.take(stage, number, reply)
            except OutOfStep as error:
                self._end(str(error), error.stage, None)
                return
            if step is not _GOING:
                self._follow(step)
        elif mark == _UNASKED_RESET:
            self._take_unasked_reset(reply)
        elif stage is Stage.AUTH:
            self._take_auth(reply)
        elif mark == _EHLO and reply.is_permanent:
            self._channel.ask(f"HELO {self._helo}", _HELO)
        else:
            if stage is Stage.HELLO:
                is_esmtp = mark == _EHLO and reply.is_positive
                self._learn(read_extensions(reply) if is_esmtp else NO_EXTENSIONS, is_esmtp=is_esmtp)
            self._answered(stage, reply)

    def _answered(self, stage: Stage, reply: Reply, detail: str = "") -> None:
        self.state = _after(stage, reply)
        if self.state is ClientState.HANDSHAKE:
            # What came behind the 220 in plain text may be somebody else's.
            self._parser.clear()
        self._events.append(Answered(stage, reply, detail))

    def _take_unasked_reset(self, reply: Reply) -> None:
        if reply.is_positive:
            self._channel.ask_next()
        else:
            self._end(f"the server refused RSET: {reply}", Stage.RESET, None)

    def _take_auth(self, reply: Reply) -> None:
        exchange = self._exchange
        assert exchange is not None
        if not 300 <= reply.code < 400:
            self._exchange = self._held_initial = None
            self._answered(Stage.AUTH, reply, exchange.complaint)
            return
        try:
            if self._held_initial is not None:
                answer, self._held_initial = self._held_initial, None
            else:
                answer = exchange.respond(_challenge(reply))
        except SaslError:
            self._channel.ask("*", _AUTH)
            return
        self._channel.ask(b64encode(answer).decode(), _AUTH, shown=HIDDEN)

    # Ends.

    def _follow(self, step: Step) -> None:
        if step is Step.CONTENT_WANTED:
            self._events.append(ContentWanted())
        elif step is Step.REFUSED_HALFWAY:
            self._end("the server refused the content half-way", Stage.CONTENT, None)
        else:
            self._end_transaction(ClientState.READY)
            if step is Step.DONE_UNTIDY:
                self._channel.ask("RSET", _UNASKED_RESET)

    def _end_transaction(self, state: ClientState) -> None:
        self.state = state
        if self._running is not None:
            self._events.append(TransactionEnded(self._running.results))
            self._running = None

    def _close_service(self, stage: Stage, reply: Reply) -> None:
        """421 may answer anything (RFC 5321 3.8); nothing that was asked behind it will be answered."""
        if self._running is not None:
            self._running.answer(stage, reply)
        else:
            self._events.append(Answered(stage, reply))
        self._end(f"the server closes the connection: {reply}", stage, reply)

    def _end(self, cause: str, stage: Stage | None, reply: Reply | None) -> None:
        if self.state is ClientState.CLOSED:
            return
        if self._running is not None:
            self._running.lose(stage or Stage.CONTENT, cause)
        self._end_transaction(ClientState.CLOSED)
        self._channel.drop_all()
        self._exchange = self._held_initial = None
        self._events.append(Ended(cause, reply))


def _fits(stage: Stage, code: int) -> bool:
    """Whether a positive reply of this class can answer the command at all (RFC 5321 4.3.2)."""
    if code < 300:
        return stage is not _DATA
    return stage is _DATA or stage is Stage.AUTH


def _challenge(reply: Reply) -> bytes:
    """The challenge; as it stands where a server forgot base64, because most mechanisms do not look at it."""
    text = reply.text.strip()
    try:
        return b64decode(text.encode(), validate=True)
    except binascii.Error:
        return text.encode()


def _after(stage: Stage, reply: Reply) -> ClientState:
    match stage:
        case Stage.GREETING:
            return ClientState.HELLO
        case Stage.STARTTLS if reply.is_positive:
            return ClientState.HANDSHAKE
        case Stage.HELLO if not reply.is_positive:
            return ClientState.HELLO
        case _:
            return ClientState.READY
