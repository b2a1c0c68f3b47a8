"""The parameters of MAIL and RCPT.

Source: RFC 5321 4.1.1.11 (unknown parameters), RFC 1870 6 (SIZE), RFC 3030 3 and RFC 6152 (BODY), RFC 3461 4 (NOTIFY,
ORCPT, RET, ENVID), RFC 4954 5 (AUTH), RFC 6531 3.4 (SMTPUTF8), RFC 6533 3 (ORCPT ``utf-8``).
Shape: a table from keyword to a small reader, one table a command. A reader stores its value and gives None, or it
gives the `Reply` that refuses the command.
Failures: a `Reply` as a value.
Leaves to others: the path before the parameters (``wire.smtp.path``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from posthouse.mail.envelope import Body, Notify
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.extensions import Offer
from posthouse.wire.smtp.xtext import XtextError, decode_embedded, decode_xtext

MAX_ENVID_CHARACTERS = 100
"""RFC 3461 4.4."""
MAX_ORCPT_CHARACTERS = 500
"""RFC 3461 4.2."""
MAX_AUTH_CHARACTERS = 500
"""RFC 4954 3: AUTH= adds 500 octets to MAIL."""

_SIZE = re.compile(r"[0-9]{1,20}")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,32}")
_NOTIFY = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}
_BODIES = {body.value: body for body in Body}


@dataclass(slots=True)
class MailParameters:
    """What the parameters of MAIL said so far; the fields are those of `MailFrom`."""

    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    declared_octets: int | None = None
    auth: str | None = None


@dataclass(slots=True)
class RcptParameters:
    """What the parameters of RCPT said so far. `smtputf8` comes from MAIL of the same transaction."""

    smtputf8: bool = False
    notify: Notify = Notify.DEFAULT
    original: str | None = None


_Into = TypeVar("_Into")
MailReader = Callable[[MailParameters, str, Offer], Reply | None]
RcptReader = Callable[[RcptParameters, str, Offer], Reply | None]


def read_mail_parameters(text: str, offer: Offer) -> MailParameters | Reply:
    """Read what follows the path of MAIL."""
    found = MailParameters()
    return _read(text, MAIL_PARAMETERS, found, offer) or found


def read_rcpt_parameters(text: str, offer: Offer, *, smtputf8: bool) -> RcptParameters | Reply:
    """Read what follows the path of RCPT."""
    found = RcptParameters(smtputf8)
    return _read(text, RCPT_PARAMETERS, found, offer) or found


def _read(
    text: str, table: Mapping[str, Callable[[_Into, str, Offer], Reply | None]], into: _Into, offer: Offer
) -> Reply | None:
    seen: set[str] = set()
    for word in text.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        reader = table.get(keyword)
        if reader is None:
            return replies.UNKNOWN_PARAMETER
        if keyword in seen or bool(equals) != bool(value):
            return replies.INVALID_ARGUMENTS
        seen.add(keyword)
        refusal = reader(into, value, offer)
        if refusal is not None:
            return refusal
    return None


def _read_size(into: MailParameters, value: str, offer: Offer) -> Reply | None:
    if not _SIZE.fullmatch(value):
        return replies.INVALID_ARGUMENTS
    into.declared_octets = int(value)
    if 0 < offer.max_message_octets < into.declared_octets:
        return replies.MESSAGE_TOO_LARGE
    return None


def _read_body(into: MailParameters, value: str, offer: Offer) -> Reply | None:
    body = _BODIES.get(value.upper())
    if body is None or (body is Body.BINARY_MIME and not offer.chunking):
        return replies.INVALID_ARGUMENTS
    into.body = body
    return None


def _read_smtputf8(into: MailParameters, value: str, offer: Offer) -> Reply | None:
    if not offer.smtputf8:
        return replies.UNKNOWN_PARAMETER
    if value:
        return replies.INVALID_ARGUMENTS
    into.smtputf8 = True
    return None


def _read_ret(into: MailParameters, value: str, _: Offer) -> Reply | None:
    if value.upper() not in ("FULL", "HDRS"):
        return replies.INVALID_ARGUMENTS
    into.ret = value.upper()
    return None


def _read_envid(into: MailParameters, value: str, _: Offer) -> Reply | None:
    if not 0 < len(value) <= MAX_ENVID_CHARACTERS:
        return replies.INVALID_ARGUMENTS
    try:
        into.envid = decode_xtext(value)
    except XtextError:
        return replies.INVALID_ARGUMENTS
    return None


def _read_auth(into: MailParameters, value: str, _: Offer) -> Reply | None:
    if not 0 < len(value) <= MAX_AUTH_CHARACTERS:
        return replies.INVALID_ARGUMENTS
    try:
        into.auth = decode_xtext(value, allow_utf8=True)
    except XtextError:
        return replies.INVALID_ARGUMENTS
    return None


def _read_notify(into: RcptParameters, value: str, _: Offer) -> Reply | None:
    words = value.upper().split(",")
    if words == ["NEVER"]:
        into.notify = Notify.NEVER
        return None
    if len(set(words)) != len(words) or not all(word in _NOTIFY for word in words):
        return replies.INVALID_ARGUMENTS
    for word in words:
        into.notify |= _NOTIFY[word]
    return None


def _read_orcpt(into: RcptParameters, value: str, _: Offer) -> Reply | None:
    kind, semicolon, word = value.partition(";")
    if not semicolon or not word or len(value) > MAX_ORCPT_CHARACTERS or not _ADDRESS_TYPE.fullmatch(kind):
        return replies.INVALID_ARGUMENTS
    is_utf8 = kind.lower() == "utf-8"
    try:
        text = decode_xtext(word, allow_utf8=is_utf8 and into.smtputf8)
        into.original = f"{kind};{decode_embedded(text) if is_utf8 else text}"
    except XtextError:
        return replies.INVALID_ARGUMENTS
    return None


MAIL_PARAMETERS: Mapping[str, MailReader] = {
    "SIZE": _read_size,
    "BODY": _read_body,
    "SMTPUTF8": _read_smtputf8,
    "RET": _read_ret,
    "ENVID": _read_envid,
    "AUTH": _read_auth,
}
RCPT_PARAMETERS: Mapping[str, RcptReader] = {"NOTIFY": _read_notify, "ORCPT": _read_orcpt}
