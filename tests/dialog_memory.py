"""A driver in memory for the server machine: accepts everything that the scene of a dialog does not refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, assert_never, cast

from tests.dialog import Scene

from posthouse.mail.envelope import Body, Notify, Recipient
from posthouse.mail.reply import Reply
from posthouse.wire.sasl.exchange import (
    Challenge,
    CheckCertificate,
    CheckPassword,
    Failure,
    Mechanism,
    NeedCramSecret,
    NeedScramKeys,
    Verified,
)
from posthouse.wire.sasl.exchange import Step as SaslStep
from posthouse.wire.sasl.scram import derive_scram_keys
from posthouse.wire.sasl.server import begin
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.events import (
    NEED_DATA,
    PAUSED,
    AuthCancelled,
    AuthResponse,
    AuthStarted,
    Closed,
    ContentAborted,
    ContentChunk,
    ContentRequested,
    Hello,
    MailFrom,
    RcptTo,
    Reset,
    ServerEvent,
    StartTls,
    Wait,
)
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.server import ServerMachine

HOSTNAME = "relay.example"
NONCE = b"eighteen octets..!"
NOTIFY_ORDER = (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message that arrived."""

    envelope: str
    content: bytes
    repairs: tuple[str, ...]
    protocol: str
    repaired_lines: int


@dataclass(slots=True)
class MemoryDriver:
    """Drives one machine; `feed` and look at the rest."""

    scene: Scene = field(default_factory=Scene)
    events: list[ServerEvent] = field(default_factory=list)
    messages: list[Delivered] = field(default_factory=list)
    aborts: list[str] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    closed: str = ""
    largest_chunk: int = 0
    machine: ServerMachine = field(init=False)
    sender: MailFrom | None = None
    recipients: list[Recipient] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    mechanism: Mechanism | None = None

    def __post_init__(self) -> None:
        self.machine = ServerMachine(
            make_offer(self.scene),
            bare_newlines=cast("Literal['refuse', 'repair']", self.scene.newlines),
            is_secured="implicit-tls" in self.scene.offer,
            transcript=lambda direction, line: self.transcript.append(f"{direction} {line}"),
        )
        self.machine.greet()

    def feed(self, octets: bytes) -> bytes:
        """Hand octets in, act on everything that happens, give what the server sends."""
        self.machine.receive_data(octets)
        self.pump()
        return self.machine.data_to_send()

    def pump(self) -> Wait:
        """Act on everything that has happened."""
        while True:
            event = self.machine.next_event()
            if isinstance(event, Wait):
                return event
            self.events.append(event)
            self.act(event)

    def act(self, event: ServerEvent) -> None:
        """What the simplest server would do."""
        machine = self.machine
        match event:
            case Hello():
                self._answer(self._refusal("hello", event.name))
            case MailFrom():
                self.sender, self.recipients = event, []
                self.content.clear()
                self._answer(self._refusal("mail", str(event.sender or "")), replies.SENDER_OK)
            case RcptTo():
                refusal = self._refusal("rcpt", str(event.recipient.address))
                if refusal is None:
                    self.recipients.append(event.recipient)
                self._answer(refusal, replies.RECIPIENT_OK)
            case ContentRequested():
                self._answer(self._refusal("data", ""), replies.START_MAIL_INPUT)
            case ContentChunk():
                self._take(event)
            case ContentAborted():
                self.aborts.append(event.reason)
                self.content.clear()
            case StartTls():
                machine.reply(replies.READY_FOR_TLS)
            case AuthStarted():
                self.mechanism = begin(event.mechanism, nonce=NONCE, hostname=HOSTNAME, now=NOW, pretence_key=b"key")
                self._go_on(self.mechanism.step(event.initial))
            case AuthResponse():
                assert self.mechanism is not None
                self._go_on(self.mechanism.step(event.data))
            case Closed():
                self.closed = event.reason
            case Reset() | AuthCancelled():
                pass
            case _:
                assert_never(event)

    def _refusal(self, verb: str, subject: str) -> Reply | None:
        return self.scene.refusals.get((verb, subject))

    def _answer(self, refusal: Reply | None, otherwise: Reply | None = None) -> None:
        reply = refusal or otherwise
        if reply is None:
            self.machine.welcome()
        else:
            self.machine.reply(reply)

    def _take(self, chunk: ContentChunk) -> None:
        self.largest_chunk = max(self.largest_chunk, len(chunk.data))
        self.content += chunk.data
        if chunk.is_last:
            refusal = self._refusal("message", "")
            if refusal is None:
                assert self.sender is not None
                envelope = show_envelope(self.sender, self.recipients)
                repairs, protocol = self.machine.repairs, self.machine.protocol
                message = Delivered(envelope, bytes(self.content), repairs, protocol, chunk.repaired_lines)
                self.messages.append(message)
            self.content.clear()
            self._answer(refusal, replies.OK)

    def _go_on(self, step: SaslStep) -> None:
        name, password = self.scene.account or ("", "")
        assert self.mechanism is not None
        match step:
            case Challenge():
                self.machine.challenge(step.data)
            case CheckPassword():
                self._settle((step.username, step.password) == (name, password))
            case NeedCramSecret():
                self._go_on(self.mechanism.supply(password if step.username == name else None))
            case NeedScramKeys():
                keys = derive_scram_keys(password, b"salt of 16 octets", 4096)
                self._go_on(self.mechanism.supply(keys if step.username == name else None))
            case CheckCertificate():
                self._settle(step.authzid in ("", name))
            case Verified():
                self._settle(True)
            case Failure():
                self._settle(False)
            case _:
                assert_never(step)

    def _settle(self, is_right: bool) -> None:
        self.machine.reply(replies.AUTHENTICATED if is_right else replies.AUTHENTICATION_FAILED)


