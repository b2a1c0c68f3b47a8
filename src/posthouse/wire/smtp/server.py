"""The server's side of an SMTP session as a machine without I/O.

Source: RFC 5321; RFC 2920 (PIPELINING); the other extensions where they are obeyed.
Shape: ``receive_data`` takes octets, ``next_event`` gives what happened, ``reply`` (or ``welcome``, ``challenge``)
answers it, ``data_to_send`` gives octets for the client. What needs no policy is answered here: order, syntax, limits,
NOOP, HELP, VRFY, RSET, QUIT. While an event waits for its answer nothing more is parsed, so pipelined commands keep
their order.
Failures: no client can make this raise. ``RuntimeError`` means that the driver answered what was not asked.
Leaves to others: sockets, TLS and time (``receive.connection``); who may do what (``receive``, ``decide``); lines
(``wire.smtp.dialogue``) and what they command (``wire.smtp.obey``); octets of content (``wire.smtp.intake``).
"""

from __future__ import annotations

import binascii

from posthouse.mail.reply import Reply
from posthouse.wire.smtp import extensions
from posthouse.wire.smtp.content import BareNewlines
from posthouse.wire.smtp.dialogue import MASK, read_command
from posthouse.wire.smtp.events import PAUSED, ServerEvent, Wait
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.intake import read_content
from posthouse.wire.smtp.obey import accept_hello, answer_auth, answer_hello
from posthouse.wire.smtp.order import State
from posthouse.wire.smtp.session import Session, Transcript

_DEAF = frozenset((State.SILENT, State.HANDSHAKE, State.CLOSED))
"""States in which nothing is parsed."""


