"""What the SMTP server machine tells its driver.

Source: RFC 5321 4.1, RFC 4954 4, RFC 3030 2, RFC 3207 4.
Shape: the driver calls `ServerMachine.next_event` until it gets ``NEED_DATA`` or ``PAUSED``. Each event except
`ContentChunk` with ``is_last=False``, `ContentAborted`, `Reset` and `Closed` waits for one `ServerMachine.reply`
(or `challenge`); until then ``next_event`` returns ``PAUSED`` and pipelined commands stay in the buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Recipient


class Wait(Enum):
    """Nothing to hand over just now."""

    NEED_DATA = auto()
    PAUSED = auto()


NEED_DATA = Wait.NEED_DATA
PAUSED = Wait.PAUSED


@dataclass(frozen=True, slots=True)
class Hello:
    """HELO or EHLO. Accept with `ServerMachine.welcome`, which lists the extensions; refuse with `reply`."""

    name: str
    is_esmtp: bool


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS where it is offered. After ``reply(220)`` the driver secures the connection, then calls `secured`."""


@dataclass(frozen=True, slots=True)
class AuthStarted:
    """AUTH with an offered mechanism; `initial` is the decoded initial response, ``b""`` for ``=``, None for none."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a challenge, decoded. A cancelled exchange (``*``) never reaches the driver as data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The client sent ``*``; the machine has answered 501 already. Needs no reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFrom:
    """MAIL, syntactically sound and in order."""

    sender: Address | None
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    declared_octets: int | None = None
    auth: str | None = None


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT, syntactically sound, in order and below the limit."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class ContentRequested:
    """DATA, or the first BDAT: ``reply(START_MAIL_INPUT)`` to go on, any other reply to refuse (BDAT octets are then
    swallowed by the machine)."""

    is_bdat: bool


@dataclass(frozen=True, slots=True)
class ContentChunk:
    """Octets of the message, unstuffed, line ends CRLF. The one with `is_last` waits for the final reply.

    Attributes:
        repaired_lines: Bare CR or LF that were turned into CRLF so far (policy ``repair`` only).
    """

    data: bytes
    is_last: bool
    repaired_lines: int = 0


@dataclass(frozen=True, slots=True)
class ContentAborted:
    """The message cannot be taken (too large, bare newlines refused, line too long); the machine has sent or will send
    the reply itself after swallowing what follows. The driver throws the octets away."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET, or a HELO/EHLO in mid-transaction: the envelope is void. Needs no reply."""


@dataclass(frozen=True, slots=True)
class Closed:
    """QUIT was answered, an error limit was reached or a foreign protocol was met: send what `data_to_send` gives,
    then close. Attribute `reason` is for the protocol log; ``quit`` for the ordinary end."""

    reason: str


ServerEvent = (
    Hello
    | StartTls
    | AuthStarted
    | AuthResponse
    | AuthCancelled
    | MailFrom
    | RcptTo
    | ContentRequested
    | ContentChunk
    | ContentAborted
    | Reset
    | Closed
)
