"""What each command does.

Source: RFC 5321 4.1.1, RFC 3030 2, RFC 3207 4, RFC 4954 4.
Shape: `HANDLERS` maps a verb to ``handler(session, verb, argument)``, which gives the event for the driver, the `Reply`
that refuses the command, or None when it was answered here. An event that waits leaves the function for its answer in
``session.answer``. The order of commands was checked before.
Failures: a `Reply`; the machine sends and counts it.
Leaves to others: order (``wire.smtp.order``), arguments (``wire.smtp.commands``), content (``wire.smtp.intake``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from posthouse.mail.envelope import Body
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.commands import decode_response, read_auth, read_bdat, read_hello, read_mail, read_rcpt
from posthouse.wire.smtp.content import Fault
from posthouse.wire.smtp.events import (
    AuthCancelled,
    AuthResponse,
    ContentAborted,
    ContentRequested,
    Hello,
    MailFrom,
    Reset,
    ServerEvent,
    StartTls,
)
from posthouse.wire.smtp.intake import agree_to_chunks, agree_to_data, discard, next_chunk
from posthouse.wire.smtp.order import State
from posthouse.wire.smtp.session import Session

Obeyed = ServerEvent | Reply | None
Handler = Callable[[Session, str, str], Obeyed]


def _hello(session: Session, verb: str, argument: str) -> Obeyed:
    hello = Hello(read_hello(argument), verb == "EHLO")
    session.pending = hello
    session.answer = answer_hello
    if not session.in_transaction:
        return hello
    session.end_transaction()
    session.state = State.READY
    session.queued.append(hello)
    return Reset()


def answer_hello(session: Session, reply: Reply) -> None:
    """A refused hello changes nothing (RFC 5321 4.1.4)."""
    session.say(reply)
    if reply.is_positive:
        accept_hello(session)


def accept_hello(session: Session) -> None:
    """The session begins anew with this name."""
    if isinstance(session.pending, Hello):
        session.hello_name = session.pending.name
        session.is_esmtp = session.pending.is_esmtp
    session.state = State.READY


def _mail(session: Session, _: str, argument: str) -> Obeyed:
    mail = read_mail(argument, session.offer)
    if isinstance(mail, Reply):
        return mail
    session.repairs.clear()
    if mail.repairs:
        session.note(mail.repairs, "MAIL")
    session.pending = mail.event
    session.answer = _answer_mail
    return mail.event


def _answer_mail(session: Session, reply: Reply) -> None:
    session.say(reply)
    if reply.is_positive and isinstance(session.pending, MailFrom):
        session.smtputf8 = session.pending.smtputf8
        session.body = session.pending.body
        session.state = State.SENDER


def _rcpt(session: Session, _: str, argument: str) -> Obeyed:
    if session.attempts >= session.offer.max_recipients:
        session.say(replies.TOO_MANY_RECIPIENTS)
        return None
    rcpt = read_rcpt(argument, session.offer, smtputf8=session.smtputf8)
    if isinstance(rcpt, Reply):
        return rcpt
    session.attempts += 1
    if rcpt.repairs:
        session.note(rcpt.repairs, "RCPT")
    session.answer = _answer_rcpt
    return rcpt.event


def _answer_rcpt(session: Session, reply: Reply) -> None:
    session.say(reply)
    if reply.is_positive:
        session.state = State.RECIPIENTS


def _data(session: Session, _: str, argument: str) -> Obeyed:
    if argument.strip():
        return replies.INVALID_ARGUMENTS
    if session.body is Body.BINARY_MIME:
        return replies.BINARY_NEEDS_BDAT
    session.answer = agree_to_data
    return ContentRequested(is_bdat=False)


def _bdat(session: Session, _: str, argument: str) -> Obeyed:
    bdat = read_bdat(argument)
    if bdat is None:
        _close_lost_count(session)
        return None
    if not session.offer.chunking:
        discard(session, bdat.octets, replies.NOT_IMPLEMENTED)
        return None
    # One chunk alone shows it; what several add up to is counted as they come.
    if 0 < session.offer.max_message_octets < bdat.octets:
        session.end_transaction()
        session.state = State.READY
        discard(session, bdat.octets, replies.MESSAGE_TOO_LARGE)
        return ContentAborted(Fault.TOO_LARGE.value)
    if session.chunks is not None:
        next_chunk(session, session.chunks, bdat.octets, bdat.is_last)
        return None
    session.chunk = (bdat.octets, bdat.is_last)
    session.answer = agree_to_chunks
    return ContentRequested(is_bdat=True)


def refuse_bdat(session: Session, argument: str, reply: Reply) -> None:
    """A BDAT out of order: its octets go by first."""
    bdat = read_bdat(argument)
    if bdat is None:
        _close_lost_count(session)
    else:
        discard(session, bdat.octets, reply)


def _close_lost_count(session: Session) -> None:
    """Nobody knows how many octets of content follow; to go on would be to obey them."""
    session.say(replies.INVALID_ARGUMENTS)
    session.close("BDAT without a length")


def _starttls(session: Session, _: str, argument: str) -> Obeyed:
    if session.is_secured:
        return replies.ALREADY_SECURED
    if not session.offer.starttls_offered:
        return replies.NOT_IMPLEMENTED
    if argument.strip():
        return replies.INVALID_ARGUMENTS
    session.answer = _answer_starttls
    return StartTls()


def _answer_starttls(session: Session, reply: Reply) -> None:
    session.say(reply)
    if reply.code == replies.READY_FOR_TLS.code:
        # Whatever came in plain text behind STARTTLS may be a stranger's; it must never count as said under TLS.
        session.discarded_octets += session.input.clear()
        session.state = State.HANDSHAKE


def _auth(session: Session, _: str, argument: str) -> Obeyed:
    if session.is_authenticated:
        return replies.ALREADY_AUTHENTICATED
    allowed = session.offer.allowed_mechanisms(is_secured=session.is_secured)
    if not allowed and not session.offer.mechanisms:
        return replies.NOT_IMPLEMENTED
    auth = read_auth(argument)
    if isinstance(auth, Reply):
        return auth
    if auth.mechanism not in allowed:
        needs_tls = auth.mechanism in session.offer.mechanisms and session.offer.starttls_offered
        return replies.STARTTLS_FIRST if needs_tls else replies.UNKNOWN_MECHANISM
    session.answer = answer_auth
    return auth


def answer_auth(session: Session, reply: Reply) -> None:
    """The end of a SASL exchange."""
    session.state = State.READY
    if reply.code == replies.AUTHENTICATED.code:
        session.is_authenticated = True
        session.say(reply)
    elif reply.is_permanent:
        session.fail(reply)
    else:
        session.say(reply)


def read_login_line(session: Session, line: bytes) -> ServerEvent | None:
    """A line in a SASL exchange."""
    if line == b"*":
        session.state = State.READY
        session.fail(replies.AUTH_CANCELLED)
        return AuthCancelled()
    response = decode_response(line.decode("ascii", "replace"))
    if response is None:
        session.state = State.READY
        session.fail(replies.CANNOT_DECODE)
        return AuthCancelled()
    session.answer = answer_auth
    return AuthResponse(response)


def _rset(session: Session, _: str, __: str) -> Obeyed:
    session.say(replies.RESETTING)
    if not session.in_transaction:
        return None
    session.end_transaction()
    session.state = State.READY
    return Reset()


def _quit(session: Session, _: str, __: str) -> Obeyed:
    session.say(replies.CLOSING)
    session.close("quit")
    return None


def _noop(session: Session, _: str, __: str) -> Obeyed:
    session.say(replies.OK)
    return None


def _help(session: Session, _: str, __: str) -> Obeyed:
    session.say(replies.HELP)
    return None


def _vrfy(session: Session, _: str, argument: str) -> Obeyed:
    if not argument.strip():
        return replies.INVALID_ARGUMENTS
    session.say(replies.CANNOT_VERIFY)
    return None


def _expn(_: Session, __: str, ___: str) -> Obeyed:
    return replies.NOT_IMPLEMENTED


HANDLERS: Mapping[str, Handler] = {
    "HELO": _hello,
    "EHLO": _hello,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "BDAT": _bdat,
    "STARTTLS": _starttls,
    "AUTH": _auth,
    "RSET": _rset,
    "QUIT": _quit,
    "NOOP": _noop,
    "HELP": _help,
    "VRFY": _vrfy,
    "EXPN": _expn,
}
"""One handler a verb; the verbs are those of `ORDER`."""
