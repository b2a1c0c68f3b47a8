"""Credentials on the wire: AUTH LOGIN and AUTH XOAUTH2.

Purpose: lead the exchange and decode what a client sends. Source: "Authenticate an IMAP, POP or SMTP connection
using OAuth" (the XOAUTH2 string is `user=` name ^A `auth=Bearer ` token ^A ^A, in base64); RFC 4954 4 (initial
response, `=` for an empty one).
Shape: an exchange takes the initial response and then one answer after another; each step is a prompt to say,
a claim that is complete, or `None` for what cannot be read. Leaves to others: whether the claim is true (`logon`).
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Protocol

from m365emu import replies
from m365emu.replies import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordClaim:
    """A user name and a password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"PasswordClaim(user={self.user!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerClaim:
    """A mailbox and a bearer token."""

    user: str
    token: str

    def __repr__(self) -> str:
        return f"BearerClaim(user={self.user!r})"


Step = Reply | PasswordClaim | BearerClaim | None


class Exchange(Protocol):
    """One run of a mechanism."""

    def start(self, initial: bytes | None) -> Step:
        """Begin, with the initial response if there was one."""

    def answer(self, line: bytes) -> Step:
        """Take the client's answer to the last prompt."""


class LoginExchange:
    """AUTH LOGIN: two prompts; an initial response answers the first."""

    def __init__(self) -> None:
        self._user: str | None = None

    def start(self, initial: bytes | None) -> Step:
        return replies.PROMPT_USERNAME if initial is None else self.answer(initial)

    def answer(self, line: bytes) -> Step:
        text = decode_text(line)
        if text is None:
            return None
        if self._user is None:
            self._user = text
            return replies.PROMPT_PASSWORD
        return PasswordClaim(user=self._user, password=text)


class BearerExchange:
    """AUTH XOAUTH2: one message, on the command line or after an empty prompt."""

    def start(self, initial: bytes | None) -> Step:
        return replies.PROMPT_EMPTY if initial is None else self.answer(initial)

    def answer(self, line: bytes) -> Step:
        return decode_bearer(line)


class RefusalExchange:
    """After a challenge that tells why: whatever the client answers, the refusal follows."""

    def __init__(self, refusal: Reply) -> None:
        self._refusal = refusal

    def start(self, initial: bytes | None) -> Step:
        return self._refusal

    def answer(self, line: bytes) -> Step:
        return self._refusal


def failure_challenge() -> Reply:
    """Return the challenge with which other providers tell why a token is refused, before they refuse it."""
    told = base64.b64encode(b'{"status":"401","schemes":"bearer","scope":"https://outlook.office.com/SMTP.Send"}')
    return Reply(code=334, lines=(told.decode(),))


def exchange_for(mechanism: str) -> Exchange | None:
    """Return a fresh exchange for a mechanism that is offered."""
    if mechanism == "LOGIN":
        return LoginExchange()
    return BearerExchange() if mechanism == "XOAUTH2" else None


def decode_text(line: bytes) -> str | None:
    """Decode one base64 line to text; `=` alone means the empty string."""
    if line == b"=":
        return ""
    try:
        return base64.b64decode(line, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def decode_bearer(line: bytes) -> BearerClaim | None:
    """Decode the client's single XOAUTH2 message."""
    text = decode_text(line)
    if text is None or not text.endswith("\x01\x01"):
        return None
    fields: dict[str, str] = {}
    for part in text[:-2].split("\x01"):
        key, _, value = part.partition("=")
        fields[key.lower()] = value
    scheme, _, token = fields.get("auth", "").partition(" ")
    user = fields.get("user", "")
    if not user or scheme.lower() != "bearer" or not token:
        return None
    return BearerClaim(user=user, token=token)