def make_offer(scene: Scene) -> Offer:
    """The offer that the head of a dialog asks for."""
    words = scene.offer
    default = Offer(hostname=HOSTNAME)

    def number(word: str, otherwise: int) -> int:
        return int(words[word]) if word in words else otherwise

    return Offer(
        hostname=HOSTNAME,
        starttls_offered="starttls" in words,
        mechanisms=tuple(filter(None, words.get("mechanisms", "").split(","))),
        mechanisms_before_tls=tuple(filter(None, words.get("before-tls", "").split(","))),
        advertise_auth_equals="auth-equals" in words,
        max_message_octets=number("max-message", default.max_message_octets),
        max_recipients=number("max-recipients", default.max_recipients),
        max_errors=number("max-errors", default.max_errors),
        max_line_octets=number("max-line", default.max_line_octets),
        smtputf8="no-smtputf8" not in words,
        chunking="no-chunking" not in words,
    )


def show_envelope(mail: MailFrom, recipients: list[Recipient]) -> str:
    """``a@b -> c@d NOTIFY=SUCCESS, e@f; BODY=8BITMIME`` as dialogs write it after ``E:``."""
    words = [f"BODY={mail.body}"] if mail.body is not Body.SEVEN_BIT else []
    words += ["SMTPUTF8"] if mail.smtputf8 else []
    for name, value in (("RET", mail.ret), ("ENVID", mail.envid), ("SIZE", mail.declared_octets), ("AUTH", mail.auth)):
        words += [f"{name}={value}"] if value is not None else []
    text = f"{mail.sender or '<>'} -> {', '.join(map(_show_recipient, recipients))}"
    return f"{text}; {' '.join(words)}" if words else text


def _show_recipient(recipient: Recipient) -> str:
    text = str(recipient.address)
    if recipient.notify is not Notify.DEFAULT:
        names = [flag.name or "" for flag in NOTIFY_ORDER if flag & recipient.notify]
        text += f" NOTIFY={','.join(names)}"
    if recipient.original is not None:
        text += f" ORCPT={recipient.original}"
    return text


def lines_of(octets: bytes) -> list[str]:
    """Lines the server sent."""
    return octets.decode().split("\r\n")[:-1]


__all__ = ["HOSTNAME", "NEED_DATA", "PAUSED", "Delivered", "MemoryDriver", "lines_of", "make_offer", "show_envelope"]
