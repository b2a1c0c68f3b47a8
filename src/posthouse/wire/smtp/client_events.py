"""What the SMTP client machine tells its driver, and what it says about each recipient.

Source: RFC 5321 3 and 4.2.
Shape: the driver asks for one thing (`ClientMachine.hello`, ``begin`` and so on) and calls `ClientMachine.next_event`
until it gives None, which means: more octets are needed. `Answered` ends everything but a transaction;
`TransactionEnded` ends that; `Ended` is the last event of a session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Recipient
from posthouse.mail.reply import Reply


class Stage(StrEnum):
    """The step of a session that an answer belongs to."""

    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    HANDSHAKE = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """The DATA command; the answer that lets us go on is 354."""
    CONTENT = "content"
    """After the final dot or the last chunk: the answer that counts."""
    RESET = "rset"
    NOOP = "noop"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's answer that settles a recipient: the first refusal, or the one to the content."""

    stage: Stage
    reply: Reply


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection failed before the recipient was settled.

    Attributes:
        stage: What was waited for.
        cause: What happened, in words.
        may_be_delivered: The final dot or the last chunk was handed to the network already.
    """

    stage: Stage
    cause: str
    may_be_delivered: bool


@dataclass(frozen=True, slots=True)
class CannotSend:
    """The server does not offer what the message needs; nothing was sent for this recipient.

    Attributes:
        status: Enhanced status code, permanent.
    """

    status: str
    reason: str


RecipientResult = Answer | NoAnswer | CannotSend


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What one MAIL ... final dot is to carry.

    Attributes:
        size_octets: Length of the content, not dot-stuffed.
        body: What the content really needs.
        has_utf8_header: Header fields hold non-ASCII octets, so that SMTPUTF8 is needed.
        content: The octets, or None where the driver streams them after `ContentWanted`.
    """

    sender: Address | None
    recipients: tuple[Recipient, ...]
    size_octets: int
    body: Body = Body.SEVEN_BIT
    has_utf8_header: bool = False
    ret: str | None = None
    envid: str | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to greeting, hello, STARTTLS, AUTH, RSET, NOOP or QUIT, good or bad.

    Attributes:
        detail: What was learnt besides, such as the complaint inside a refused SASL exchange.
    """

    stage: Stage
    reply: Reply
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """Give the content now with `ClientMachine.send_content` and `ClientMachine.end_content`."""


@dataclass(frozen=True, slots=True)
class TransactionEnded:
    """One result for each recipient, in the order of `Transaction.recipients`."""

    results: tuple[RecipientResult, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over: close the connection without another word.

    Attributes:
        reply: The 421, if that is what ended it.
    """

    cause: str
    reply: Reply | None = None


ClientEvent = Answered | ContentWanted | TransactionEnded | Ended
