"""Sealed values: what the emulator hands out and wants back unread and unchanged.

Purpose: refresh tokens, the state between two pages of a sign-in, and the browser's session, all without a table
that would be lost at a restart. Source: AES-GCM, NIST SP 800-38D.
Shape: `Seal.close` turns a struct into text, `open` gives it back; the purpose is bound into the text, so that one
kind of sealed value never passes for another. The key stands in a file beside the other keys.
Failures: `open` gives `None` for everything that was not sealed here. Leaves to others: dates.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from m365emu.tenant_file import write_private

S = TypeVar("S", bound=msgspec.Struct)

_NONCE = 12
_MOST_CHARACTERS = 16_384


class Seal:
    """Closes and opens values."""

    def __init__(self, key_file: Path) -> None:
        """Load the key, or make and keep one; raises `OSError` or `ValueError` for a file beyond use."""
        if not key_file.exists():
            write_private(key_file, secrets.token_bytes(32))
        self._key = key_file.read_bytes()
        self._cipher = AESGCM(self._key)

    def close(self, purpose: str, value: msgspec.Struct) -> str:
        """Seal a value for a purpose."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(value), purpose.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, purpose: str, text: str, kind: type[S]) -> S | None:
        """Return the value that was sealed for this purpose, or `None`."""
        if len(text) > _MOST_CHARACTERS or not text.isascii():
            return None
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            plain = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
            return msgspec.json.decode(plain, type=kind)
        except (binascii.Error, InvalidTag, ValueError, msgspec.MsgspecError):
            return None

    def stamp(self, password: str) -> str:
        """Return a short mark of a password, to see later whether it was changed."""
        return hmac.new(self._key, password.encode(), hashlib.sha256).hexdigest()[:16]
