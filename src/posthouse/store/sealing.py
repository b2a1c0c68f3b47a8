"""Secrets at rest: sealed with a key that lies beside the database, not inside it.

Source: AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces: safe for some 2**32 secrets, and there are dozens.
Shape: `load_key` reads the key file or makes it on first use; `Sealer` seals and opens. A purpose is bound to each
sealed value, so that a value copied to another place in the database does not open there.
Failures: `SealBroken` when a value does not open: another key, another purpose, or changed octets.
Leaves to others: where sealed values are kept (``store.port.Keeping``).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_OCTETS = 32
_NONCE_OCTETS = 12
_FORMAT = b"\x01"


class SealBroken(Exception):
    """A sealed value cannot be opened with this key for this purpose."""


class Sealer:
    """Seals and opens with one key."""

    __slots__ = ("_cipher", "_key")

    def __init__(self, key: bytes) -> None:
        """Take the key of `load_key`: 32 octets."""
        if len(key) != KEY_OCTETS:
            raise ValueError(f"a sealing key has {KEY_OCTETS} octets")
        self._cipher = AESGCM(key)
        self._key = key

    def __repr__(self) -> str:
        return "<Sealer>"

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt for a purpose such as ``secret:smarthost-password``."""
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt.

        Raises:
            SealBroken: Another key, another purpose, or not what `seal` gave.
        """
        if sealed[:1] != _FORMAT or len(sealed) < 1 + _NONCE_OCTETS + 16:
            raise SealBroken(f"{purpose}: this is not a sealed value")
        try:
            return self._cipher.decrypt(sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :], purpose.encode())
        except InvalidTag as error:
            raise SealBroken(f"{purpose}: it was sealed with another key, or for another purpose") from error

    def derive(self, purpose: str) -> bytes:
        """A further key of 32 octets for another use, which tells nothing about this one."""
        return hmac.digest(self._key, b"derive:" + purpose.encode(), hashlib.sha256)


def load_key(path: Path) -> bytes:
    """Read the key file, or make it.

    Two processes that make it at the same moment end up with the same key.

    Raises:
        OSError: The file cannot be read or made.
        SealBroken: The file is not a key.
    """
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != KEY_OCTETS:
        raise SealBroken(f"{path}: expected {KEY_OCTETS} octets of key, found {len(key)}")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_OCTETS))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link fails where another process was quicker; its key is the one that counts then.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
