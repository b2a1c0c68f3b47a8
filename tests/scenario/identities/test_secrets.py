"""Nothing secret is ever shown: a node and its commands do all that identities can do, and everything is searched.

The emulator is overheard, so that what is searched for is what really travelled: client secrets, assertions, tokens of
every kind, device codes, authorization codes with their verifiers.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from tests.emulator.browser import Browser
from tests.scenario.identities import entra
from tests.unit.operate.test_running_node import POSTHOUSE

from m365emu.background import Background
from m365emu.clock import SystemClock
from m365emu.emulator import prepare
from posthouse.__main__ import ThisInstallation
from posthouse.operate.cli.main import posthouse

NODE = """\
hostname = "relay.example.com"

[[listener]]
name = "smtp"
address = "127.0.0.1:0"
protocol_log = true

[log]
level = "debug"

[protocol_log]
directory = "log"
"""
FLOW = """
[[inbound]]
name = "devices"
networks = ["127.0.0.0/8"]
recipients = "any"

[[identity]]
name = "app"
kind = "client_secret"
client_id = "{client}"
client_secret = "secret:app"
{shared}

[[identity]]
name = "wrong"
kind = "client_secret"
client_id = "{client}"
client_secret = "file:wrong"
{shared}

[[identity]]
name = "cert"
kind = "certificate"
client_id = "{client}"
certificate = "app.pfx"
passphrase = "file:passphrase"
send_chain = true
{shared}

[[identity]]
name = "broken"
kind = "certificate"
client_id = "{client}"
certificate = "app.pfx"
passphrase = "file:wrong"
{shared}

[[identity]]
name = "workload"
kind = "workload"
client_id = "{client}"
token_file = "token"
{shared}

[[identity]]
name = "device"
kind = "device_code"
client_id = "{public}"
user = "alice@contoso.example"
{shared}

[[identity]]
name = "browser"
kind = "authorization_code"
client_id = "{public}"
user = "alice@contoso.example"
{shared}

[[identity]]
name = "password"
kind = "password"
password = "file:password"

{connectors}
"""
CONNECTOR = """
[[outbound]]
name = "by-{identity}"
kind = "submission"
identity = "{identity}"
mailboxes = "{mailbox}"
host = "127.0.0.1"
port = {port}
tls = "domain"
tls_domain = "smtp.office365.com"
tls_ca = "{ca}"
protocol_log = true
on_unknown = "retry"

