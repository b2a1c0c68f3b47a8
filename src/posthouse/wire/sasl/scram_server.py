"""SCRAM-SHA-256 on the server's side.

Source: RFC 5802 5 to 7, RFC 7677; RFC 4954 4 (SMTP has no room for data beside 235, so our proof is a last challenge).
Shape: client-first, `NeedScramKeys`, ``supply``, server-first, client-final, server-final, empty response, `Verified`.
Failures: `Failure`. An unknown account gets a salt that stays the same for it, and fails where a wrong password does.
Leaves to others: arithmetic (``wire.sasl.scram``); channel binding, which is not offered.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable

from posthouse.wire.sasl.exchange import MAX_NAME_OCTETS, Challenge, Failure, Mechanism, NeedScramKeys, Step, Verified
from posthouse.wire.sasl.scram import (
    ScramError,
    ScramKeys,
    is_proof_valid,
    parse_attributes,
    saslprep,
    server_signature,
    unescape_name,
)

MAX_MESSAGE_OCTETS = 4096
_GS2 = re.compile(r"([ny]|p=[A-Za-z0-9.-]+),(?:a=([^,]*))?,(.*)", re.DOTALL)
_NONCE = re.compile(r"[!-+\--~]{1,256}")


class ScramSha256(Mechanism):
    """Three messages each way; the password never crosses the wire and is not known here.

    Args:
        nonce: Fresh random octets, 18 or more.
        pretence_key: Secret of the node, from which salts of unknown accounts are made.
        pretence_iterations: What accounts of this node commonly have.
    """

    __slots__ = (
        "_client_first_bare",
        "_expects",
        "_gs2_header",
        "_keys",
        "_nonce",
        "_pretence_iterations",
        "_pretence_key",
        "_server_first",
        "_username",
    )

    def __init__(self, *, nonce: bytes, pretence_key: bytes, pretence_iterations: int) -> None:
        self._nonce = base64.b64encode(nonce).decode()
        self._pretence_key = pretence_key
        self._pretence_iterations = pretence_iterations
        self._expects: Callable[[str], Step] = self._client_first
        self._username = ""
        self._gs2_header = ""
        self._client_first_bare = ""
        self._server_first = ""
        self._keys: ScramKeys | None = None

    def step(self, response: bytes | None) -> Step:
        """Take the client's next message."""
        if response is None:
            return Challenge(b"")
        if len(response) > MAX_MESSAGE_OCTETS:
            return Failure("SCRAM message is too long", self._username)
        try:
            return self._expects(response.decode())
        except ValueError:
            return Failure("SCRAM message is malformed", self._username)

    def _client_first(self, text: str) -> Step:
        match = _GS2.fullmatch(text)
        if match is None:
            raise ScramError("no GS2 header")
        binding, authzid, bare = match.groups()
        if binding.startswith("p"):
            return Failure("SCRAM asked for channel binding, which is not offered")
        attributes = parse_attributes(bare)
        if [name for name, _ in attributes[:2]] != ["n", "r"] or not _NONCE.fullmatch(attributes[1][1]):
            raise ScramError("no user name and nonce")
        name = saslprep(unescape_name(attributes[0][1]))
        if not name or len(name.encode()) > MAX_NAME_OCTETS:
            raise ScramError("user name is empty or too long")
        if authzid and saslprep(unescape_name(authzid)) != name:
            return Failure("SCRAM asked to act for somebody else", name)
        self._username = name
        self._gs2_header = text[: len(text) - len(bare)]
        self._client_first_bare = bare
        self._nonce = attributes[1][1] + self._nonce
        return NeedScramKeys(name)

    def supply(self, secret: str | ScramKeys | None) -> Step:
        """Go on with the account's keys, or with a pretence."""
        if not self._username or self._server_first or isinstance(secret, str):
            raise RuntimeError("SCRAM did not ask for that")
        self._keys = secret or self._pretend()
        salt = base64.b64encode(self._keys.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={self._keys.iterations}"
        self._expects = self._client_final
        return Challenge(self._server_first.encode())

    def _pretend(self) -> ScramKeys:
        """Keys that no password fits. The salt depends on the name alone, as a real one does."""

        def derive(purpose: bytes) -> bytes:
            return hmac.digest(self._pretence_key, purpose + b"\0" + self._username.encode(), "sha256")

        return ScramKeys(
            salt=derive(b"salt")[:16],
            iterations=self._pretence_iterations,
            stored_key=derive(b"stored key"),
            server_key=derive(b"server key"),
        )

    def _client_final(self, text: str) -> Step:
        without_proof, separator, proof = text.rpartition(",p=")
        attributes = parse_attributes(without_proof)
        if not separator or self._keys is None or [name for name, _ in attributes[:2]] != ["c", "r"]:
            raise ScramError("no proof")
        if base64.b64decode(attributes[0][1], validate=True) != self._gs2_header.encode():
            return Failure("SCRAM channel binding changed on the way", self._username)
        if attributes[1][1] != self._nonce:
            return Failure("SCRAM nonce changed on the way", self._username)
        auth_message = f"{self._client_first_bare},{self._server_first},{without_proof}".encode()
        if not is_proof_valid(base64.b64decode(proof, validate=True), self._keys.stored_key, auth_message):
            return Failure("SCRAM proof is wrong", self._username)
        self._expects = self._acknowledgement
        return Challenge(b"v=" + base64.b64encode(server_signature(self._keys.server_key, auth_message)))

    def _acknowledgement(self, text: str) -> Step:
        """The client has seen our proof and says nothing more."""
        return Failure("SCRAM exchange goes on after its end", self._username) if text else Verified(self._username)
