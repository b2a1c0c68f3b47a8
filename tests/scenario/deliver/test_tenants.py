"""Several tenants in one node: each identity gets its own tokens, and neither opens the other's mailboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.deliver.jobs import message, new_worker, one

from m365emu.applications import Application, Secret
from m365emu.clock import SystemClock
from m365emu.emulator import Emulator, prepare
from m365emu.tenant import Mailbox, Tenant
from m365emu.tenant_file import read_tenant, tenant_file
from posthouse.decide.identities import ClientSecret
from posthouse.decide.outbound import Submission
from posthouse.decide.ways import Way, limits_of
from posthouse.mail.message import Message
from posthouse.mail.outcome import Deferred, Delivered, Scope

FABRIKAM = "11111111-2222-4333-8444-555555555555"
APP = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    home = tmp_path / "emulator"
    prepare(home, SystemClock())
    fabrikam = Tenant(
        id=FABRIKAM,
        name="Fabrikam",
        domains=("fabrikam.example",),
        mailboxes={"post@fabrikam.example": Mailbox(full_access=(APP,))},
        applications={APP: Application(name="Relay", object_id=APP, secrets=(Secret(value="fabrikam-secret"),))},
    )
    both = msgspec.structs.replace(read_tenant(tenant_file(home)), others={"fabrikam": fabrikam})
    async with Emulator(home, both) as running:
        yield running


def way(emulator: Emulator, name: str, tenant: str, client_id: str, secret: Path, mailbox: str) -> Way:
    host, _, port = emulator.submission.rpartition(":")
    connector = Submission(
        name=name, identity=name, mailboxes=(mailbox,), host=host, port=int(port), tls_ca=emulator.ca
    )
    identity = ClientSecret(
        name=name,
        tenant=tenant,
        client_id=client_id,
        client_secret=f"file:{secret}",
        authority=f"{emulator.authority.rpartition('/')[0]}/{tenant}",
        ca=emulator.ca,
    )
    return Way(connector=connector, identity=identity, limits=limits_of(connector))


def letter(sender: str) -> Message:
    content = f"From: {sender}\r\nMessage-ID: <{sender}>\r\nSubject: x\r\n\r\nbody\r\n".encode()
    return message((sender,), content, sender=sender)


@pytest.fixture
def ways(emulator: Emulator, tmp_path: Path) -> tuple[Way, Way]:
    contoso, fabrikam = tmp_path / "contoso", tmp_path / "fabrikam"
    contoso.write_text(emulator.client_secret)
    fabrikam.write_text("fabrikam-secret")
    return (
        way(emulator, "contoso", emulator.tenant.id, emulator.client_id, contoso, "relay@contoso.example"),
        way(emulator, "fabrikam", FABRIKAM, APP, fabrikam, "post@fabrikam.example"),
    )


async def test_each_tenants_mail_goes_by_its_own_identity(emulator: Emulator, ways: tuple[Way, Way]) -> None:
    worker = new_worker()
    for out, mailbox in zip(ways, ("relay@contoso.example", "post@fabrikam.example"), strict=True):
        result = await one(worker, out, letter(mailbox))
        assert isinstance(result.outcome, Delivered), result
        (record,) = await emulator.wait_for_messages(mailbox)
        assert record.mailbox == mailbox
    assert emulator.statistics.tokens["issued"] == 2
    worker.close()


async def test_one_tenants_token_opens_no_mailbox_of_the_other(emulator: Emulator, ways: tuple[Way, Way]) -> None:
    contoso, fabrikam = ways
    stranger = Way(
        connector=contoso.connector.model_copy(update={"mailboxes": ("post@fabrikam.example",)}),
        identity=contoso.identity,
        limits=fabrikam.limits,
    )
    worker = new_worker()
    outcome = (await one(worker, stranger, letter("post@fabrikam.example"))).outcome
    assert isinstance(outcome, Deferred) and outcome.scope is Scope.MAILBOX
    assert outcome.reply is not None and outcome.reply.code == 535
    assert emulator.store.messages("post@fabrikam.example") == []
    worker.close()
