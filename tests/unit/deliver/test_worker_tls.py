"""TLS modes, certificates right and wrong, and log-ins over and without TLS."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError
from tests.unit.deliver.jobs import SECRETS, MakeWorker, one, smarthost
from tests.unit.deliver.scripted import Script, ScriptedServer

from posthouse.decide.outbound import Credentials
from posthouse.mail.outcome import Deferred, Delivered, Scope

CA = trustme.CA()
OTHER_CA = trustme.CA()
GOOD = CA.issue_cert("mx.y.example", "127.0.0.1")
WRONG_NAME = CA.issue_cert("mx.z.example")
WILDCARD = CA.issue_cert("*.y.example")
UNKNOWN = OTHER_CA.issue_cert("mx.y.example", "127.0.0.1")
EXPIRED = CA.issue_cert("mx.y.example", "127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))


def context(certificate: trustme.LeafCert = GOOD) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    CA.cert_pem.write_to_path(path)
    return path


def secured(certificate: trustme.LeafCert = GOOD, **more: object) -> Script:
    return Script(tls=context(certificate), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["opportunistic", "encryption", "certificate", "domain"])
async def test_starttls_in_every_mode(make_worker: MakeWorker, ca_file: Path, mode: str) -> None:
    async with ScriptedServer(secured()) as server:
        connector = smarthost(server.port, tls=mode, tls_ca=ca_file, tls_domain=None)
        result = await one(make_worker(), connector)
    assert isinstance(result.outcome, Delivered)
    assert result.detail["tls"] == "TLSv1.3"
    assert result.detail["cipher"]
    assert server.sessions[0].is_secured
    if mode in ("certificate", "domain"):
        assert "mx.y.example" in result.detail["certificate_names"]  # type: ignore[operator]


async def test_implicit_tls(make_worker: MakeWorker, ca_file: Path) -> None:
    async with ScriptedServer(secured(is_implicit=True)) as server:
        connector = smarthost(server.port, tls="certificate", tls_ca=ca_file, implicit_tls=True)
        result = await one(make_worker(), connector)
    assert isinstance(result.outcome, Delivered)
    assert server.commands("STARTTLS") == []


REFUSED = [
    ("certificate", UNKNOWN, None, "unable to get local issuer"),
    ("certificate", EXPIRED, None, "expired"),
    ("domain", UNKNOWN, None, "unable to get local issuer"),
    ("domain", WRONG_NAME, "mx.y.example", "not for mx.y.example"),
    ("domain", WRONG_NAME, None, "mismatch"),
    ("domain", WILDCARD, "y.example", "not for y.example"),
]


@pytest.mark.parametrize(("mode", "certificate", "tls_domain", "words"), REFUSED)
async def test_a_certificate_that_does_not_do_makes_the_hop_wait(
    make_worker: MakeWorker,
    ca_file: Path,
    mode: str,
    certificate: trustme.LeafCert,
    tls_domain: str | None,
    words: str,
) -> None:
    async with ScriptedServer(secured(certificate)) as server:
        connector = smarthost(server.port, tls=mode, tls_ca=ca_file, tls_domain=tls_domain)
        outcome = (await one(make_worker(), connector)).outcome
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.HOP
    assert words in outcome.reason
    assert server.messages == []


@pytest.mark.parametrize(
    ("mode", "certificate", "tls_domain"),
    [
        ("encryption", UNKNOWN, None),
        ("encryption", EXPIRED, None),
        ("opportunistic", WRONG_NAME, None),
        ("certificate", WRONG_NAME, None),
        ("domain", GOOD, "*.y.example"),
        ("domain", WILDCARD, "mx.y.example"),
        ("domain", WILDCARD, "*.y.example"),
    ],
)
async def test_a_certificate_that_does(
    make_worker: MakeWorker, ca_file: Path, mode: str, certificate: trustme.LeafCert, tls_domain: str | None
) -> None:
    async with ScriptedServer(secured(certificate)) as server:
        connector = smarthost(server.port, tls=mode, tls_ca=ca_file, tls_domain=tls_domain)
        assert isinstance((await one(make_worker(), connector)).outcome, Delivered)


@pytest.mark.parametrize(("mode", "delivers"), [("opportunistic", True), ("encryption", False), ("domain", False)])
async def test_a_server_without_starttls(make_worker: MakeWorker, mode: str, delivers: bool) -> None:
    async with ScriptedServer() as server:
        outcome = (await one(make_worker(), smarthost(server.port, tls=mode))).outcome
    assert isinstance(outcome, Delivered if delivers else Deferred)
    assert bool(server.messages) is delivers


async def test_starttls_refused_for_the_moment(make_worker: MakeWorker) -> None:
    script = Script(keywords=("PIPELINING", "STARTTLS"), on={"STARTTLS": b"454 4.7.0 TLS not available\r\n"})
    async with ScriptedServer(script) as server:
        assert isinstance((await one(make_worker(), smarthost(server.port, tls="opportunistic"))).outcome, Delivered)
        outcome = (await one(make_worker(), smarthost(server.port, tls="encryption"))).outcome
    assert isinstance(outcome, Deferred) and outcome.scope is Scope.HOP


def broken_tls() -> Script:
    return Script(keywords=("PIPELINING", "STARTTLS", "AUTH PLAIN"), on={"STARTTLS": b"220 Go\r\n"})


async def test_opportunistic_tls_that_fails_is_done_without(make_worker: MakeWorker) -> None:
    async with ScriptedServer(broken_tls()) as server:
        result = await one(make_worker(), smarthost(server.port, tls="opportunistic"))
    assert isinstance(result.outcome, Delivered)
    assert result.detail["tls_failure"]
    assert "tls" not in result.detail


async def test_with_a_login_tls_that_fails_is_never_done_without(make_worker: MakeWorker) -> None:
    async with ScriptedServer(broken_tls()) as server:
        outcome = (await one(make_worker(), smarthost(server.port, tls="opportunistic", auth=AUTH))).outcome
    assert isinstance(outcome, Deferred)
    assert server.commands("AUTH") == []


async def test_a_client_certificate_is_shown(make_worker: MakeWorker, ca_file: Path, tmp_path: Path) -> None:
    ours = CA.issue_cert("node.x.example")
    pem = tmp_path / "client.pem"
    ours.private_key_and_cert_chain_pem.write_to_path(pem)
    wants = context()
    wants.verify_mode = ssl.CERT_REQUIRED
    CA.configure_trust(wants)
    async with ScriptedServer(Script(tls=wants)) as server:
        connector = smarthost(server.port, tls="certificate", tls_ca=ca_file, client_certificate=pem)
        assert isinstance((await one(make_worker(), connector)).outcome, Delivered)
    assert "node.x.example" in str(server.sessions[0].peer_certificate)


async def test_a_client_certificate_logs_in_by_external(make_worker: MakeWorker, ca_file: Path, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    CA.issue_cert("node.x.example").private_key_and_cert_chain_pem.write_to_path(pem)
    script = Script(
        keywords=("AUTH EXTERNAL PLAIN",), tls=context(), is_implicit=True, on={"AUTH": b"235 2.7.0 Go\r\n"}
    )
    async with ScriptedServer(script) as server:
        connector = smarthost(
            server.port,
            tls="certificate",
            implicit_tls=True,
            tls_ca=ca_file,
            client_certificate=pem,
            auth=Credentials(mechanism="EXTERNAL"),
        )
        result = await one(make_worker(), connector)
    assert isinstance(result.outcome, Delivered)
    assert server.commands("AUTH") == ["AUTH EXTERNAL ="]


def test_external_without_a_certificate_or_with_a_password_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs client_certificate"):
        smarthost(25, auth=Credentials(mechanism="EXTERNAL"))
    with pytest.raises(ValidationError, match="leave the password out"):
        Credentials(mechanism="EXTERNAL", password="secret:relay")
    with pytest.raises(ValidationError, match="needs username and password"):
        Credentials(username="user")


async def test_a_certificate_file_that_is_none_is_named(make_worker: MakeWorker, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    outcome = (await one(make_worker(), smarthost(25, tls="certificate", client_certificate=missing))).outcome
    assert isinstance(outcome, Deferred)
    assert "missing.pem" in outcome.reason


AUTH = Credentials(username="user", password="secret:relay")
OFFERS = ("PIPELINING", "AUTH PLAIN LOGIN")


@pytest.mark.parametrize("mechanism", ["auto", "PLAIN", "LOGIN"])
async def test_a_login_over_tls(make_worker: MakeWorker, mechanism: str) -> None:
    async with ScriptedServer(secured(secured_keywords=OFFERS)) as server:
        auth = Credentials(username="user", password="secret:relay", mechanism=mechanism)  # type: ignore[arg-type]
        result = await one(make_worker(), smarthost(server.port, tls="encryption", auth=auth))
    assert isinstance(result.outcome, Delivered)
    assert result.detail["auth"] == ("PLAIN" if mechanism == "auto" else mechanism)
    (credentials,) = server.commands("CREDENTIALS")
    assert credentials in ("credentials AHVzZXIAaHVudGVyMi1wbGFudGVk", "credentials dXNlcg== aHVudGVyMi1wbGFudGVk")


async def test_a_password_does_not_go_out_in_clear(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(keywords=OFFERS)) as server:
        outcome = (await one(make_worker(), smarthost(server.port, tls="opportunistic", auth=AUTH))).outcome
    assert isinstance(outcome, Deferred)
    assert "not encrypted" in outcome.reason
    assert server.commands("AUTH") == []


async def test_unless_the_operator_said_that_there_is_no_tls(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(keywords=OFFERS)) as server:
        assert isinstance((await one(make_worker(), smarthost(server.port, tls="none", auth=AUTH))).outcome, Delivered)


REFUSAL = b"535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [host]\r\n"


async def test_a_refused_login_is_not_tried_again_and_again(make_worker: MakeWorker) -> None:
    async with ScriptedServer(Script(keywords=OFFERS, on={"AUTH": REFUSAL})) as server:
        worker, connector = make_worker(), smarthost(server.port, auth=AUTH, hosts=("127.0.0.1", "127.0.0.1"))
        import asyncio

        results = await asyncio.gather(*(one(worker, connector) for _ in range(5)))
        assert len(server.commands("AUTH")) == 1
    for result in results:
        assert isinstance(result.outcome, Deferred)
        assert result.outcome.scope is Scope.MAILBOX and result.outcome.needs_operator
        assert result.outcome.retry_after is not None
        assert SECRETS["relay"] not in repr(result)


async def test_a_mechanism_that_is_not_known_after_all_gives_way_to_the_next(make_worker: MakeWorker) -> None:
    def answer(text: str) -> bytes:
        return b"504 5.7.4 Unrecognized\r\n" if "PLAIN" in text else b"235 Ok\r\n"

    async with ScriptedServer(Script(keywords=OFFERS, on={"AUTH": answer})) as server:
        assert isinstance((await one(make_worker(), smarthost(server.port, auth=AUTH))).outcome, Delivered)
    assert [c.split()[1] for c in server.commands("AUTH")] == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("secret:nothing", "no secret named nothing"),
        ("env:POSTHOUSE_NO_SUCH_VARIABLE", "POSTHOUSE_NO_SUCH_VARIABLE is not set"),
        ("file:/no/such/file", "/no/such/file cannot be read"),
    ],
)
async def test_a_secret_that_cannot_be_had_is_named(make_worker: MakeWorker, reference: str, words: str) -> None:
    async with ScriptedServer(Script(keywords=OFFERS)) as server:
        auth = Credentials(username="user", password=reference)
        outcome = (await one(make_worker(), smarthost(server.port, auth=auth))).outcome
    assert isinstance(outcome, Deferred)
    assert words in outcome.reason
    assert server.sessions == []


class Log:
    """What the protocol log was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def connected(self, local: str, remote: str) -> None:
        self.lines.append(f"+ {remote}")

    def line(self, direction: str, text: str) -> None:
        self.lines.append(f"{direction} {text}")

    def closed(self, reason: str) -> None:
        self.lines.append(f"- {reason}")


