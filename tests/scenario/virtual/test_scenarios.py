"""Each of the emulator's scenarios ends as its file says, when the whole node sends through months in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenario.virtual.people import resume_at, sign_in, sign_in_again_at
from tests.scenario.virtual.ways import flow_of
from tests.scenario.virtual.world import RARELY, play
from tests.virtual_time import run

from m365emu.scenario import scenario_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a scenario is played.

    Attributes:
        way: How the node sends.
        play: Further arguments of `play`.
    """

    way: str = "submission"
    play: dict[str, Any] = field(default_factory=dict)


def settings(way: str = "submission", **play: Any) -> Settings:
    return Settings(way=way, play=play)


DAYS = timedelta(days=1)
ELSEWHERE = {"throttled-monday", "month-of-200-devices"}
"""Played in a file of their own."""

TENANT = '[[tenant]]\nname = "{{tenant}}"\nexternal_recipients_per_day = {}\n'
SEVERAL_DAYS: dict[str, Any] = {"at_most": 4 * DAYS, "expire_after": "4d", "cadence": RARELY}

PLAYS: dict[str, Settings] = {
    "basic-auth-off": settings("password", meanwhile=resume_at(hours=24, minutes=20), **SEVERAL_DAYS),
    "certificate-expires": settings("certificate", **SEVERAL_DAYS),
    "conditional-access": settings("password", **SEVERAL_DAYS),
    "connection-cut-after-dot": settings(),
    "connector-not-matched": settings("relay"),
    "consent-revoked": settings(),
    "day-rolls-over": settings(flow=flow_of("secret", "submission", "recipients_per_day = 100"), **SEVERAL_DAYS),
    "direct-send-rejected": settings("direct", cadence=RARELY),
    "graph-504-but-sent": settings("graph"),
    "graph-throttled": settings("graph"),
    "hve-external": settings("hve"),
    "legacy-tls-device": settings("password"),
    "lockout": settings("password", meanwhile=resume_at(hours=2, minutes=40)),
    "mailbox-full": settings(**SEVERAL_DAYS),
    "mx-greylisted": settings("direct"),
    "refresh-token-dies": settings("device-code", before=sign_in, meanwhile=sign_in_again_at(hours=6, minutes=30)),
    "secret-expires": settings(),
    "security-defaults": settings("password", **SEVERAL_DAYS),
    "sendas-missing": settings(),
    "service-principal-wrong-object-id": settings(),
    "spam-block": settings(meanwhile=resume_at(hours=25, minutes=20), **SEVERAL_DAYS),
    "tenant-limit-reached": settings(flow=flow_of("secret", "submission", TENANT.format(100)), **SEVERAL_DAYS),
    "token-endpoint-down": settings(),
    "trial-tenant": settings(flow=flow_of("secret", "submission", TENANT.format(50))),
    "wrong-region": settings("direct"),
}


def test_every_scenario_is_played() -> None:
    assert PLAYS.keys() | ELSEWHERE == set(scenario_names())


@pytest.mark.parametrize("scenario", PLAYS)
def test_a_scenario_ends_as_its_file_says(scenario: str, prepared: Path, tmp_path: Path) -> None:
    how = PLAYS[scenario]
    ended = run(lambda loop: play(loop, tmp_path, scenario, prepared=prepared, way=how.way, **how.play))
    assert ended.unmet == []
    assert ended.open_copies == []
