"""A vault of the tests: what it keeps can be looked at."""

from __future__ import annotations


class MemoryVault:
    """Keeps texts in a dictionary."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def read(self, name: str) -> str | None:
        return self.values.get(name)

    async def write(self, name: str, value: str) -> None:
        self.values[name] = value

    async def remove(self, name: str) -> None:
        self.values.pop(name, None)