async def test_the_protocol_log_tells_the_session_without_the_password(make_worker: MakeWorker) -> None:
    log = Log()
    open_log: Callable[[object], Log] = lambda _: log  # noqa: E731
    async with ScriptedServer(secured(secured_keywords=OFFERS)) as server:
        worker = make_worker(open_log=open_log)
        await one(worker, smarthost(server.port, tls="encryption", auth=AUTH))
    text = "\n".join(log.lines)
    assert log.lines[:2] == [f"+ 127.0.0.1:{server.port}", "< 220 mx.y.example ESMTP"]
    for words in ("> STARTTLS", "* TLS negotiation succeeded: TLSv1.3", "> AUTH PLAIN <authentication information>"):
        assert words in text
    assert "> RCPT TO:<b@y.example>" in text and "< 250 2.0.0 Queued" in text
    assert "A line." not in text
    assert SECRETS["relay"] not in text and "aHVudGVyMi1wbGFudGVk" not in text


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_server_that_repeats_a_log_in_makes_nobody_read_it(make_worker: MakeWorker, mechanism: str) -> None:
    said: list[str] = []

    def refuse(text: str) -> bytes:
        said.append(text)
        told = text.split()[-1].encode()
        return b"535 5.7.8 " + told + b" is not " + base64.b64decode(told).replace(b"\0", b" ") + b"\r\n"

    def ask(text: str) -> bytes:
        return refuse(text) if mechanism == "PLAIN" else b"535 5.7.8 no " + SECRETS["relay"].encode() + b"\r\n"

    script = Script(keywords=(f"AUTH {mechanism}",), on={"AUTH": ask})
    async with ScriptedServer(script) as server:
        result = await one(make_worker(), smarthost(server.port, tls="none", auth=AUTH))
    assert isinstance(result.outcome, Deferred) and result.outcome.reply is not None
    assert "***" in str(result.outcome.reply) and result.outcome.reply.code == 535
    assert SECRETS["relay"] not in repr(result)
    assert all(text.split()[-1] not in repr(result) for text in said)
