"""A pytest plugin: the fixture `m365emu`.

Purpose: an offline Microsoft 365 for one test, in one word. Shape: each test that asks for the fixture gets an emulator
of its own on free ports, in a thread, so it serves synchronous tests, asynchronous ones and other processes alike.
`@pytest.mark.m365emu(scenario=..., tenant={...}, seed=..., clock_speed=...)` chooses what it plays. Keys, passwords and
secrets are made once for a run. Failures: what the emulator raises ends the test in error.
Leaves to others: everything that the fixture can do (`background`).
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from m365emu.background import Background

_OPTIONS = {"scenario", "tenant", "seed", "clock_speed"}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "m365emu(scenario, tenant, seed, clock_speed): what the fixture m365emu shall play"
    )


@pytest.fixture(scope="session")
def m365emu_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with keys, certificates and a first tenant, made once."""
    from m365emu.clock import SystemClock
    from m365emu.emulator import prepare

    directory = tmp_path_factory.mktemp("m365emu") / "prepared"
    prepare(directory, SystemClock())
    return directory


@pytest.fixture
def m365emu(
    request: pytest.FixtureRequest, m365emu_prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Background]":
    """Run an offline Microsoft 365 for this test."""
    from m365emu.background import Background

    marker = request.node.get_closest_marker("m365emu")
    options = dict(marker.kwargs) if marker is not None else {}
    if unknown := set(options) - _OPTIONS:
        raise pytest.UsageError(f"the marker m365emu knows no {', '.join(sorted(unknown))}")
    directory = tmp_path_factory.mktemp("m365emu") / "emulator"
    shutil.copytree(m365emu_prepared, directory)
    with Background(directory, **options) as running:
        yield running
