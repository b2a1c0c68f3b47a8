"""What the scenarios share: a running offline Microsoft 365."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from m365emu.clock import SystemClock
from m365emu.emulator import Emulator, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates, made once; making them is the slow part."""
    directory = tmp_path_factory.mktemp("prepared")
    prepare(directory, SystemClock())
    return directory


@pytest.fixture
async def emulator(prepared: Path, tmp_path: Path) -> AsyncIterator[Emulator]:
    """An emulator of its own for each test."""
    shutil.copytree(prepared, tmp_path / "emulator")
    async with Emulator(tmp_path / "emulator") as running:
        yield running
