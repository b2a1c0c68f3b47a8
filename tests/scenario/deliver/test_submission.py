"""Client submission to the offline Microsoft 365: by token, by password, and what its refusals lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.deliver.jobs import message, new_worker, one

from m365emu.emulator import Emulator
from m365emu.faults import Fault
from posthouse.decide.identities import ClientSecret, Password
from posthouse.decide.outbound import Submission
from posthouse.decide.ways import Way, limits_of
from posthouse.deliver.worker import Worker
from posthouse.mail.message import Message
from posthouse.mail.outcome import Deferred, Delivered, Scope, Unknown

CONTENT = b"From: printer@contoso.example\r\nMessage-ID: <1@contoso.example>\r\nSubject: scan\r\n\r\n.A page\r\n"


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = new_worker()
    yield made
    made.close()


def by_token(emulator: Emulator, secret: Path, **settings: object) -> Way:
    app = ClientSecret(
        name="app",
        tenant=emulator.tenant.id,
        client_id=emulator.client_id,
        client_secret=f"file:{secret}",
        authority=str(settings.pop("authority", emulator.authority)),
        ca=emulator.ca,
    )
    return submission(emulator, app, **settings)


def submission(emulator: Emulator, identity: ClientSecret | Password, **settings: object) -> Way:
    host, _, port = emulator.submission.partition(":")
    connector = Submission(
        **{  # type: ignore[arg-type]
            "name": "m365",
            "host": host,
            "port": int(port),
            "identity": identity.name,
            "mailboxes": "relay@contoso.example",
            "tls": "domain",
            "tls_domain": "smtp.office365.com",
            "tls_ca": emulator.ca,
            "connect_timeout": timedelta(seconds=2),
            "on_unknown": "retry",
            **settings,
        }
    )
    return Way(connector=connector, identity=identity, limits=limits_of(connector))


@pytest.fixture
def secret(emulator: Emulator, tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(emulator.client_secret + "\n")
    return path


def scan(sender: str = "relay@contoso.example", *recipients: str) -> Message:
    return message(recipients or ("alice@contoso.example",), CONTENT, sender=sender)


async def test_a_message_arrives_by_token(emulator: Emulator, worker: Worker, secret: Path) -> None:
    content = CONTENT.replace(b"printer@", b"relay@")
    letter = message(("alice@contoso.example",), content, sender="relay@contoso.example")
    result = await one(worker, by_token(emulator, secret), letter)
    assert isinstance(result.outcome, Delivered), result
    assert "Hostname=" in str(result.outcome.reply)
    assert result.detail["auth"] == "XOAUTH2"
    assert result.detail["tls"] == "TLSv1.3"
    (record,) = await emulator.wait_for_messages("alice@contoso.example")
    assert emulator.content(record).endswith(b"Subject: scan\r\n\r\n.A page\r\n")


async def test_a_message_arrives_by_password(emulator: Emulator, worker: Worker, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(emulator.tenant.mailboxes["relay@contoso.example"].password)
    connector = submission(emulator, Password(name="relay", password=f"file:{password}"))
    letter = message(
        ("alice@contoso.example",), CONTENT.replace(b"printer@", b"relay@"), sender="relay@contoso.example"
    )
    result = await one(worker, connector, letter)
    assert isinstance(result.outcome, Delivered), result
    assert result.detail["auth"] == "LOGIN"


async def test_one_token_serves_many_sessions(emulator: Emulator, worker: Worker, secret: Path) -> None:
    letter = message(
        ("alice@contoso.example",), CONTENT.replace(b"printer@", b"relay@"), sender="relay@contoso.example"
    )
    connector = by_token(emulator, secret)
    results = await asyncio.gather(*(one(worker, connector, letter) for _ in range(9)))
    assert all(isinstance(r.outcome, Delivered) for r in results)
    assert emulator.statistics.tokens.total() == 1


async def test_a_wrong_secret_waits_with_the_authoritys_words_and_without_the_secret(
    emulator: Emulator, worker: Worker, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("planted-wrong-secret")
    result = await one(worker, by_token(emulator, wrong), scan())
    assert isinstance(result.outcome, Deferred)
    assert result.outcome.scope is Scope.MAILBOX and result.outcome.needs_operator
    assert "AADSTS7000215" in result.outcome.reason
    assert "planted-wrong-secret" not in repr(result)


async def test_an_authority_that_is_down_is_named(emulator: Emulator, worker: Worker, secret: Path) -> None:
    connector = by_token(emulator, secret, authority="https://127.0.0.1:1/tenant")
    outcome = (await one(worker, connector, scan())).outcome
    assert isinstance(outcome, Deferred) and outcome.scope is Scope.HOP
    assert "no token from 127.0.0.1" in outcome.reason


async def test_sending_as_somebody_else_waits_for_the_right_to_do_so_and_is_told_in_short(
    emulator: Emulator, worker: Worker, secret: Path
) -> None:
    content = CONTENT.replace(b"printer@", b"bob@")
    letter = message(("alice@contoso.example",), content, sender="bob@contoso.example")
    outcome = (await one(worker, by_token(emulator, secret), letter)).outcome
    assert isinstance(outcome, Deferred) and outcome.scope is Scope.MESSAGE
    assert outcome.explanation_id == "send-as-denied"
    assert outcome.reply is not None and outcome.reply.enhanced == "5.2.252"
    assert "SendAsDenied" in outcome.reply.text and "BeginDiagnosticData" not in outcome.reply.text


FAULTS = [
    (Fault(stage="auth", reply="535 5.7.3 Authentication unsuccessful"), Deferred),
    (Fault(stage="mail", reply="530 5.7.57 Client not authenticated to send mail."), Deferred),
    (Fault(stage="end-of-data", reply="432 4.3.2 Concurrent connections limit exceeded."), Deferred),
    (
        Fault(stage="end-of-data", reply="554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
        Deferred,
    ),
    (Fault(stage="token", reply="503 down"), Deferred),
    (Fault(stage="connect"), Deferred),
    (Fault(stage="end-of-data", keep=True), Unknown),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[f"{f.stage} {f.reply}"[:40] for f, _ in FAULTS])
async def test_refusals_about_the_mailbox_or_the_service_never_bounce_a_message(
    emulator: Emulator, worker: Worker, secret: Path, fault: Fault, kind: type
) -> None:
    emulator.faults.order(fault)
    letter = message(
        ("alice@contoso.example",), CONTENT.replace(b"printer@", b"relay@"), sender="relay@contoso.example"
    )
    outcome = (await one(worker, by_token(emulator, secret), letter)).outcome
    assert isinstance(outcome, kind), outcome
    if isinstance(outcome, Deferred):
        assert outcome.scope in (Scope.HOP, Scope.MAILBOX)


async def test_a_refused_token_is_fetched_anew(emulator: Emulator, worker: Worker, secret: Path) -> None:
    emulator.faults.order(Fault(stage="auth", reply="535 5.7.3 Authentication unsuccessful"))
    letter = message(
        ("alice@contoso.example",), CONTENT.replace(b"printer@", b"relay@"), sender="relay@contoso.example"
    )
    connector = by_token(emulator, secret)
    assert isinstance((await one(worker, connector, letter)).outcome, Deferred)
    assert isinstance((await one(worker, connector, letter)).outcome, Delivered)
