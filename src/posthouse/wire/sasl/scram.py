"""The arithmetic of SCRAM-SHA-256, for both sides.

Source: RFC 5802 3 and 5, RFC 7677, RFC 4013 (SASLprep).
Shape: pure functions; `ScramKeys` is what a server keeps of a password and what a client computes from it.
Failures: ``ScramError`` for text that breaks the syntax or holds characters that SASLprep forbids.
Leaves to others: the exchange (``wire.sasl.scram_server``, ``wire.sasl.client``); nonces and salts are handed in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import stringprep
import unicodedata
from dataclasses import dataclass, field

MECHANISM = "SCRAM-SHA-256"
MIN_ITERATIONS = 4096
"""RFC 7677 4."""
MAX_ITERATIONS = 1_000_000
"""What a client puts up with from a server, so that nobody can make it compute for hours."""

_ATTRIBUTE = re.compile(r"([A-Za-z])=([^,\0]*)")
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class ScramError(ValueError):
    """A message that is not SCRAM, or text that cannot be prepared. Never holds the text itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScramKeys:
    """What a server keeps instead of a password (RFC 5802 2.2).

    Attributes:
        salt: At least 16 random octets.
        iterations: Of PBKDF2.
        stored_key: Proves that a client knows the password; useless for logging in.
        server_key: Proves to the client that we know the account.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def saslprep(text: str) -> str:
    """Prepare a user name or password so that equal-looking text is equal (RFC 4013 2).

    Raises:
        ScramError: The text holds a forbidden character, or mixes directions as RFC 3454 6 forbids.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(is_in(character) for character in prepared for is_in in _PROHIBITED):
        raise ScramError("forbidden character")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise ScramError("mixed directions of writing")
    return prepared


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    """PBKDF2 over the prepared password: the costly step, a millisecond for each 4,000 iterations."""
    return hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)


def client_key(salted: bytes) -> bytes:
    """ClientKey of RFC 5802 3."""
    return hmac.digest(salted, b"Client Key", "sha256")


def derive_scram_keys(password: str, salt: bytes, iterations: int) -> ScramKeys:
    """Compute what to keep of a password.

    Raises:
        ScramError: The password cannot be prepared.
    """
    salted = salted_password(password, salt, iterations)
    return ScramKeys(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(client_key(salted)).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def client_proof(key: bytes, auth_message: bytes) -> bytes:
    """ClientProof from ClientKey."""
    return _xor(key, hmac.digest(hashlib.sha256(key).digest(), auth_message, "sha256"))


def is_proof_valid(proof: bytes, stored_key: bytes, auth_message: bytes) -> bool:
    """Whether the client knows the password behind `stored_key`."""
    signature = hmac.digest(stored_key, auth_message, "sha256")
    if len(proof) != len(signature):
        return False
    return hmac.compare_digest(hashlib.sha256(_xor(proof, signature)).digest(), stored_key)


def server_signature(server_key: bytes, auth_message: bytes) -> bytes:
    """ServerSignature: our proof to the client."""
    return hmac.digest(server_key, auth_message, "sha256")


def parse_attributes(text: str) -> list[tuple[str, str]]:
    """Split ``n=user,r=nonce``.

    Raises:
        ScramError: Not such a list.
    """
    pairs = []
    for part in text.split(","):
        match = _ATTRIBUTE.fullmatch(part)
        if match is None:
            raise ScramError("not an attribute")
        pairs.append((match[1], match[2]))
    return pairs


def escape_name(name: str) -> str:
    """``=`` and ``,`` of a user name (RFC 5802 5.1)."""
    return name.replace("=", "=3D").replace(",", "=2C")


def unescape_name(text: str) -> str:
    """The inverse of `escape_name`.

    Raises:
        ScramError: An equals sign that begins neither ``=2C`` nor ``=3D``.
    """
    if re.search(r"=(?!2C|3D)", text):
        raise ScramError("bad escape")
    return text.replace("=2C", ",").replace("=3D", "=")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
