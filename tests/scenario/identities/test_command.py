"""``posthouse identity`` against the offline Entra, as an operator types it: with a running node and without one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.emulator.browser import Browser
from tests.scenario.identities import entra
from tests.unit.operate.conftest import NODE
from tests.unit.operate.test_running_node import POSTHOUSE, started

from m365emu.background import Background
from m365emu.clock import SystemClock
from m365emu.emulator import prepare
from posthouse.__main__ import ThisInstallation
from posthouse.operate.cli.main import posthouse

FLOW = """
[[identity]]
name = "app"
kind = "client_secret"
tenant = "{tenant}"
client_id = "{client}"
client_secret = "secret:app"
expires = 2027-01-31
authority = "{authority}"
ca = "{ca}"

[[identity]]
name = "cert"
kind = "certificate"
tenant = "{tenant}"
client_id = "{client}"
certificate = "both.pem"
authority = "{authority}"
ca = "{ca}"

[[identity]]
name = "device"
kind = "device_code"
tenant = "{tenant}"
client_id = "{public}"
user = "alice@contoso.example"
authority = "{authority}"
graph = "{graph}"
ca = "{ca}"

[[identity]]
name = "browser"
kind = "authorization_code"
tenant = "{tenant}"
client_id = "{public}"
user = "alice@contoso.example"
authority = "{authority}"
ca = "{ca}"

[[outbound]]
name = "m365"
kind = "submission"
identity = "app"
mailboxes = "relay@contoso.example"
host = "127.0.0.1"
port = {port}
tls = "domain"
tls_domain = "smtp.office365.com"
tls_ca = "{ca}"

[[outbound]]
name = "graph"
kind = "graph"
identity = "device"
mailboxes = "alice@contoso.example"

[[route]]
name = "everything"
connectors = ["m365"]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prepared")
    prepare(directory, SystemClock())
    return directory


@pytest.fixture
def emulator(prepared: Path, tmp_path: Path) -> Iterator[Background]:
    shutil.copytree(prepared, tmp_path / "emulator")
    running = Background(tmp_path / "emulator")
    running.emulator.directory.replace(entra.tenant())
    with running:
        yield running


@pytest.fixture
def place(emulator: Background, tmp_path: Path) -> Path:
    """A directory with both files and all credentials."""
    place = tmp_path / "node"
    place.mkdir()
    entra.write_credentials(place)
    (place / "posthouse.toml").write_text(NODE)
    (place / "flow.toml").write_text(
        FLOW.format(
            tenant=entra.TENANT_ID,
            client=entra.CLIENT,
            public=entra.PUBLIC,
            authority=emulator.authority,
            graph=emulator.graph,
            ca=emulator.ca,
            port=emulator.smtp[1],
        )
    )
    assert run(place, "secret", "set", "app", "--stdin", stdin=entra.SECRET.encode()).exit_code == 0
    return place


@pytest.fixture(params=["offline", "running"])
def desk(request: pytest.FixtureRequest, place: Path) -> Iterator[Path]:
    """The same, with a node that runs and without one."""
    if request.param == "offline":
        yield place
        return
    with started(place):
        yield place