class ServerMachine:
    """One SMTP session, seen from the server.

    Args:
        offer: What the listener grants.
        bare_newlines: First policy for content; see the property.
        is_secured: TLS runs already (implicit TLS).
        transcript: Called with the direction and each line of dialogue, without content and credentials.
    """

    __slots__ = ("_session",)

    def __init__(
        self,
        offer: Offer,
        *,
        bare_newlines: BareNewlines = "refuse",
        is_secured: bool = False,
        transcript: Transcript | None = None,
    ) -> None:
        self._session = Session(offer, bare_newlines, is_secured, transcript)

    # What the driver may know and change

    @property
    def state(self) -> State:
        """Where the session stands in `ORDER`."""
        return self._session.state

    @property
    def offer(self) -> Offer:
        """What is granted; may be replaced at any time, for instance when TLS has shown a certificate."""
        return self._session.offer

    @offer.setter
    def offer(self, offer: Offer) -> None:
        self._session.offer = offer

    @property
    def bare_newlines(self) -> BareNewlines:
        """Policy for content whose DATA or first BDAT is answered from now on."""
        return self._session.bare_newlines

    @bare_newlines.setter
    def bare_newlines(self, policy: BareNewlines) -> None:
        self._session.bare_newlines = policy

    @property
    def hello_name(self) -> str:
        """Argument of the last accepted HELO or EHLO, at most 255 characters; may be empty."""
        return self._session.hello_name

    @property
    def is_esmtp(self) -> bool:
        """The last accepted hello was EHLO."""
        return self._session.is_esmtp

    @property
    def is_secured(self) -> bool:
        """TLS runs."""
        return self._session.is_secured

    @property
    def is_authenticated(self) -> bool:
        """A 235 was given since the hello was last forgotten."""
        return self._session.is_authenticated

    @property
    def in_transaction(self) -> bool:
        """MAIL was accepted and its message is not settled."""
        return self._session.in_transaction

    @property
    def protocol(self) -> str:
        """Value for ``with`` in Received: SMTP, ESMTPS, UTF8SMTPSA... (RFC 3848, RFC 6531 4.3)."""
        return self._session.protocol

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was mended in the commands of this transaction, in words; read it before the final reply."""
        return tuple(self._session.repairs)

    @property
    def discarded_octets(self) -> int:
        """Plain text that came behind STARTTLS and was thrown away."""
        return self._session.discarded_octets

    @property
    def backlog_octets(self) -> int:
        """Input that waits for a reply; a driver stops reading when this grows."""
        return len(self._session.input)

    # Octets in and out

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take what was read from the client; the buffer may be used again afterwards."""
        session = self._session
        if session.state is State.HANDSHAKE:
            session.discarded_octets += len(data)
        elif session.state is not State.CLOSED:
            session.input.append(data)

    def peer_closed(self) -> None:
        """The client will send nothing more. Complete commands are still obeyed, then `Closed` comes."""
        self._session.is_peer_gone = True

    def data_to_send(self) -> bytes:
        """Octets for the client; each is given once."""
        out = self._session.out
        if len(out) == 1:
            return out.pop()
        data = b"".join(out)
        out.clear()
        return data

    # What the driver says

    def greet(self) -> None:
        """Open the session with the 220 banner.

        Raises:
            RuntimeError: The session has been opened.
        """
        session = self._session
        if session.state is not State.SILENT:
            raise RuntimeError("the banner has been sent")
        self._send(extensions.banner(session.offer))
        session.state = State.GREETED

    def refuse_connection(self, reply: Reply) -> None:
        """Open and end the session with 421 or 554 in place of the banner."""
        self.close(reply, "connection refused")

    def close(self, reply: Reply | None, reason: str) -> None:
        """End the session from our side at any moment (time-out, shutdown); `Closed` follows."""
        if self._session.state is not State.CLOSED:
            if reply is not None:
                self._session.say(reply)
            self._session.close(reason)

    def reply(self, reply: Reply) -> None:
        """Answer the event that waits. A 421 also ends the session (RFC 5321 3.8).

        Raises:
            RuntimeError: No event waits.
        """
        session = self._session
        answer = session.answer
        if answer is None:
            if session.state is State.CLOSED:
                return
            raise RuntimeError("no event waits for a reply")
        session.answer = None
        answer(session, reply)
        session.pending = None
        if reply.code == 421:
            session.close("421 was given")

    def welcome(self) -> None:
        """Accept the hello that waits with our name and, for EHLO, the extensions of the moment.

        Raises:
            RuntimeError: No hello waits.
        """
        session = self._session
        if session.state is State.CLOSED:
            return
        if session.answer is not answer_hello:
            raise RuntimeError("no hello waits for a welcome")
        session.answer = None
        accept_hello(session)
        session.pending = None
        self._send(extensions.welcome(session.offer, is_esmtp=session.is_esmtp, is_secured=session.is_secured))

    def challenge(self, data: bytes) -> None:
        """Go on with the SASL exchange that waits.

        Args:
            data: The challenge, not encoded.

        Raises:
            RuntimeError: No AUTH waits.
        """
        session = self._session
        if session.state is State.CLOSED:
            return
        if session.answer is not answer_auth:
            raise RuntimeError("no authentication waits for a challenge")
        session.answer = None
        session.state = State.LOGIN
        session.out.append(b"334 " + binascii.b2a_base64(data, newline=False) + b"\r\n")
        if session.transcript is not None:
            session.transcript(">", f"334 {MASK}")

    def secured(self) -> None:
        """TLS runs: the session begins anew, without banner (RFC 3207 4.2).

        Raises:
            RuntimeError: STARTTLS was not answered with 220.
        """
        session = self._session
        if session.state is not State.HANDSHAKE:
            raise RuntimeError("no STARTTLS was agreed to")
        session.forget_hello()
        session.is_secured = True
        session.state = State.GREETED

    # What the client said

    def next_event(self) -> ServerEvent | Wait:
        """The next thing that happened, ``NEED_DATA`` or ``PAUSED``; see ``wire.smtp.events``."""
        session = self._session
        while True:
            if session.queued:
                return session.queued.pop(0)
            if session.answer is not None or session.state in _DEAF:
                return PAUSED
            reader = session.reader
            event = read_command(session) if reader is None else read_content(session, reader)
            if event is not None:
                return event

    def _send(self, octets: bytes) -> None:
        self._session.out.append(octets)
        self._session.log_reply(octets)
