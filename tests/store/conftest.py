"""The contract runs against every store; a new one only needs a line in `STORES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.store.port import Store
from posthouse.store.sqlite.store import SqliteStore

STORES: dict[str, Callable[[Path, str], Store]] = {
    "sqlite": lambda directory, node: SqliteStore(directory, node=node),
}

OpenAs = Callable[[str], Awaitable[Store]]


@pytest.fixture(params=sorted(STORES))
async def open_as(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenAs]:
    """Open the same store once more, as a node of a given name."""
    opened: list[Store] = []

    async def open_as(node: str) -> Store:
        store = STORES[request.param](tmp_path / "data", node)
        await store.open()
        opened.append(store)
        return store

    yield open_as
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_as: OpenAs) -> Store:
    """An empty store of the node "node"."""
    return await open_as("node")
