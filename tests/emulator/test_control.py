"""Orders over HTTP and from the shell: the clock, mailboxes, credentials, whole tenants, and how all of it is found."""

import json
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner
from tests.emulator.talk import SECRET, Talk, b64, logged_on

from m365emu.__main__ import main
from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import Tenant
from m365emu.tenant_file import read_tenant, tenant_file

RELAY = "relay@contoso.example"


@pytest.fixture
async def http(running: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.inbox) as session:
        yield session


async def order(http: aiohttp.ClientSession, status: int = 200, **fields: object) -> Any:
    async with http.post("/api/control", json=fields) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def get(http: aiohttp.ClientSession, path: str, status: int = 200) -> Any:
    async with http.get(path) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def test_the_orders_are_listed_with_their_fields(http: aiohttp.ClientSession) -> None:
    listed = {known["action"]: known for known in (await get(http, "/api/control"))["orders"]}
    assert {"fault", "reset", "advance", "set-clock", "run-clock", "roll-day", "lock", "unlock", "fill"} <= set(listed)
    assert {"expire-secrets", "revoke-tokens", "pretend-address", "deliver", "scenario"} <= set(listed)
    assert listed["lock"] == {
        "action": "lock",
        "does": "Lock a mailbox's account, as too many wrong passwords do.",
        "fields": {"mailbox": {"type": "string"}},
        "required": ["mailbox"],
    }
    assert listed["fault"]["required"] == ["stage"] and "odds" in listed["fault"]["fields"]


async def test_the_clock_is_shown_and_moved(running: Emulator, http: aiohttp.ClientSession) -> None:
    before = datetime.fromisoformat((await get(http, "/api/clock"))["now"])
    moved = datetime.fromisoformat((await order(http, action="advance", hours=3, minutes=1))["now"])
    assert timedelta(hours=3, minutes=1) <= moved - before < timedelta(hours=3, minutes=5)
    rolled = datetime.fromisoformat((await order(http, action="roll-day"))["now"])
    assert rolled - moved >= timedelta(days=1)
    at = (rolled + timedelta(days=2)).isoformat()
    assert datetime.fromisoformat((await order(http, action="set-clock", at=at))["now"]) >= rolled + timedelta(days=2)
    assert "back" in (await order(http, 400, action="set-clock", at=before.isoformat()))["error"]
    await order(http, action="run-clock", speed=1000)
    assert (await get(http, "/api/clock"))["speed"] == 1000
    assert "speed" in (await order(http, 400, action="run-clock", speed=0))["error"]


async def test_a_clock_that_cannot_be_moved_says_so(directory: Path, tenant: Tenant) -> None:
    from m365emu.clock import SystemClock

    async with Emulator(directory, tenant=tenant, clock=SystemClock()) as emulator:
        with pytest.raises(ValueError, match="cannot be moved"):
            emulator.control.carry_out(emulator.control.read(b'{"action": "advance", "hours": 1}'))


def test_a_rolling_day_ends_when_the_clock_is_moved(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"recipients_per_day": 1}})
    talk = logged_on(emulator)
    assert talk.submit().startswith("250 ") and talk.submit().startswith("554 5.2.0 ")
    emulator.control.carry_out(emulator.control.read(b'{"action": "roll-day"}'))
    assert logged_on(emulator).submit().startswith("250 ")


async def test_a_mailbox_is_locked_unlocked_and_filled(running: Emulator, http: aiohttp.ClientSession) -> None:
    await order(http, action="lock", mailbox=RELAY)
    talk = Talk(running).encrypt()
    talk.say(f"AUTH LOGIN {b64(RELAY)}")
    assert "account locked" in talk.say(b64("relay-password"))
    await order(http, action="unlock", mailbox=RELAY)
    await order(http, action="fill", mailbox=RELAY)
    assert logged_on(running).submit().startswith("554 5.2.2 Mailbox full")
    await order(http, action="fill", mailbox=RELAY, full=False)
    assert logged_on(running).submit().startswith("250 ")
    assert "nobody@" in (await order(http, 400, action="lock", mailbox="nobody@contoso.example"))["error"]


