"""Each scenario ends with the counts that its file expects, when the sender is a good one."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.emulator.patient_sender import PatientSender

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator, prepare
from m365emu.scenario import scenario_names

FEWER = {"throttled-monday": 1_000, "month-of-200-devices": 500}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("first") / "emulator"
    prepare(directory, ManualClock(datetime.now(UTC)))
    return directory


@pytest.mark.parametrize("name", scenario_names())
async def test_a_patient_sender_ends_a_scenario_as_it_should(name: str, first: Path, tmp_path: Path) -> None:
    directory = tmp_path / "emulator"
    shutil.copytree(first, directory)
    clock = ManualClock(datetime.now(UTC))
    async with Emulator(directory, clock=clock, scenario=name) as emulator, aiohttp.ClientSession() as http:
        scenario = emulator.control.scenario
        assert scenario is not None
        if name in FEWER:
            load = msgspec.structs.replace(scenario.load, messages=FEWER[name])
            expect = msgspec.structs.replace(scenario.expect, delivered=FEWER[name])
            scenario = emulator.control.scenario = msgspec.structs.replace(scenario, load=load, expect=expect)
        sender = PatientSender(emulator, clock, scenario.load, http)
        await sender.run()
        clock.advance(timedelta(days=3))
        unmet = [finding for finding in emulator.control.findings() if not finding.met]
        assert unmet == [], sender.gave_up[:3]