[[route]]
name = "to-{identity}"
recipients = ["{identity}.example.net"]
connectors = ["by-{identity}"]
"""
PASSWORD = "alice-password"
WRONG = "wrong-planted-~9876543210"
CONNECTORS = ("app", "wrong", "cert", "broken", "workload", "device", "password")
_FIELDS = (
    "client_secret",
    "client_assertion",
    "device_code",
    "code",
    "code_verifier",
    "refresh_token",
    "access_token",
    "id_token",
)


@pytest.fixture
def overheard() -> dict[str, set[str]]:
    return defaultdict(set)


@pytest.fixture
def emulator(tmp_path: Path, overheard: dict[str, set[str]]) -> Iterator[Background]:
    prepare(tmp_path / "emulator", SystemClock())
    running = Background(tmp_path / "emulator")
    running.emulator.directory.replace(entra.tenant())

    @web.middleware
    async def overhear(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request)
        found: dict[str, Any] = dict(await request.post()) if request.method == "POST" else {}
        body = answer.body if isinstance(answer, web.Response) else b""
        if isinstance(body, bytes) and body.startswith(b"{"):
            found |= json.loads(body)
        for name in _FIELDS:
            if isinstance(found.get(name), str):
                overheard[name].add(found[name])
        return answer

    serve = running.emulator._serve

    async def serve_overheard(app: web.Application, *where: Any) -> str:
        app.middlewares.append(overhear)
        return await serve(app, *where)

    running.emulator._serve = serve_overheard  # type: ignore[method-assign]
    with running:
        yield running


@pytest.fixture
def place(emulator: Background, tmp_path: Path) -> Path:
    place = tmp_path / "node"
    place.mkdir()
    entra.write_credentials(place)
    (place / "wrong").write_text(WRONG)
    (place / "password").write_text(PASSWORD)
    shared = f'tenant = "{entra.TENANT_ID}"\nauthority = "{emulator.authority}"\nca = "{emulator.ca}"'
    # Each refusal lets its own mailbox rest.
    mailboxes = dict.fromkeys(CONNECTORS, "relay@contoso.example")
    mailboxes |= dict.fromkeys(("device", "password"), "alice@contoso.example")
    mailboxes |= {name: f"{name}@contoso.example" for name in ("wrong", "broken")}
    connectors = "".join(
        CONNECTOR.format(identity=name, mailbox=mailboxes[name], port=emulator.smtp[1], ca=emulator.ca)
        for name in CONNECTORS
    )
    (place / "posthouse.toml").write_text(NODE)
    (place / "flow.toml").write_text(
        FLOW.format(client=entra.CLIENT, public=entra.PUBLIC, shared=shared, connectors=connectors)
    )
    return place


class Recorder:
    """Runs commands and keeps all that they print."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.printed: list[str] = []

    def run(self, *words: str, stdin: str = "") -> str:
        done = CliRunner().invoke(posthouse, [*words, "--dir", str(self.place)], input=stdin, obj=ThisInstallation())
        self.printed += [done.stdout, done.stderr]
        return done.stdout

    def login(self, emulator: Background, name: str) -> None:
        with subprocess.Popen(
            [*POSTHOUSE, "identity", "login", name, "--json", "--dir", str(self.place)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as login:
            assert login.stdout is not None and login.stderr is not None
            first, second = login.stderr.readline(), login.stderr.readline()
            if name == "device":
                url = re.search(r"https://\S+", first)
                assert url is not None
                entra.type_device_code(emulator.emulator, url[0], second.strip())
            else:
                page = entra.sign_in_by_browser(emulator.emulator, second.strip())
                Browser(emulator.ca).open(page.sent_to)
            rest = login.stderr.read()
            assert login.wait(30) == 0, rest
            self.printed += [first, rest, login.stdout.read()]


def test_nothing_secret_is_shown_by_a_node_and_its_commands(
    place: Path, emulator: Background, overheard: dict[str, set[str]], tmp_path: Path
) -> None:
    typist = Recorder(place)
    typist.run("secret", "set", "app", "--stdin", stdin=entra.SECRET)
    log = tmp_path / "node.log"
    with log.open("wb") as file:
        node = subprocess.Popen(
            [*POSTHOUSE, "run", "--dir", str(place)], stdout=subprocess.PIPE, stderr=file, text=True
        )
    try:
        assert node.stdout is not None and node.stdout.readline().startswith("posthouse ready")
        live_through_everything(typist, emulator)
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait(30)
    for words in (("identity", "list", "--json"), ("metrics",), ("flow", "show"), ("queue", "list", "--json")):
        typist.run(*words)

    missing = [name for name in _FIELDS if not overheard[name]]
    assert not missing, f"nothing of the kind {missing} was overheard: this test would prove nothing"
    needles = {value for values in overheard.values() for value in values}
    needles |= {entra.SECRET, WRONG, entra.PASSPHRASE, PASSWORD, "dXNlcj1"}
    needles |= set(entra.KEY_PEM.decode().splitlines()[1:-1])
    texts = {"what commands print": "\n".join(typist.printed), "log": log.read_text()}
    texts |= {path.name: path.read_bytes().decode("latin-1") for path in everything_written(place)}
    assert len(texts) > 4 and "XOAUTH2" in "".join(texts.values()), "the protocol log was searched too"
    shown = [(place, needle[:12]) for place, text in texts.items() for needle in needles if needle in text]
    assert shown == []


def live_through_everything(typist: Recorder, emulator: Background) -> None:
    """Do all that identities can do, well and badly."""
    typist.login(emulator, "device")
    typist.login(emulator, "browser")
    for name in CONNECTORS:
        sender = "alice" if name in ("device", "password") else "relay"
        letter = f"From: {sender}@contoso.example\nSubject: by {name}\n\npage\n"
        typist.run("send", "-f", f"{sender}@contoso.example", f"someone@{name}.example.net", stdin=letter)
        typist.run("identity", "test", name, "--json")
        typist.run("identity", "test", name)
    typist.run("identity", "rotate", "cert", "--json")
    typist.run("identity", "rotate", "cert", "--finish")
    until = time.monotonic() + 30
    while emulator.call(lambda: len(emulator.emulator.store.messages("external"))) < len(CONNECTORS) - 2:
        assert time.monotonic() < until, typist.run("queue", "list")
        time.sleep(0.2)
    for words in (
        ("status", "--json"),
        ("queue", "list", "--json"),
        ("queue", "budgets", "--json"),
        ("identity", "list", "--json"),
        ("identity", "list"),
        ("identity", "resume", "--all", "--json"),
        ("secret", "list", "--json"),
        ("trace", "door", "--json"),
        ("metrics",),
        ("check", "--json"),
        ("flow", "show"),
    ):
        typist.run(*words)
    for row in json.loads(typist.run("trace", "search", "--json"))["rows"]:
        typist.run("trace", "show", row["id"], "--json")
        typist.run("trace", "show", row["id"])
    for name in CONNECTORS:
        typist.run("identity", "show-steps", name, "--json")


def everything_written(place: Path) -> list[Path]:
    """All files of the node but those that an operator keeps credentials in."""
    credentials = {"both.pem", "app.key", "app.crt", "app.pfx", "locked.pem", "passphrase", "secret", "token", "wrong"}
    credentials |= {"password", "app.next.pfx"}
    return [path for path in place.rglob("*") if path.is_file() and path.name not in credentials]