def run(place: Path, *words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(posthouse, [*words, "--dir", str(place)], input=stdin, obj=ThisInstallation())


def ask(place: Path, *words: str) -> Any:
    done = run(place, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ask_whatever_it_ends_in(place: Path, *words: str) -> Any:
    return json.loads(run(place, *words, "--json").stdout)


def identities(place: Path) -> dict[str, Any]:
    return {view["name"]: view for view in ask(place, "identity", "list")["identities"]}


def test_the_list_says_who_is_how_and_what_ends_when(desk: Path) -> None:
    found = identities(desk)
    assert [view["state"] for view in found.values()] == ["ok", "ok", "not_signed_in", "not_signed_in"]
    assert found["app"]["ends"] == "client secret" and found["app"]["ends_at"].startswith("2027-01-31")
    assert found["app"]["connectors"] == ["m365"] and found["app"]["ends_source"] == "declared"
    assert found["cert"]["ends_source"] == "file" and 98 <= found["cert"]["days_left"] <= 100
    shown = run(desk, "identity", "list").output
    assert "IDENTITY" in shown and "2027-01-31" in shown and "has not signed in" in shown


def test_a_test_shows_what_a_token_allows_and_never_the_token(place: Path) -> None:
    tested = ask(place, "identity", "test", "app")
    smtp, graph = tested["tokens"]
    assert smtp["ok"] and smtp["is_needed"] and smtp["audience"] == "https://outlook.office365.com"
    assert "SMTP.SendAsApp" in smtp["roles"] and smtp["tenant"] == entra.TENANT_ID
    assert graph["ok"] and not graph["is_needed"]
    shown = run(place, "identity", "test", "app").output
    assert "SMTP.SendAsApp" in shown and "eyJ" not in shown and entra.SECRET not in shown
    assert identities(place)["app"]["state"] == "ok"


def test_a_wrong_secret_is_found_wrong_with_the_authoritys_code(place: Path) -> None:
    assert run(place, "secret", "set", "app", "--stdin", stdin=b"wrong-planted").exit_code == 0
    done = run(place, "identity", "test", "app")
    assert done.exit_code == 1
    assert "AADSTS7000215" in done.output and "planted" not in done.output


def test_a_person_signs_in_by_a_code(desk: Path, emulator: Background) -> None:
    login = subprocess.Popen(
        [*POSTHOUSE, "identity", "login", "device", "--for", "smtp", "--dir", str(desk)],
        stderr=subprocess.PIPE,
        text=True,
    )
    with login:
        assert login.stderr is not None
        url = re.search(r"https://\S+", login.stderr.readline())
        user_code = login.stderr.readline().strip()
        assert url is not None and user_code
        # What Entra names is a page of Microsoft's; the person finds the emulator's.
        entra.type_device_code(emulator.emulator, url[0], user_code)
        assert login.wait(30) == 0, login.stderr.read()
        assert "alice@contoso.example is signed in for device" in login.stderr.read()
    view = identities(desk)["device"]
    assert (view["state"], view["ends"], view["days_left"]) == ("ok", "sign-in", 89)
    assert [kept["name"] for kept in ask(desk, "secret", "list")["secrets"]] == ["app"], (
        "what is kept of a sign-in is no secret that a reference could open"
    )
    smtp, graph = ask_whatever_it_ends_in(desk, "identity", "test", "device")["tokens"]
    assert smtp["ok"] and smtp["scopes"] == ["SMTP.Send"] and smtp["subject"] == "alice@contoso.example"
    assert not graph["ok"] and graph["code"] == "AADSTS65001"


def test_a_person_signs_in_by_a_browser_that_comes_back(place: Path, emulator: Background) -> None:
    login = subprocess.Popen(
        [*POSTHOUSE, "identity", "login", "browser", "--dir", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with login:
        assert login.stderr is not None
        login.stderr.readline()
        url = login.stderr.readline().strip()
        browser = Browser(emulator.ca)
        page = browser.submit(browser.sign_in(url))
        assert browser.open(page.sent_to.partition("?")[0] + "/favicon.ico").status == 404
        assert "You may close this window" in browser.open(page.sent_to).text
        assert login.wait(30) == 0, login.stderr.read()
    assert identities(place)["browser"]["state"] == "ok"


def test_an_address_that_was_pasted_will_do(place: Path, emulator: Background) -> None:
    login = subprocess.Popen(
        [*POSTHOUSE, "identity", "login", "browser", "--paste", "--dir", str(place)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with login:
        assert login.stderr is not None and login.stdin is not None
        login.stderr.readline()
        browser = Browser(emulator.ca)
        page = browser.submit(browser.sign_in(login.stderr.readline().strip()))
        login.stdin.write(page.sent_to + "\n")
        login.stdin.flush()
        assert login.wait(30) == 0, login.stderr.read()
    assert identities(place)["browser"]["state"] == "ok"


def test_a_certificate_is_replaced_step_by_step(desk: Path, emulator: Background) -> None:
    made = ask(desk, "identity", "rotate", "cert")
    assert not made["in_use"] and len(made["sha1"]) == 40 and len(made["sha256"]) == 64
    shown = run(desk, "identity", "rotate", "cert").output
    assert "az ad app credential reset" in shown and entra.CLIENT in shown and "Update-MgApplication" in shown
    early = run(desk, "identity", "rotate", "cert", "--finish")
    assert early.exit_code == 1 and "the old certificate stays in use" in early.output
    assert identities(desk)["cert"]["waits"]
    pem = Path(made["public"]).read_text()
    assert "PRIVATE" not in pem
    emulator.call(lambda: entra.add_certificate(emulator.emulator, pem))
    assert ask(desk, "identity", "rotate", "cert", "--finish")["in_use"]
    view = identities(desk)["cert"]
    assert not view["waits"] and view["days_left"] >= 363
    assert ask(desk, "identity", "test", "cert")["tokens"][0]["ok"]
    assert run(desk, "identity", "rotate", "app").exit_code == 1


def test_the_steps_name_the_identitys_own_values(place: Path) -> None:
    steps = ask(place, "identity", "show-steps", "app")
    text = json.dumps(steps)
    for expected in (
        "SMTP.SendAsApp",
        f"New-ServicePrincipal -AppId {entra.CLIENT} -ObjectId",
        "Add-MailboxPermission -Identity relay@contoso.example",
        "Set-CASMailbox -Identity relay@contoso.example -SmtpClientAuthenticationDisabled $false",
        f"/{entra.TENANT_ID}/v2.0/adminconsent?client_id={entra.CLIENT}",
        "New-ManagementRoleAssignment",
        "posthouse secret set app",
    ):
        assert expected in text, expected
    assert entra.SECRET not in text
    shown = run(place, "identity", "show-steps", "device").output
    assert "posthouse identity login device" in shown and "offline_access" in shown


def test_what_does_not_fit_is_refused_in_a_sentence(place: Path) -> None:
    for words, expected in (
        (("test", "nobody"), "there is no identity 'nobody'; known: app, cert, device, browser"),
        (("login", "app"), "app is a client_secret; nobody signs in for it"),
        (("resume", "app"), "nothing rests under the name 'app'"),
        (("rotate", "device"), "device is a device_code, not a certificate"),
        (("show-steps", "nobody"), "there is no identity"),
    ):
        done = run(place, "identity", *words)
        assert done.exit_code == 1, done.output
        assert expected in done.output
    assert run(place, "identity", "resume").exit_code == 2
    assert ask(place, "identity", "resume", "--all") == {"accounts": []}


def test_a_refused_identity_rests_until_somebody_resumes_it(place: Path, emulator: Background) -> None:
    assert run(place, "secret", "set", "app", "--stdin", stdin=b"wrong-planted").exit_code == 0
    with started(place):
        letter = b"From: relay@contoso.example\nSubject: scan\n\npage\n"
        run(place, "send", "-f", "relay@contoso.example", "alice@contoso.example", stdin=letter)
        wait_until(lambda: bool(ask(place, "identity", "list")["pauses"]))
        (pause,) = ask(place, "identity", "list")["pauses"]
        assert pause["account"] == "identity:app" and "AADSTS7000215" in pause["reason"]
        assert identities(place)["app"]["state"] == "paused"
        said = run(place, "identity", "list").output
        assert "identity:app rests until" in said and said.count("AADSTS7000215") == 1
        assert "Who must act: the Entra administrator of your organisation" in said
        assert "Who must act: the Entra administrator of your organisation" in run(place, "status").output
        metrics = run(place, "metrics").output
        assert f'posthouse_identity_paused{{account="{pause["account"]}"}} 1.0' in metrics
        assert 'posthouse_credential_expires_timestamp_seconds{identity="app"}' in metrics
        assert 'posthouse_queue_copies{state="pending"} 1.0' in metrics
    # The pause outlives the node; ending it works on the store too.
    assert identities(place)["app"]["state"] == "paused"
    assert run(place, "secret", "set", "app", "--stdin", stdin=entra.SECRET.encode()).exit_code == 0
    assert ask(place, "identity", "resume", "app")["accounts"] == [pause["account"]]
    with started(place):
        emulator.wait_for(emulator.emulator.wait_for_messages("alice@contoso.example", seconds=20))


def wait_until(condition: Any) -> None:
    import time

    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
