"""Secrets by reference, opened at the moment of use.

Shape: `SecretOpener.open` turns ``env:NAME``, ``file:PATH`` or ``secret:NAME`` into a `Secret`, which shows itself to
nobody who does not ask for it by name.
Failures: `SecretProblem` as a value; its text names the reference, never what stands behind it.
Leaves to others: how ``secret:`` values are sealed (``store.sealing``); the service hands in what opens them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

MAX_SECRET_OCTETS = 64 * 1024

Lookup = Callable[[str], Awaitable[str | None]]
"""Opens a secret of the store by its name; None where there is none."""


class Secret:
    """A value that stays out of logs: neither its repr nor its str shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "<Secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class SecretProblem:
    """A secret cannot be had. `reason` is a sentence for the operator."""

    reason: str


class SecretOpener:
    """Opens references."""

    def __init__(self, lookup: Lookup, directory: Path = Path()) -> None:
        """Remember where to look.

        Args:
            lookup: For ``secret:NAME``.
            directory: What relative paths of ``file:PATH`` start from.
        """
        self._lookup = lookup
        self._directory = directory

    async def open(self, reference: str) -> Secret | SecretProblem:
        """Open one reference. A file's line end is not part of the secret."""
        kind, _, name = reference.partition(":")
        match kind:
            case "env":
                value = os.environ.get(name)
                found = value if value else f"the environment variable {name} is not set"
            case "file":
                return await asyncio.to_thread(self._read, name)
            case "secret":
                return await self._look_up(name)
            case _:
                return SecretProblem('a secret is given as "env:NAME", "file:PATH" or "secret:NAME"')
        return Secret(found) if value else SecretProblem(found)

    def _read(self, name: str) -> Secret | SecretProblem:
        path = self._directory / name
        try:
            with path.open("rb") as file:
                text = file.read(MAX_SECRET_OCTETS + 1).decode().strip("\r\n")
        except OSError as error:
            return SecretProblem(f"the secret file {path} cannot be read: {(error.strerror or 'unknown').lower()}")
        except UnicodeDecodeError:
            return SecretProblem(f"the secret file {path} is not UTF-8 text")
        if not text or len(text) > MAX_SECRET_OCTETS:
            return SecretProblem(f"the secret file {path} is {'too large' if text else 'empty'}")
        return Secret(text)

    async def _look_up(self, name: str) -> Secret | SecretProblem:
        value = await self._lookup(name)
        if not value:
            return SecretProblem(f"there is no secret named {name} in the store")
        return Secret(value)
