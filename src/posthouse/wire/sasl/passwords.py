"""PLAIN, LOGIN and EXTERNAL on the server's side: one answer from the client, one question for the driver.

Source: RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN), RFC 4422 appendix A (EXTERNAL).
Shape: `Mechanism.step`, see ``wire.sasl.exchange``.
Failures: `Failure`.
Leaves to others: whether the password is right, whether the certificate fits (``receive.login``).

The prompts of LOGIN are exactly ``Username:`` and ``Password:``. Clients in the field compare them, and others give up
on the ``User Name`` with a NUL behind it that the draft shows.
"""

from __future__ import annotations

from posthouse.wire.sasl.exchange import (
    MAX_NAME_OCTETS,
    MAX_PASSWORD_OCTETS,
    Challenge,
    CheckCertificate,
    CheckPassword,
    Failure,
    Mechanism,
    Step,
    read_text,
)

USERNAME_PROMPT = b"Username:"
PASSWORD_PROMPT = b"Password:"


class Plain(Mechanism):
    """``authzid NUL authcid NUL password`` in one message."""

    __slots__ = ("_was_asked",)

    def __init__(self) -> None:
        self._was_asked = False

    def step(self, response: bytes | None) -> Step:
        """An empty initial response (``AUTH PLAIN =``) cannot be one; it is taken for none."""
        if not response and not self._was_asked:
            self._was_asked = True
            return Challenge(b"")
        parts = (response or b"").split(b"\0")
        if len(parts) != 3:
            return Failure("PLAIN message does not have three parts")
        authzid, authcid, password = parts
        if authzid not in (b"", authcid):
            return Failure("PLAIN asked to act for somebody else", read_text(authcid[:MAX_NAME_OCTETS]))
        return _check(authcid, password)


class Login(Mechanism):
    """Two prompts. The user name may come with AUTH."""

    __slots__ = ("_username", "_was_asked")

    def __init__(self) -> None:
        self._username: bytes | None = None
        self._was_asked = False

    def step(self, response: bytes | None) -> Step:
        """An empty initial response (``AUTH LOGIN =``) holds no user name, so the prompt is given."""
        if not response and not self._was_asked:
            self._was_asked = True
            return Challenge(USERNAME_PROMPT)
        response = response or b""
        if self._username is None:
            self._username = response
            self._was_asked = True
            return Challenge(PASSWORD_PROMPT)
        return _check(self._username, response)


class External(Mechanism):
    """The certificate of the TLS session speaks."""

    __slots__ = ()

    def step(self, response: bytes | None) -> Step:
        """The response is the authorisation identity; empty means the one that the certificate names."""
        if response is None:
            return Challenge(b"")
        if len(response) > MAX_NAME_OCTETS or b"\0" in response:
            return Failure("EXTERNAL identity is malformed")
        return CheckCertificate(read_text(response))


def _check(username: bytes, password: bytes) -> Step:
    if not 0 < len(username) <= MAX_NAME_OCTETS or b"\0" in username:
        return Failure("user name is empty or too long")
    name = read_text(username)
    if not 0 < len(password) <= MAX_PASSWORD_OCTETS or b"\0" in password:
        return Failure("password is empty or too long", name)
    return CheckPassword(name, read_text(password))