async def test_a_message_is_delivered_on_order(running: Emulator, http: aiohttp.ClientSession) -> None:
    done = await order(
        http, action="deliver", to=["Alice@contoso.example"], subject="Hello", text="Grüße\nfrom outside"
    )
    (record,) = running.store.messages("alice@contoso.example")
    assert record.id == done["id"] and record.subject == "Hello"
    assert "Grüße\r\nfrom outside" in running.content(record).decode()
    raw = "Subject: raw\nMessage-ID: <raw@x>\n\nbody\n"
    await order(http, action="deliver", to=["bob@contoso.example"], sender="a@b.example", raw=raw)
    (record,) = running.store.messages("bob@contoso.example")
    assert running.content(record) == raw.replace("\n", "\r\n").encode() and record.message_id == "<raw@x>"


async def test_clients_seem_to_be_where_the_order_says(running: Emulator, http: aiohttp.ClientSession) -> None:
    import asyncio

    async def seen() -> str:
        host, _, port = running.submission.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"EHLO client.example\r\n")
        await reader.readline()
        answer = (await reader.readline()).decode()
        writer.close()
        return answer.partition("[")[2].rstrip("]\r\n")

    assert await seen() == "127.0.0.1"
    await order(http, action="pretend-address", address="203.0.113.9")
    assert await seen() == "203.0.113.9"
    await order(http, action="pretend-address", address="198.51.100.1", client="127.0.0.1")
    assert await seen() == "198.51.100.1"
    await order(http, action="reset")
    assert await seen() == "127.0.0.1"
    await order(http, 400, action="pretend-address", address="somewhere")


async def test_a_new_certificate_is_written_and_registered(running: Emulator, http: aiohttp.ClientSession) -> None:
    old = (running.control.parts.home / "app.pem").read_text()
    await order(http, action="issue-certificate", hours=1)
    new = (running.control.parts.home / "app.pem").read_text()
    assert new != old
    assert [c.pem for c in running.tenant.applications[running.client_id].certificates] == [new]
    await order(http, 400, action="issue-certificate")


