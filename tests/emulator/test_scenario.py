"""Scenarios: files that can be played, time lines, and expectations that can fail."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from tests.emulator.talk import Talk, bearer, logged_on, logged_on_by_token, make_token

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator, prepare
from m365emu.replies import Reason
from m365emu.scenario import (
    Bounds,
    Expect,
    Finding,
    ScenarioError,
    findings,
    read_duration,
    read_scenario,
    scenario_names,
)
from m365emu.tenant import Tenant, patched
from m365emu.tenant_file import read_tenant
from m365emu.web import orders

WAYS = {"submission", "password", "certificate", "device-code", "graph", "direct", "relay", "hve"}
GRAPH_REASONS = {"graph_rate", "graph_concurrency", "graph_token", "graph_access_denied", "graph_too_large"}
NAMED = [
    "throttled-monday",
    "secret-expires",
    "basic-auth-off",
    "consent-revoked",
    "direct-send-rejected",
    "graph-504-but-sent",
]


@pytest.fixture(scope="session")
def first_tenant(tmp_path_factory: pytest.TempPathFactory, clock_of_the_session: ManualClock) -> Tenant:
    directory = tmp_path_factory.mktemp("first")
    prepare(directory, clock_of_the_session)
    return read_tenant(directory / "tenant.toml")


@pytest.fixture(scope="session")
def clock_of_the_session() -> ManualClock:
    from tests.emulator.talk import NOON

    return ManualClock(NOON)


@pytest.fixture
def playing(directory: Path, first_tenant: Tenant, clock: ManualClock) -> Emulator:
    """An emulator with the first tenant, that does not listen."""
    return Emulator(directory, tenant=first_tenant, clock=clock)


def unmet(emulator: Emulator) -> list[Finding]:
    return [finding for finding in emulator.control.findings() if not finding.met]


def log_on(emulator: Emulator, user: str = "relay@contoso.example") -> Talk:
    return Talk(emulator).log_on(user, emulator.tenant.mailboxes[user].password)


def test_the_scenarios_that_incidents_are_named_after_are_there() -> None:
    assert set(NAMED) <= set(scenario_names()) and len(scenario_names()) >= 27


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_fits_the_first_tenant(name: str, first_tenant: Tenant) -> None:
    scenario = read_scenario(name, first_tenant)
    tenant = patched(first_tenant, scenario.tenant)
    assert scenario.title and scenario.description.strip() and scenario.expect != Expect()
    assert scenario.load.messages and scenario.load.way in WAYS
    known = {name for mailbox, box in tenant.mailboxes.items() for name in (mailbox, *box.aliases)}
    inside = [a for a in scenario.load.recipients if a.endswith("@contoso.example")]
    assert set(inside) <= known
    assert set(scenario.expect.refused) <= {*get_args(Reason), *GRAPH_REASONS}
    assert set(scenario.expect.folders) <= known | {"external", "undeliverable"}


@pytest.mark.parametrize("name", scenario_names())
def test_the_time_line_of_every_scenario_can_be_carried_out(name: str, playing: Emulator, clock: ManualClock) -> None:
    scenario = playing.control.play(name)
    clock.advance(timedelta(days=31))
    faults = [order for step in scenario.at for order in step.do if isinstance(order, orders.OrderFault)]
    assert all(fault.odds is None or fault.seed is not None for fault in faults)
    assert playing.control.findings()


def test_orders_come_when_their_time_has_come(playing: Emulator, clock: ManualClock) -> None:
    playing.control.play("mailbox-full")
    talk = log_on(playing)
    assert talk.submit().startswith("554 5.2.2 Mailbox full")
    clock.advance(timedelta(hours=23, minutes=59))
    assert log_on(playing).submit().startswith("554 5.2.2 Mailbox full")
    clock.advance(timedelta(minutes=1))
    assert log_on(playing).submit().startswith("250 ")


def test_a_sender_without_patience_fails_throttled_monday(playing: Emulator) -> None:
    playing.control.play("throttled-monday")
    mailbox = "devices01@contoso.example"
    token = make_token_of(playing)
    talk = Talk(playing).encrypt()
    assert talk.say(f"AUTH XOAUTH2 {bearer(mailbox, token)}").startswith("235 ")
    for _ in range(30):
        assert talk.submit(b"From: devices@contoso.example\r\n\r\n", mailbox).startswith("250 ")
    assert talk.say(f"MAIL FROM:<{mailbox}>").startswith("421 4.4.2 Message submission rate")
    missed = {finding.what: finding for finding in unmet(playing)}
    assert missed["refused message_rate"].found == 1 and missed["delivered"].found == 30


def make_token_of(emulator: Emulator) -> str:
    client_id = emulator.client_id
    return emulator.tokens.make(
        client_id=client_id,
        application=emulator.tenant.applications[client_id],
        tenant_id=emulator.tenant.id,
        lifetime=timedelta(hours=1),
    )


def test_a_connection_that_breaks_after_the_dot_tempts_to_send_twice(playing: Emulator) -> None:
    playing.control.play("connection-cut-after-dot")
    lost = 0
    for number in range(60):
        content = b"From: relay@contoso.example\r\nMessage-ID: <%d@test>\r\n\r\n" % number
        if not number % 20:
            playing.control.reset_counters()
        lost += log_on(playing).submit(content) == ""
    assert lost == 5 and unmet(playing) == []
    log_on(playing).submit(b"From: relay@contoso.example\r\nMessage-ID: <9@test>\r\n\r\n")
    assert [finding.what for finding in unmet(playing)] == ["duplicates"]


def test_one_message_to_several_recipients_in_several_transactions_is_no_duplicate(emulator: Emulator) -> None:
    for recipient in ("alice@contoso.example", "bob@contoso.example", "Alice@contoso.example"):
        logged_on(emulator).submit(recipients=(recipient,))
    expect = Expect(delivered=2, duplicates=Bounds(min=1, max=1), folders={"alice@contoso.example": 2, "external": 0})
    assert all(
        finding.met for finding in findings(expect, emulator.store, emulator.directory, emulator.control.report())
    )


def test_mail_that_failed_and_the_report_of_it_are_not_counted_as_delivered(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"external_recipients_per_day": 1}})
    for number in range(3):
        content = b"From: relay@contoso.example\r\nMessage-ID: <%d@x>\r\n\r\n" % number
        logged_on(emulator).submit(content, recipients=("someone@elsewhere.example",))
    expect = Expect(delivered=1, duplicates=0, folders={"external": 1, "relay@contoso.example": 2})
    expect = msgspec.structs.replace(expect, statistics={"failed_by_status.5.7.233": 2})
    found = findings(expect, emulator.store, emulator.directory, emulator.control.report())
    assert [finding for finding in found if not finding.met] == []


def test_expectations_look_at_refusals_tokens_and_any_key_of_the_statistics(emulator: Emulator) -> None:
    logged_on_by_token(emulator).submit()
    Talk(emulator).say("MAIL FROM:<a@contoso.example>")
    report = emulator.control.report()
    met = Expect(
        refused={"sequence": 1, "concurrency": 0},
        tokens={"issued": 0},
        statistics={
            "accepted": 1,
            "accepted_by_mailbox.relay@contoso.example": 1,
            "logons": 1,
            "logons.XOAUTH2": Bounds(min=1),
            "nothing.like.it": 0,
        },
    )
    missed = Expect(refused={"sequence": 0}, statistics={"accepted": Bounds(max=0), "logons.LOGIN": Bounds(min=1)})
    assert [f.met for f in findings(met, emulator.store, emulator.directory, report)] == [True] * 8
    assert [f.met for f in findings(missed, emulator.store, emulator.directory, report)] == [False] * 3


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("title = ", "Invalid value"),
        ('title = "x"', "description"),
        ('title = "x"\ndescription = "y"\ncolour = 1', "colour"),
        ('title = "x"\ndescription = "y"\n[[at]]\nafter = "soon"\ndo = []', "not a duration"),
        ('title = "x"\ndescription = "y"\n[[at]]\nafter = "1h"\ndo = [{ action = "explode" }]', "explode"),
        ('title = "$public_client_id"\ndescription = "y"', "public_client_id"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_named_with_what_is_wrong(
    tmp_path: Path, tenant: Tenant, text: str, word: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=word) as caught:
        read_scenario(str(file), tenant)
    assert "own.toml" in str(caught.value)
    with pytest.raises(ScenarioError, match="neither"):
        read_scenario("no-such-scenario", tenant)


@pytest.mark.parametrize(("text", "hours"), [("90m", 1.5), ("2h", 2), ("1d 12h", 36), ("1h30m", 1.5), ("0s", 0)])
def test_durations_are_read(text: str, hours: float) -> None:
    assert read_duration(text) == timedelta(hours=hours)


def test_chance_falls_the_same_with_the_same_seed(emulator: Emulator, tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "odds.toml"
    file.write_text(
        'title = "x"\ndescription = "y"\nseed = 7\n[[at]]\nafter = "0s"\n'
        'do = [{ action = "fault", stage = "mail", reply = "451 4.3.0 x", odds = 0.5, count = 100 }]\n'
    )

    def struck(seed: int | None) -> list[bool]:
        emulator.faults.clear()
        emulator.control.play(str(file), seed)
        return [emulator.faults.take("mail") is not None for _ in range(40)]

    assert struck(None) == struck(7) != struck(8)
    assert 5 < sum(struck(None)) < 35
    assert make_token(emulator)
