"""Refresh tokens: sealed grants, and their revocation.

Purpose: hand out refresh tokens that survive a restart, and make them all worthless on order. Source: "Refresh tokens
in the Microsoft identity platform"; "Revoke user access in Microsoft Entra ID".
Shape: `RefreshTokens.issue` and `read`; nothing is stored for a token. A grant names the era it belongs to; revoking
begins a new era, whose number and beginning stand in a file. A new signing key begins one, too.
Failures: `read` gives `None` for what is no refresh token. Leaves to others: expiry, the user's state (`issue`).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from m365emu.entra.grants import Grant
from m365emu.entra.seal import Seal
from m365emu.tenant_file import write_private

_PREFIX = "1."


class _Era(msgspec.Struct, frozen=True, kw_only=True):
    number: int = 0
    began: float = 0.0


class RefreshTokens:
    """Issues, reads and revokes."""

    def __init__(self, file: Path, seal: Seal, key_id: Callable[[], str], now: Callable[[], datetime]) -> None:
        """Read the present era.

        Args:
            file: where the era is kept; it may be missing.
            seal: closes the tokens.
            key_id: tells the id of the present signing key.
            now: tells the time.

        Raises:
            OSError: the file cannot be read.
            msgspec.DecodeError: the file holds something else.
        """
        self._file = file
        self._seal = seal
        self._key_id = key_id
        self._now = now
        self._issued = 0
        self._era = msgspec.json.decode(file.read_bytes(), type=_Era) if file.exists() else _Era()

    @property
    def era(self) -> str:
        """The name of the present era, which new grants carry."""
        return f"{self._era.number}.{self._key_id()}"

    @property
    def valid_from(self) -> datetime:
        """The moment before which refresh tokens are not valid."""
        return datetime.fromtimestamp(self._era.began, UTC)

    def issue(self, grant: Grant) -> str:
        """Return a refresh token for the grant."""
        self._issued += 1
        return _PREFIX + self._seal.close("refresh", grant)

    def read(self, token: str) -> Grant | None:
        """Return the grant that a token stands for, expired, revoked or good."""
        return self._seal.open("refresh", token.removeprefix(_PREFIX), Grant)

    def revoke_all(self) -> int:
        """Make all refresh tokens worthless; return how many were issued since the start or the last revocation."""
        self._era = _Era(number=self._era.number + 1, began=self._now().timestamp())
        write_private(self._file, msgspec.json.encode(self._era))
        issued, self._issued = self._issued, 0
        return issued
