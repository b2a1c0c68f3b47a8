"""What all virtual plays share."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn

from m365emu.clock import ManualClock
from m365emu.emulator import prepare


@pytest.fixture(autouse=True)
def _the_control_socket_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server looks ten times a second whether it shall stop, which is most of what happens in an idle month."""
    stopped: dict[int, asyncio.Event] = {}

    def is_stopped(server: uvicorn.Server) -> bool:
        return id(server) in stopped and stopped[id(server)].is_set()

    def stop(server: uvicorn.Server, wanted: bool) -> None:
        event = stopped.setdefault(id(server), asyncio.Event())
        if wanted:
            event.set()
        else:
            event.clear()

    async def main_loop(server: uvicorn.Server) -> None:
        await stopped[id(server)].wait()

    monkeypatch.setattr(uvicorn.Server, "should_exit", property(is_stopped, stop), raising=False)
    monkeypatch.setattr(uvicorn.Server, "main_loop", main_loop)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates, made once; making them is the slow part."""
    directory = tmp_path_factory.mktemp("prepared") / "emulator"
    prepare(directory, ManualClock(datetime.now(UTC)))
    return directory
