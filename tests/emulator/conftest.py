"""An emulator on a frozen clock, with known names and passwords, in a directory of its own."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.emulator.graph_client import GraphClient, graph_tenant
from tests.emulator.talk import NOON, TENANT

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import Tenant, tenant_from_document


@pytest.fixture(scope="session")
def prepared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates, made once; making them is the slow part."""
    directory = tmp_path_factory.mktemp("prepared")
    Emulator(directory, tenant=tenant_from_document(TENANT))
    return directory


@pytest.fixture
def tenant() -> Tenant:
    return tenant_from_document(TENANT)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def directory(prepared_directory: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared_directory, tmp_path / "emulator")
    return tmp_path / "emulator"


@pytest.fixture
def emulator(directory: Path, tenant: Tenant, clock: ManualClock) -> Emulator:
    """An emulator that does not listen: for dialogues without a network."""
    return Emulator(directory, tenant=tenant, clock=clock)


@pytest.fixture
async def running(directory: Path, tenant: Tenant) -> AsyncIterator[Emulator]:
    """An emulator that listens, on the machine's clock."""
    async with Emulator(directory, tenant=tenant) as emulator:
        yield emulator


@pytest.fixture
async def graph(directory: Path, clock: ManualClock) -> AsyncIterator[GraphClient]:
    """A client of Graph, at an emulator that listens, on a clock that stands still."""
    tenant = tenant_from_document(graph_tenant())
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator, GraphClient(emulator) as client:
        yield client


@pytest.fixture
def no_ca_bundle_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep `requests` from preferring a CA bundle that the environment names to the one a test names."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
