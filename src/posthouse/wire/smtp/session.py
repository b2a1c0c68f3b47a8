"""What the server machine remembers of one session, and the few acts that every part of it needs.

Source: RFC 5321 4.1.4 (state), RFC 3848 and RFC 6531 4.3 (names of protocols).
Shape: `Session` is plain mutable state. ``obey`` changes it by commands, ``intake`` by content; both speak through
`say`, `fail` and `close`.
Failures: none.
Leaves to others: everything that decides (``wire.smtp.obey``, ``wire.smtp.intake``).
"""

from __future__ import annotations

from collections.abc import Callable

from posthouse.mail.envelope import Body
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.content import BareNewlines, ChunkReader, Discard, DotReader
from posthouse.wire.smtp.events import Closed, Hello, MailFrom, ServerEvent
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.input_buffer import InputBuffer
from posthouse.wire.smtp.order import State

Transcript = Callable[[str, str], None]
"""Called with ``<`` or ``>`` and one line, credentials masked: what a protocol log needs."""

MAX_REPAIRS = 20
"""Notes kept of one transaction."""

_IN_TRANSACTION = frozenset((State.SENDER, State.RECIPIENTS, State.CONTENT, State.CHUNKS))


class Session:
    """State of one session.

    Attributes:
        offer: What the listener grants.
        bare_newlines: Policy for content that begins from now on.
        answer: What to do with the driver's next reply; None while no event waits for one.
        pending: The hello or MAIL that waits for its reply.
        queued: Events that were found but not handed over yet.
        reader: Takes the content while some is due.
        chunks: The reader of a BDAT sequence between two chunks.
        chunk: Octets of the first BDAT, until the driver has agreed to the content, and whether it is the last.
        refusal: What to answer when `reader` has discarded a refused BDAT.
        attempts: RCPT commands of the transaction that reached the driver.
    """

    __slots__ = (
        "answer",
        "attempts",
        "bare_newlines",
        "body",
        "chunk",
        "chunks",
        "discarded_octets",
        "errors",
        "hello_name",
        "input",
        "is_aborted",
        "is_authenticated",
        "is_esmtp",
        "is_peer_gone",
        "is_secured",
        "offer",
        "out",
        "pending",
        "queued",
        "reader",
        "refusal",
        "repairs",
        "smtputf8",
        "state",
        "transcript",
    )

    def __init__(
        self, offer: Offer, bare_newlines: BareNewlines, is_secured: bool, transcript: Transcript | None
    ) -> None:
        self.offer = offer
        self.bare_newlines: BareNewlines = bare_newlines
        self.transcript = transcript
        self.input = InputBuffer()
        self.out: list[bytes] = []
        self.state = State.SILENT
        self.is_secured = is_secured
        self.is_peer_gone = False
        self.discarded_octets = 0
        self.errors = 0
        self.queued: list[ServerEvent] = []
        self.answer: Callable[[Session, Reply], None] | None = None
        self.pending: Hello | MailFrom | None = None
        self.forget_hello()

    def forget_hello(self) -> None:
        """RFC 3207 4.2: after TLS has begun nothing that was said before counts."""
        self.hello_name = ""
        self.is_esmtp = False
        self.is_authenticated = False
        self.end_transaction()

    def end_transaction(self) -> None:
        """Forget the envelope and all that belongs to its content; `state` is the caller's."""
        self.reader: DotReader | ChunkReader | Discard | None = None
        self.chunks: ChunkReader | None = None
        self.chunk = (0, False)
        self.refusal: Reply | None = None
        self.is_aborted = False
        self.attempts = 0
        self.body = Body.SEVEN_BIT
        self.smtputf8 = False
        self.repairs: list[str] = []

    @property
    def in_transaction(self) -> bool:
        """MAIL was accepted and its message is not settled."""
        return self.state in _IN_TRANSACTION

    @property
    def protocol(self) -> str:
        """Value of ``with`` in Received."""
        suffix = ("S" if self.is_secured else "") + ("A" if self.is_authenticated else "")
        if self.smtputf8:
            return f"UTF8SMTP{suffix}"
        return f"ESMTP{suffix}" if self.is_esmtp or suffix else "SMTP"

    def say(self, reply: Reply) -> None:
        """Queue a reply."""
        self.out.append(replies.octets(reply))
        if self.transcript is not None:
            self.log_reply(replies.octets(reply))

    def log_reply(self, octets: bytes) -> None:
        """Write each line of a reply to the transcript."""
        if self.transcript is not None:
            for line in octets.decode(errors="replace").splitlines():
                self.transcript(">", line)

    def note(self, repairs: tuple[str, ...], verb: str) -> None:
        """Remember what was mended."""
        room = MAX_REPAIRS - len(self.repairs)
        self.repairs += [f"{verb}: {repair}" for repair in repairs[:room]]

    def fail(self, reply: Reply) -> None:
        """Refuse a command; the one that exceeds the bound ends the session."""
        self.errors += 1
        if self.errors >= self.offer.max_errors:
            self.say(replies.TOO_MANY_ERRORS)
            self.close("too many errors")
        else:
            self.say(reply)

    def close(self, reason: str) -> None:
        """Read nothing more and tell the driver to close."""
        if self.state is not State.CLOSED:
            self.end_transaction()
            self.state = State.CLOSED
            self.answer = None
            self.pending = None
            self.input.clear()
            self.queued.append(Closed(reason))
