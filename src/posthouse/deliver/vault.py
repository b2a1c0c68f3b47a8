"""What identities keep between runs: sign-ins of people, and which warnings were given.

Shape: `Vault` is the port; `SealedVault` keeps each value sealed in the store, under names with a slash, which no
``secret:NAME`` reference can spell.
Failures: `StoreUnavailable` from the store. A value that does not open is as good as none, and is logged.
Leaves to others: what the values mean (``deliver.delegated``, ``deliver.expiry``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from posthouse.store.port import Keeping
from posthouse.store.sealing import SealBroken, Sealer

log = structlog.get_logger()


class Vault(Protocol):
    """Keeps short texts that may be secret."""

    async def read(self, name: str) -> str | None:
        """The text, or None where there is none."""

    async def write(self, name: str, value: str) -> None:
        """Keep in place of an older one; on disk when it returns."""

    async def remove(self, name: str) -> None:
        """Forget; nothing happens where there is none."""


class SealedVault:
    """A vault in the store."""

    def __init__(self, store: Keeping, sealer: Sealer, clock: Callable[[], datetime]) -> None:
        self._store, self._sealer, self._clock = store, sealer, clock

    async def read(self, name: str) -> str | None:
        """Open; see `Vault`."""
        sealed = await self._store.secret(name)
        if sealed is None:
            return None
        try:
            return self._sealer.open(sealed, f"vault:{name}").decode()
        except SealBroken as error:
            log.error("vault.not_opened", name=name, reason=str(error))
            return None

    async def write(self, name: str, value: str) -> None:
        """Seal and keep; see `Vault`."""
        await self._store.save_secret(name, self._sealer.seal(value.encode(), f"vault:{name}"), self._clock())

    async def remove(self, name: str) -> None:
        """Forget; see `Vault`."""
        await self._store.remove_secret(name)
