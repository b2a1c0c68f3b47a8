"""A month of two hundred devices, with all that happens in a month, ends with every message delivered once.

A quarter of the scenario's messages is played by default; ``POSTHOUSE_WHOLE_MONTH=1`` plays all 12,000.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenario.virtual.world import RARELY, play
from tests.virtual_time import run

MESSAGES = 12_000 if os.environ.get("POSTHOUSE_WHOLE_MONTH") else 3_000


@pytest.mark.timeout(600)
def test_a_month_of_two_hundred_devices_ends_with_every_message_delivered_once(prepared: Path, tmp_path: Path) -> None:
    ended = run(
        lambda loop: play(
            loop,
            tmp_path,
            "month-of-200-devices",
            prepared=prepared,
            messages=MESSAGES,
            cadence=RARELY,
            at_most=timedelta(days=32),
        )
    )
    assert ended.unmet == []
    assert ended.open_copies == []
    assert ended.took < timedelta(days=31)