async def test_the_whole_tenant_can_be_taken_out_and_put_back_without_losing_secrets(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    document = await get(http, "/api/tenant")
    document["name"] = "Fabrikam"
    document["mailboxes"]["new@contoso.example"] = {"password": "brand-new-word"}
    async with http.put("/api/tenant", json=document) as answer:
        shown = await answer.text()
        assert answer.status == 200 and SECRET not in shown and "brand-new-word" not in shown
    assert running.tenant.name == "Fabrikam"
    assert running.tenant.mailboxes[RELAY].password == "relay-password"
    assert running.tenant.mailboxes["new@contoso.example"].password == "brand-new-word"
    assert running.client_secret == SECRET
    async with http.put("/api/tenant", json={"id": "x"}) as answer:
        assert answer.status == 400
    assert running.tenant.name == "Fabrikam"


async def test_reset_begins_again_but_keeps_tenant_and_clock(running: Emulator, http: aiohttp.ClientSession) -> None:
    moved = datetime.fromisoformat((await order(http, action="advance", hours=5))["now"])
    logged_on(running).submit()
    await order(http, action="fault", stage="mail")
    assert await order(http, action="reset") == {"removed": 1}
    assert (await get(http, "/api/messages"))["total"] == 0
    assert (await get(http, "/api/statistics"))["accepted"] == 0
    state = await get(http, "/api/state")
    assert state["faults"] == [] and datetime.fromisoformat(state["clock"]["now"]) >= moved


async def test_the_state_says_what_each_mailbox_used_and_has_left(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    logged_on(running).submit(recipients=("alice@contoso.example", "x@example.net"))
    await order(http, action="fault", stage="mail", reply="451 4.3.0 Not now", count=3)
    await order(http, action="patch-tenant", patch={"switches": {"reject_direct_send": True}})
    state = await get(http, "/api/state")
    relay = state["mailboxes"][RELAY]
    assert (relay["messages_this_minute"], relay["messages_left_this_minute"]) == (1, 29)
    assert (relay["recipients_today"], relay["recipients_left_today"]) == (2, 9_998)
    assert (relay["submissions_open"], relay["submissions_allowed"]) == (0, 3)
    assert state["changed_switches"] == {"reject_direct_send": True}
    assert [(fault["stage"], fault["left"]) for fault in state["faults"]] == [("mail", 3)]


async def test_a_scenario_is_played_on_order_and_says_how_it_stands(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    assert "no scenario" in (await get(http, "/api/scenario", 404))["error"]
    await order(http, action="scenario", name="direct-send-rejected")
    found = await get(http, "/api/scenario")
    assert found["name"] == "direct-send-rejected" and found["met"] is False
    assert {"what": "duplicates", "expected": "0", "found": 0, "met": True} in found["findings"]
    assert running.tenant.switches.reject_direct_send
    names = [row["name"] for row in (await get(http, "/api/scenarios"))["scenarios"]]
    assert "throttled-monday" in names


@pytest.mark.parametrize("name", ["/etc/passwd", "tenant.toml", "../scenario", "no-such"])
async def test_over_http_no_file_of_the_machine_is_read_as_a_scenario(http: aiohttp.ClientSession, name: str) -> None:
    assert "no scenario" in (await order(http, 400, action="scenario", name=name))["error"]
    assert "no scenario" in (await get(http, f"/api/scenario?name={name}", 404))["error"]


async def test_refusals_are_kept_with_their_reason_also_without_a_message(
    running: Emulator, http: aiohttp.ClientSession
) -> None:
    import asyncio

    host, _, port = running.submission.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"EHLO client.example\r\nMAIL FROM:<a@contoso.example>\r\nQUIT\r\n")
    await reader.read()
    writer.close()
    url = f"{running.authority}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "client_id": running.client_id, "client_secret": "planted-secret"}
    async with http.post(url, data=form, ssl=False) as answer:
        assert answer.status == 401
    listing = await get(http, "/api/journal?refused=1")
    token, session = listing["entries"]
    assert (token["door"], token["who"]) == ("entra", running.client_id) and "AADSTS7000215" in token["reason"]
    assert session["door"] == "smtp" and "Client not authenticated to send mail" in session["reason"]
    assert "C: MAIL FROM:<a@contoso.example>" in (await get(http, f"/api/journal/{session['number']}"))["lines"]
    assert "planted-secret" not in json.dumps(listing)
    assert (await get(http, "/api/journal?who=nobody"))["total"] == 0


def test_a_tenant_in_json_is_as_good_as_one_in_toml(directory: Path, tenant: Tenant) -> None:
    import msgspec

    (directory / "tenant.toml").unlink()
    (directory / "tenant.json").write_bytes(msgspec.json.encode(tenant))
    assert read_tenant(tenant_file(directory)) == tenant
    assert Emulator(directory).tenant == tenant
    assert not (directory / "tenant.toml").exists()


def test_a_manual_clock_is_moved_by_the_same_orders(emulator: Emulator, clock: ManualClock) -> None:
    before = clock.now()
    emulator.control.carry_out(emulator.control.read(b'{"action": "advance", "days": 2}'))
    assert clock.now() - before == timedelta(days=2)


# From the shell.


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which `m365emu run` runs."""
    directory = tmp_path_factory.mktemp("served") / "emulator"
    ports = [f"--{name}=127.0.0.1:0" for name in ("submission", "https", "http")]
    command = [sys.executable, "-m", "m365emu", "run", "--dir", str(directory), "--scenario", "secret-expires", *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "ready" in process.stdout.readline()
        yield directory
        process.send_signal(signal.SIGTERM)


def shell(directory: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, words, env={"M365EMU_DIR": str(directory)})
    assert result.exit_code == code, result.output
    return result.output


def test_the_shell_learns_the_addresses(served: Path) -> None:
    lines = shell(served, "env").splitlines()
    names = {line.partition("=")[0].removeprefix("export ") for line in lines}
    assert {"M365_SUBMISSION", "M365_MX", "M365_AUTHORITY", "M365_GRAPH", "M365_INBOX", "M365_CA"} <= names
    assert {"M365_CLIENT_ID", "M365_CLIENT_SECRET_FILE", "M365_PUBLIC_CLIENT_ID", "M365_APP_CERTIFICATE"} <= names
    assert "no running emulator" in shell(served / "elsewhere", "env", "--wait", "0", code=1)
    assert "end-of-data" in shell(served, "fault", "end-of-date", code=2)


def test_the_shell_moves_the_clock_and_orders_faults(served: Path) -> None:
    before = datetime.fromisoformat(shell(served, "clock", "show").strip())
    after = datetime.fromisoformat(shell(served, "clock", "advance", "3h").strip())
    assert after - before >= timedelta(hours=3)
    assert "duration" in shell(served, "clock", "advance", "soon", code=1)
    assert "done" in shell(served, "fault", "mail", "--reply", "451 4.7.0 Not now", "--count", "2")
    assert "three digits" in shell(served, "fault", "mail", "--reply", "fine", code=1)
    assert "done" in shell(served, "fault", "clear")


def test_the_shell_shows_and_changes_the_tenant(served: Path, tmp_path: Path) -> None:
    shell(served, "tenant", "patch", '{"switches": {"security_defaults": true}}')
    document = json.loads(shell(served, "tenant", "show"))
    assert document["switches"]["security_defaults"] is True
    assert "colour" in shell(served, "tenant", "patch", '{"switches": {"colour": true}}', code=1)
    assert "not valid JSON" in shell(served, "tenant", "patch", "{", code=1)
    document["switches"]["security_defaults"] = False
    (tmp_path / "tenant.json").write_text(json.dumps(document))
    shell(served, "tenant", "import", str(tmp_path / "tenant.json"))
    assert json.loads(shell(served, "tenant", "show"))["switches"]["security_defaults"] is False


def test_the_shell_lists_and_gives_orders_and_begins_again(served: Path) -> None:
    listed = shell(served, "order")
    assert "deliver: Put a message into mailboxes" in listed and "    to (needed)" in listed
    assert "id" in json.loads(shell(served, "order", '{"action": "deliver", "to": ["alice@contoso.example"]}'))
    assert "1 messages removed" in shell(served, "reset")


def test_the_shell_compares_what_is_there_with_what_is_expected(served: Path) -> None:
    said = shell(served, "expect", code=1)
    assert "delivered" in said and "NOT MET" in said and "duplicates" in said
    found = json.loads(shell(served, "expect", "--json", "--scenario", "hve-external", code=1))
    assert found["name"] == "hve-external"
    listed = shell(served, "scenarios")
    assert "throttled-monday" in listed and "Direct Send" in listed


def test_a_scenario_that_is_not_there_is_said_before_anything_listens(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "m365emu", "run", "--dir", str(tmp_path), "--scenario", "no-such-scenario"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no-such-scenario" in done.stderr


def test_what_was_accepted_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    ports = [f"--{name}=127.0.0.1:0" for name in ("submission", "https", "http")]
    command = [sys.executable, "-m", "m365emu", "run", "--dir", str(tmp_path), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "ready" in process.stdout.readline()
        password = read_tenant(tmp_path / "tenant.toml").mailboxes[RELAY].password
        host, _, port = json.loads((tmp_path / "endpoints.json").read_text())["submission"].rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=10) as client:
            client.starttls(context=ssl.create_default_context(cafile=tmp_path / "ca.pem"))
            client.login(RELAY, password)
            client.sendmail(RELAY, ["alice@contoso.example"], f"From: {RELAY}\r\nSubject: kept\r\n\r\n")
            process.kill()
            process.wait()
    assert [record.subject for record in Emulator(tmp_path).store.messages("alice@contoso.example")] == ["kept"]
