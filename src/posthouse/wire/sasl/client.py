"""The client's half of SASL mechanisms, and the choice among them.

Source: RFC 4422 (SASL), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5), draft-murchison-sasl-login (LOGIN); Google's and
Microsoft's XOAUTH2 ("Authenticate an IMAP, POP or SMTP connection using OAuth", learn.microsoft.com).
Shape: an exchange has a `mechanism`, an `initial` response (None where the server speaks first) and answers challenges
with `respond`; octets are plain, base64 is the protocol's (``wire.smtp.client``). `choose_exchange` picks one.
Failures: `SaslError` when a challenge makes no sense: the caller cancels the exchange.
Leaves to others: where secrets and tokens come from (``deliver``). Nothing here shows a secret in its repr.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from typing import Protocol

IN_CLEAR = frozenset({"PLAIN", "LOGIN", "XOAUTH2"})
"""Mechanisms that hand the secret to whoever listens; they need TLS."""


class SaslError(ValueError):
    """The server's challenge does not fit the mechanism."""


class SaslExchange(Protocol):
    """One run of one mechanism. An exchange is used once."""

    @property
    def mechanism(self) -> str:
        """Name as in EHLO."""

    @property
    def initial(self) -> bytes | None:
        """What can go with the AUTH command."""

    @property
    def complaint(self) -> str:
        """What the server said inside the exchange about its refusal, or empty."""

    def respond(self, challenge: bytes) -> bytes:
        """Answer one challenge. Raises `SaslError`."""


class _Exchange:
    mechanism = ""
    initial: bytes | None = None
    complaint = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def respond(self, challenge: bytes) -> bytes:
        raise SaslError(f"{self.mechanism} expects no further challenge")


class Plain(_Exchange):
    """RFC 4616: everything in one response."""

    mechanism = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        self.initial = b"\0" + username.encode() + b"\0" + password.encode()


class Login(_Exchange):
    """The user name, then the password, each when asked. The wording of the prompts differs and is not looked at."""

    mechanism = "LOGIN"

    def __init__(self, username: str, password: str) -> None:
        self._answers = [password.encode(), username.encode()]

    def respond(self, challenge: bytes) -> bytes:
        if not self._answers:
            raise SaslError("LOGIN asks for two things only")
        return self._answers.pop()


class CramMd5(_Exchange):
    """RFC 2195: a keyed digest of the server's challenge."""

    mechanism = "CRAM-MD5"

    def __init__(self, username: str, password: str) -> None:
        self._username, self._password = username.encode(), password.encode()

    def respond(self, challenge: bytes) -> bytes:
        if not challenge:
            raise SaslError("CRAM-MD5 needs a challenge")
        return self._username + b" " + hmac.new(self._password, challenge, "md5").hexdigest().encode()


class XOAuth2(_Exchange):
    """A bearer token. A refusal comes as a plain 535, or as a challenge with JSON that wants an empty answer."""

    mechanism = "XOAUTH2"

    def __init__(self, username: str, token: str) -> None:
        self.initial = f"user={username}\1auth=Bearer {token}\1\1".encode()
        self._was_refused = False

    def respond(self, challenge: bytes) -> bytes:
        if self._was_refused:
            raise SaslError("XOAUTH2 ends with an empty response")
        self._was_refused = True
        try:
            status = json.loads(challenge)["status"]
        except (ValueError, KeyError, TypeError, RecursionError):
            status = None
        self.complaint = f"status {str(status)[:40]}" if status is not None else "refused without a status"
        return b""


class External(_Exchange):
    """RFC 4422 appendix A: the identity is the one of the TLS client certificate, or a given one."""

    mechanism = "EXTERNAL"

    def __init__(self, identity: str = "") -> None:
        self.initial = identity.encode()


_WITH_PASSWORD: dict[str, Callable[[str, str], SaslExchange]] = {"PLAIN": Plain, "LOGIN": Login, "CRAM-MD5": CramMd5}
_BEST_SECURED = ("PLAIN", "LOGIN", "CRAM-MD5")
_BEST_IN_CLEAR = ("CRAM-MD5", "PLAIN", "LOGIN")


def choose_exchange(
    wanted: str,
    offered: Sequence[str],
    username: str,
    password: str,
    *,
    may_use_clear: bool,
    refused: frozenset[str] = frozenset(),
) -> SaslExchange | str:
    """Pick a mechanism for a user name and a password.

    Args:
        wanted: A mechanism, or ``auto`` for the best that is offered.
        offered: Upper-case names from EHLO.
        may_use_clear: The connection is encrypted, or the operator said that it need not be.
        refused: Mechanisms that the server offered and then did not know.

    Returns:
        An exchange ready to run, or a sentence that says why there is none.
    """
    best = (_BEST_SECURED if may_use_clear else _BEST_IN_CLEAR) if wanted == "auto" else (wanted,)
    usable = [m for m in best if m in offered and m not in refused]
    for mechanism in usable:
        if may_use_clear or mechanism not in IN_CLEAR:
            return _WITH_PASSWORD[mechanism](username, password)
    if usable:
        return f"{usable[0]} would show the password, and the connection is not encrypted"
    listed = " ".join(offered) or "no log-in at all"
    return f"the server offers {listed}, and {wanted if wanted != 'auto' else ' '.join(best)} is needed"
