"""Passwords: what is good enough, how they are kept, how one is made for a device.

Source: RFC 9106 (Argon2id) with OWASP's parameters for servers; NIST SP 800-63B 5.1.1.2 (length counts, composition
rules do not); RFC 4013 (preparation of passwords); RFC 5802 2.2 (what a server keeps for SCRAM).
Shape: pure functions except for the random values that they draw; each check of a password costs about 30 ms by design.
Failures: `password_problem` gives a sentence.
Leaves to others: when to check and how often (``receive.login``), keeping (``receive.accounts``).

A password for a device is drawn by us with 99 bits. Nobody guesses that, not even with the table in hand, so a single
digest keeps it, and an account with fifty devices costs no more to check than one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from posthouse.wire.sasl.scram import ScramError, ScramKeys, derive_scram_keys, saslprep

MIN_LENGTH = 10
MAX_LENGTH = 256
"""Characters; a stranger's longer guess is not even looked at."""
APP_PASSWORD_LENGTH = 20
SCRAM_ITERATIONS = 15000

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_APP_SCHEME = "sha256"


def prepare(password: str) -> str:
    """One spelling for passwords that look the same; what cannot be prepared stays as it is, and fits nothing."""
    try:
        return saslprep(password)
    except ScramError:
        return password


def password_problem(name: str, password: str) -> str | None:
    """Why a password must not be used for an account, as a sentence that does not repeat it; None when it may."""
    if any(ord(c) < 32 or ord(c) == 127 for c in password):
        return "the password holds a control character"
    try:
        plain = saslprep(password)
    except ScramError:
        return "the password holds a character that cannot be typed everywhere"
    if len(plain) < MIN_LENGTH:
        return f"the password is too short: {len(plain)} characters, at least {MIN_LENGTH} are needed"
    if len(plain) > MAX_LENGTH:
        return f"the password is too long: at most {MAX_LENGTH} characters"
    lower, own = plain.lower(), name.lower()
    if lower in {own, own[::-1], own.partition("@")[0] * 2} or len(set(lower)) < 4:
        return "the password is too easy to guess: it is made of the name, or of a few characters repeated"
    return None


def hash_password(password: str) -> str:
    """Argon2id in its text form. Takes about 30 ms: not for the event loop."""
    return _HASHER.hash(prepare(password))


def verify_password(stored: str, password: str) -> bool:
    """Whether a password fits a hash. Takes about 30 ms: not for the event loop."""
    try:
        return _HASHER.verify(stored, prepare(password))
    except (Argon2Error, InvalidHashError):
        return False


def make_app_password() -> str:
    """A password for one device: 20 letters and digits in four groups, none of which is mistaken for another."""
    signs = "".join(secrets.choice(_ALPHABET) for _ in range(APP_PASSWORD_LENGTH))
    return "-".join(signs[n : n + 5] for n in range(0, APP_PASSWORD_LENGTH, 5))


def hash_app_password(password: str) -> str:
    """What is kept of a password that `make_app_password` made."""
    salt = secrets.token_bytes(16)
    return f"{_APP_SCHEME}${_text(salt)}${_text(_app_digest(salt, _signs(password)))}"


def matches_app_password(stored: str, password: str) -> bool:
    """Whether a password fits what `hash_app_password` kept; dashes, blanks and case do not matter."""
    signs = _signs(password)
    scheme, _, rest = stored.partition("$")
    salt, _, digest = rest.partition("$")
    if scheme != _APP_SCHEME or len(signs) != APP_PASSWORD_LENGTH:
        return False
    return hmac.compare_digest(_app_digest(base64.b64decode(salt), signs), base64.b64decode(digest))


def make_scram_keys(password: str) -> str:
    """What is kept for SCRAM-SHA-256, as ``iterations$salt$stored$server``. Takes some ms."""
    keys = derive_scram_keys(password, secrets.token_bytes(16), SCRAM_ITERATIONS)
    return "$".join((str(keys.iterations), _text(keys.salt), _text(keys.stored_key), _text(keys.server_key)))


def read_scram_keys(stored: str) -> ScramKeys | None:
    """What `make_scram_keys` gave; None for anything else."""
    parts = stored.split("$")
    if len(parts) != 4:
        return None
    salt, stored_key, server_key = map(base64.b64decode, parts[1:])
    return ScramKeys(salt=salt, iterations=int(parts[0]), stored_key=stored_key, server_key=server_key)


def _signs(password: str) -> str:
    return password.replace("-", "").replace(" ", "").lower()


def _app_digest(salt: bytes, signs: str) -> bytes:
    return hashlib.sha256(salt + signs.encode()).digest()


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
