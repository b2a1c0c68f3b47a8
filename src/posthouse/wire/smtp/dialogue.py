"""One line from the client: whether it is a command at all, whether it may come now, and who obeys it.

Source: RFC 5321 2.3.8 and 4.5.3.1.4 (lines), 4.1.4 (order), 4.2.4 (unknown commands).
Shape: ``read_command(session)`` takes one line from the input and gives an event, ``NEED_DATA``, or None when the line
was answered here.
Failures: replies, counted by `Session.fail`.
Leaves to others: what a command does (``wire.smtp.obey``).
"""

from __future__ import annotations

from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.commands import FOREIGN_VERBS
from posthouse.wire.smtp.events import NEED_DATA, AuthCancelled, ServerEvent, Wait
from posthouse.wire.smtp.input_buffer import OVERLONG
from posthouse.wire.smtp.obey import HANDLERS, read_login_line, refuse_bdat
from posthouse.wire.smtp.order import ORDER, State
from posthouse.wire.smtp.session import Session

MASK = "<authentication data>"
_TLS_RECORD = b"\x16\x03"
_HELLOS = ("EHLO ", "HELO ")


def read_command(session: Session) -> ServerEvent | Wait | None:
    """Take one line."""
    if session.input.starts_with(_TLS_RECORD) and session.state is not State.LOGIN:
        _refuse_protocol(session, replies.UNEXPECTED_TLS)
        return None
    line = session.input.take_line(session.offer.max_auth_octets)
    if line is None:
        return _wait_for_more(session)
    if line is OVERLONG:
        return _refuse_overlong(session)
    if line.endswith(b"\r"):
        line = line[:-1]
    elif session.bare_newlines == "refuse":
        _refuse_line(session, line, replies.BARE_NEWLINE_IN_COMMAND)
        return None
    if session.state is State.LOGIN:
        _log(session, MASK)
        return read_login_line(session, line)
    text = _text(line)
    if text is not None:
        return _obey(session, text, len(line) + 2)
    _refuse_line(session, line, replies.UNREADABLE_COMMAND)
    return None


def _obey(session: Session, text: str, octets: int) -> ServerEvent | None:
    verb, _, argument = text.partition(" ")
    verb = verb.upper()
    if session.transcript is not None:
        _log(session, f"AUTH {argument.partition(' ')[0]} {MASK}" if verb == "AUTH" else text)
    if octets > session.offer.max_command_octets and verb != "AUTH":
        session.fail(replies.COMMAND_TOO_LONG)
        return None
    step = ORDER.get((session.state, verb))
    if isinstance(step, State):
        event = HANDLERS[verb](session, verb, argument)
        if not isinstance(event, Reply):
            return event
        session.fail(event)
    elif step is not None:
        _refuse_order(session, verb, argument, step)
    elif verb in FOREIGN_VERBS:
        _refuse_protocol(session, replies.FOREIGN_PROTOCOL)
    else:
        session.fail(replies.UNRECOGNIZED_COMMAND)
    return None


def _refuse_order(session: Session, verb: str, argument: str, reply: Reply) -> None:
    if reply is replies.NEED_RCPT and session.attempts:
        reply = replies.NO_VALID_RECIPIENTS
    if verb == "BDAT":
        refuse_bdat(session, argument, reply)
    else:
        session.fail(reply)


def _refuse_line(session: Session, line: bytes, reply: Reply) -> None:
    _log(session, f"<{len(line)} octets that are not a command>")
    session.fail(reply)


def _refuse_overlong(session: Session) -> ServerEvent | None:
    _log(session, "<line too long>")
    if session.state is State.LOGIN:
        session.state = State.READY
        session.fail(replies.AUTH_LINE_TOO_LONG)
        return AuthCancelled()
    session.fail(replies.COMMAND_TOO_LONG)
    return None


def _refuse_protocol(session: Session, reply: Reply) -> None:
    """HTTP, or TLS where none was agreed on. To go on would let a browser be used to send mail."""
    _log(session, "<foreign protocol>")
    session.say(reply)
    session.close("foreign protocol")


def _wait_for_more(session: Session) -> Wait | None:
    if not session.is_peer_gone:
        return NEED_DATA
    session.close("connection lost")
    return None


def _log(session: Session, line: str) -> None:
    if session.transcript is not None:
        session.transcript("<", line)


def _text(line: bytes) -> str | None:
    """The line as text without control characters; None if it cannot be that. The name in a hello may be garbage."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode(errors="replace")
        if not text.upper().startswith(_HELLOS):
            return None
    if text.isprintable():
        return text
    text = text.replace("\t", " ")
    if text.isprintable():
        return text
    if text.upper().startswith(_HELLOS):
        return "".join(character if character.isprintable() else "?" for character in text)
    return None
