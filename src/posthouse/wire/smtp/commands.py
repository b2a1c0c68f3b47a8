"""One command line into one value: the arguments of MAIL, RCPT, AUTH, BDAT and HELO.

Source: RFC 5321 4.1.1, RFC 4954 4, RFC 3030 2.
Shape: ``read_*(argument, ...)`` gives a value or the `Reply` that refuses it. `argument` is what follows the verb and
its blank, as text.
Failures: a `Reply` as a value.
Leaves to others: paths (``wire.smtp.path``), parameters (``wire.smtp.parameters``), order (``wire.smtp.order``).
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import NamedTuple

from posthouse.mail.envelope import Recipient
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.events import AuthStarted, MailFrom, RcptTo
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.parameters import read_mail_parameters, read_rcpt_parameters
from posthouse.wire.smtp.path import Path, PathError, PathFault, read_path

FOREIGN_VERBS = frozenset(
    [
        "GET",
        "POST",
        "PUT",
        "HEAD",
        "CONNECT",
        "OPTIONS",
        "DELETE",
        "PATCH",
        "TRACE",
        "PROPFIND",
        "PRI",
        "HOST:",
        "USER-AGENT:",
        "CONTENT-LENGTH:",
    ]
)
"""First words of HTTP lines. Who sends them is a browser or a server that was tricked into talking to us."""

MAX_HELLO_CHARACTERS = 255
_BDAT = re.compile(r"([0-9]{1,20})( +LAST)? *", re.IGNORECASE)
_MECHANISM = re.compile(r"[A-Za-z0-9_-]{1,20}")


class Mail(NamedTuple):
    """MAIL, understood."""

    event: MailFrom
    repairs: tuple[str, ...]


class Rcpt(NamedTuple):
    """RCPT, understood."""

    event: RcptTo
    repairs: tuple[str, ...]


class Bdat(NamedTuple):
    """BDAT, understood: octets that follow, and whether they are the last."""

    octets: int
    is_last: bool


def read_mail(argument: str, offer: Offer) -> Mail | Reply:
    """Read ``FROM:<path> parameters``."""
    if _is_path_alone(argument):
        return _read_mail_alone(argument)
    path = _read_sender(argument)
    if isinstance(path, Reply):
        return path
    found = read_mail_parameters(path.parameters, offer)
    if isinstance(found, Reply):
        return found
    if path.address is not None and not found.smtputf8 and not path.address.is_ascii:
        return replies.NEEDS_SMTPUTF8
    event = MailFrom(
        sender=path.address,
        body=found.body,
        smtputf8=found.smtputf8,
        ret=found.ret,
        envid=found.envid,
        declared_octets=found.declared_octets,
        auth=found.auth,
    )
    return Mail(event, path.repairs)


def read_rcpt(argument: str, offer: Offer, *, smtputf8: bool) -> Rcpt | Reply:
    """Read ``TO:<path> parameters``; `smtputf8` is what MAIL of this transaction said."""
    if _is_path_alone(argument):
        return _read_rcpt_alone(argument, smtputf8)
    path = _read_path("TO:", argument, replies.INVALID_RECIPIENT, replies.RECIPIENT_TOO_LONG)
    if isinstance(path, Reply):
        return path
    found = read_rcpt_parameters(path.parameters, offer, smtputf8=smtputf8)
    if isinstance(found, Reply):
        return found
    if path.address is None:
        return replies.INVALID_RECIPIENT
    if not smtputf8 and not path.address.is_ascii:
        return replies.NEEDS_SMTPUTF8
    return Rcpt(RcptTo(Recipient(path.address, found.notify, found.original)), path.repairs)


def _is_path_alone(argument: str) -> bool:
    return argument.endswith(">") and " " not in argument


@lru_cache(maxsize=1024)
def _read_mail_alone(argument: str) -> Mail | Reply:
    """MAIL without parameters: the same few over and over."""
    path = _read_sender(argument)
    if isinstance(path, Reply):
        return path
    if path.address is not None and not path.address.is_ascii:
        return replies.NEEDS_SMTPUTF8
    return Mail(MailFrom(sender=path.address), path.repairs)


@lru_cache(maxsize=1024)
def _read_rcpt_alone(argument: str, smtputf8: bool) -> Rcpt | Reply:
    """RCPT without parameters."""
    path = _read_path("TO:", argument, replies.INVALID_RECIPIENT, replies.RECIPIENT_TOO_LONG)
    if isinstance(path, Reply):
        return path
    if path.address is None:
        return replies.INVALID_RECIPIENT
    if not smtputf8 and not path.address.is_ascii:
        return replies.NEEDS_SMTPUTF8
    return Rcpt(RcptTo(Recipient(path.address)), path.repairs)


def _read_sender(argument: str) -> Path | Reply:
    path = _read_path("FROM:", argument, replies.INVALID_SENDER, replies.SENDER_TOO_LONG)
    if isinstance(path, Path) and path.address is not None and not path.address.domain:
        return replies.INVALID_SENDER
    return path


def _read_path(prefix: str, argument: str, malformed: Reply, too_long: Reply) -> Path | Reply:
    length = len(prefix)
    if argument[:length].upper() != prefix:
        argument = argument.lstrip()
        if argument[:length].upper() != prefix:
            return replies.INVALID_ARGUMENTS
    try:
        return read_path(argument[length:])
    except PathError as error:
        return too_long if error.fault is PathFault.TOO_LONG else malformed


def read_hello(argument: str) -> str:
    """The name a client gives. Empty and odd names pass: whether they matter is policy."""
    return argument.strip()[:MAX_HELLO_CHARACTERS]


def read_auth(argument: str) -> AuthStarted | Reply:
    """Read ``mechanism [initial-response]``."""
    words = argument.split()
    if not 1 <= len(words) <= 2 or not _MECHANISM.fullmatch(words[0]):
        return replies.INVALID_ARGUMENTS
    if len(words) == 1:
        return AuthStarted(words[0].upper(), None)
    initial = b"" if words[1] == "=" else decode_response(words[1])
    return replies.CANNOT_DECODE if initial is None else AuthStarted(words[0].upper(), initial)


def decode_response(word: str) -> bytes | None:
    """Decode base64; None where it is none. Missing padding is forgiven, other characters are not."""
    word = word.strip()
    try:
        return binascii.a2b_base64(word + "=" * (-len(word) % 4), strict_mode=True)
    except ValueError:
        return None


def read_bdat(argument: str) -> Bdat | None:
    """Read ``octets [LAST]``; None where no number of octets can be read: nobody knows then where commands go on."""
    match = _BDAT.fullmatch(argument.strip())
    return None if match is None else Bdat(int(match[1]), match[2] is not None)
