"""An emulator with the tenant of ``entra``, and tokens whose time moves on order."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.scenario.identities import entra
from tests.unit.deliver.vaults import MemoryVault

from m365emu.emulator import Emulator
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.sign_in import SignInDesk
from posthouse.deliver.tokens import TokenSource
from posthouse.store.sealing import Sealer


@pytest.fixture
async def emulator(prepared: Path, tmp_path: Path) -> AsyncIterator[Emulator]:
    shutil.copytree(prepared, tmp_path / "emulator")
    entra.write_credentials(tmp_path)
    async with Emulator(tmp_path / "emulator", tenant=entra.tenant()) as running:
        yield running


async def no_secret(_: str) -> None:
    return None


class Time:
    """A clock and seconds that move together, on order."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def at() -> Time:
    return Time()


@pytest.fixture
def vault() -> MemoryVault:
    return MemoryVault()


@pytest.fixture
def secrets(tmp_path: Path) -> SecretOpener:
    return SecretOpener(no_secret, tmp_path)


@pytest.fixture
def tokens(secrets: SecretOpener, vault: MemoryVault, at: Time) -> TokenSource:
    return TokenSource(secrets, monotonic=at.monotonic, vault=vault, clock=at.clock)


@pytest.fixture
def desk(tokens: TokenSource, secrets: SecretOpener, at: Time) -> SignInDesk:
    return SignInDesk(tokens, secrets, Sealer(b"k" * 32), at.clock)
