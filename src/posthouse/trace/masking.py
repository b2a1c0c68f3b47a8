"""Keeps credentials out of the protocol log, whoever writes into it.

Source: RFC 4954 4 (AUTH and its exchange); Exchange writes ``<authentication information>`` in their place.
Shape: `Mask` follows one connection: it sees commands and replies in order and gives what may be shown.
Failures: none; what is in doubt is masked. A client that goes on with its log-in after a refusal sends user name and
password as if they were commands, so after the first AUTH every line that is no known command is masked.
Leaves to others: replies that repeat a secret; our own never do.
"""

from __future__ import annotations

MASKED = "<authentication information>"

_MECHANISMS = frozenset(
    [
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "DIGEST-MD5",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS",
        "XOAUTH2",
        "OAUTHBEARER",
        "EXTERNAL",
        "NTLM",
        "GSSAPI",
        "ANONYMOUS",
    ]
)
_VERBS = frozenset(
    ["EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS"]
)


class Mask:
    """What one connection may show."""

    __slots__ = ("_has_auth_begun", "_is_in_exchange")

    def __init__(self) -> None:
        self._has_auth_begun = False
        self._is_in_exchange = False

    def command(self, text: str, *, secret: bool = False) -> str:
        """A line of the client, fit to be shown."""
        words = text.split(None, 2)
        verb = words[0].upper() if words else ""
        if verb.startswith("AUTH"):
            self._has_auth_begun = self._is_in_exchange = True
            return _auth_command(verb, words)
        if secret or self._is_in_exchange:
            return text if text == "*" else MASKED
        if self._has_auth_begun and verb not in _VERBS:
            return MASKED
        return text

    def reply(self, code: str, text: str, *, secret: bool = False) -> str:
        """A reply of the server, fit to be shown."""
        if secret:
            return f"{code} {MASKED}" if code else MASKED
        if not self._is_in_exchange:
            return text
        if code == "334":
            return f"334 {MASKED}"
        self._is_in_exchange = False
        return text


def _auth_command(verb: str, words: list[str]) -> str:
    if verb != "AUTH" or len(words) == 1:
        return "AUTH" if verb == "AUTH" else f"AUTH {MASKED}"
    mechanism = words[1].upper()
    if mechanism not in _MECHANISMS:
        return f"AUTH {MASKED}"
    return f"AUTH {mechanism} {MASKED}" if len(words) == 3 else f"AUTH {mechanism}"
