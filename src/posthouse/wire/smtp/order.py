"""The order of commands as a table.

Source: RFC 5321 4.1.4, RFC 3030 2, RFC 3207 4, RFC 4954 4.
Shape: `ORDER` maps ``(state, verb)`` to the state that a positive answer leads to, or to the `Reply` that refuses the
verb in that state. A verb that stands nowhere is not a command.
Failures: none.
Leaves to others: obeying the table (``wire.smtp.server``); printing it (``docs/states.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies


class State(StrEnum):
    """Where a session stands between two commands."""

    SILENT = "silent"
    """Nothing was said yet, not even the banner."""
    GREETED = "greeted"
    """The banner was sent, or TLS began: a hello must follow."""
    READY = "ready"
    """Hello was said; no transaction is open."""
    SENDER = "sender"
    """MAIL was accepted."""
    RECIPIENTS = "recipients"
    """At least one RCPT was accepted."""
    CONTENT = "content"
    """354 was sent: octets until CRLF.CRLF are the message."""
    CHUNKS = "chunks"
    """At least one BDAT came and not the last."""
    LOGIN = "login"
    """A SASL exchange runs: lines are answers, not commands."""
    HANDSHAKE = "handshake"
    """220 to STARTTLS was sent: TLS comes next."""
    CLOSED = "closed"
    """Nothing more is read."""


Step = State | Reply

_HELLO = {"HELO": State.READY, "EHLO": State.READY}
_ANYWHERE = ("NOOP", "HELP", "VRFY", "EXPN")


def _row(state: State, *parts: Mapping[str, Step]) -> Iterable[tuple[tuple[State, str], Step]]:
    row: dict[str, Step] = dict.fromkeys(_ANYWHERE, state)
    row |= {"QUIT": State.CLOSED, "RSET": State.READY, **_HELLO}
    for part in parts:
        row |= part
    return (((state, verb), step) for verb, step in row.items())


_NO_MAIL = dict.fromkeys(("RCPT", "DATA", "BDAT"), replies.NEED_MAIL)
_NO_RCPT = dict.fromkeys(("DATA", "BDAT"), replies.NEED_RCPT)
_TOO_EARLY = dict.fromkeys(("MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STARTTLS"), replies.SEND_HELLO_FIRST)
_TOO_LATE = dict.fromkeys(("AUTH", "STARTTLS"), replies.BAD_SEQUENCE)
_ONE_SENDER = {"MAIL": replies.SENDER_ALREADY_SPECIFIED}
_ONLY_CHUNKS = dict.fromkeys(("MAIL", "RCPT", "DATA"), replies.BAD_SEQUENCE)

ORDER: Mapping[tuple[State, str], Step] = dict(
    (
        *_row(State.GREETED, _TOO_EARLY, {"RSET": State.GREETED}),
        *_row(State.READY, _NO_MAIL, {"MAIL": State.SENDER, "AUTH": State.LOGIN, "STARTTLS": State.HANDSHAKE}),
        *_row(State.SENDER, _ONE_SENDER, _TOO_LATE, _NO_RCPT, {"RCPT": State.RECIPIENTS}),
        *_row(
            State.RECIPIENTS,
            _ONE_SENDER,
            _TOO_LATE,
            {"RCPT": State.RECIPIENTS, "DATA": State.CONTENT, "BDAT": State.CHUNKS},
        ),
        *_row(State.CHUNKS, _ONLY_CHUNKS, _TOO_LATE, {"BDAT": State.CHUNKS}),
    )
)
"""``(state, verb)`` to the next state or the refusal."""
