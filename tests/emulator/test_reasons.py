"""Every refusal can be provoked: the table of how, and proof that it leaves none out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from tests.emulator.mx_talk import CONTENT, OFFICE, MxTalk
from tests.emulator.talk import CLIENT_ID, Talk, b64, bearer, logged_on, make_token

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.replies import Reason
from m365emu.smtp.desk import Tls
from m365emu.tenant import Tenant

RELAY = "relay@contoso.example"
ALICE = "alice@contoso.example"
BY_ADDRESS = {"sender_ip_addresses": [OFFICE]}

Provocation = Callable[[Emulator, ManualClock], Awaitable[None] | None]


def patched(patch: dict[str, object], act: Callable[[Emulator], object]) -> Provocation:
    """Change the tenant, then act."""

    def provoke(emulator: Emulator, clock: ManualClock) -> None:
        emulator.control.patch(patch)
        act(emulator)

    return provoke


def said(*lines: str) -> Provocation:
    """Say lines after a log-on."""

    def provoke(emulator: Emulator, clock: ManualClock) -> None:
        logged_on(emulator).send("".join(f"{line}\r\n" for line in lines).encode())

    return provoke


def before_log_on(line: str) -> Provocation:
    """Say a line on an encrypted session that nobody logged on to."""

    def provoke(emulator: Emulator, clock: ManualClock) -> None:
        Talk(emulator).encrypt().send(f"{line}\r\n".encode())

    return provoke


def with_switch(name: str) -> Provocation:
    return patched({"switches": {name: True}}, by_password)


def with_mailbox(**fields: object) -> Provocation:
    return patched({"mailboxes": {RELAY: fields}}, submit)


def of_account(**fields: object) -> Provocation:
    return patched({"mailboxes": {RELAY: fields}}, by_password)


def at_mx(sender: str = "a@b.example", recipient: str = ALICE, client: str = OFFICE) -> Callable[[Emulator], object]:
    return lambda emulator: MxTalk(emulator, client).ask(sender, recipient)


def with_connector(**fields: object) -> Provocation:
    return patched({"connectors": {"office": {**BY_ADDRESS, **fields}}}, at_mx(RELAY))


def by_password(emulator: Emulator, password: str = "relay-password") -> None:
    talk = Talk(emulator).encrypt()
    talk.send(f"AUTH LOGIN {b64(RELAY)}\r\n{b64(password)}\r\n".encode())


def submit(emulator: Emulator, content: bytes = b"From: relay@contoso.example\r\n\r\nHello\r\n") -> None:
    logged_on(emulator).submit(content)


def submit_twice(emulator: Emulator) -> None:
    for _ in range(2):
        logged_on(emulator).submit()


def submit_and_go_on(emulator: Emulator) -> None:
    submit(emulator)
    logged_on(emulator).say(f"MAIL FROM:<{RELAY}>")


def submit_as_alice(emulator: Emulator, clock: ManualClock) -> None:
    logged_on(emulator).submit(sender=ALICE)


def submit_four_at_once(emulator: Emulator, clock: ManualClock) -> None:
    talks = [logged_on(emulator) for _ in range(4)]
    for talk in talks:
        talk.begin()
    talks[-1].send(b".\r\n")


def fill_the_disk(emulator: Emulator, clock: ManualClock) -> None:
    emulator.store.directory.rename(emulator.store.directory.with_name("aside"))
    submit(emulator)
    emulator.store.directory.with_name("aside").rename(emulator.store.directory)


def lock(emulator: Emulator, clock: ManualClock) -> None:
    for _ in range(11):
        by_password(emulator, "wrong")


def old_tls(emulator: Emulator, server_name: str) -> None:
    talk = Talk(emulator)
    talk.send(b"EHLO client.example\r\nSTARTTLS\r\n")
    talk.session.secured(Tls(version="TLSv1", cipher="AES128-SHA", server_name=server_name))
    talk.send(f"EHLO client.example\r\nAUTH LOGIN {b64(RELAY)}\r\n{b64('relay-password')}\r\n".encode())


def high_volume(act: Callable[[Emulator], object]) -> Provocation:
    account = {"kind": "hve", "password": "bulk-password", "allowed_apps": ["object-1"]}
    application = {"roles": ["Mail.Send"]}
    return patched({"mailboxes": {"bulk@contoso.example": account}, "applications": {CLIENT_ID: application}}, act)


def late_token(emulator: Emulator) -> None:
    token = make_token(emulator, seconds=300)
    Talk(emulator).encrypt().say(f"AUTH XOAUTH2 {bearer('bulk@contoso.example', token)}")


def send_outside(emulator: Emulator) -> None:
    talk = logged_on(emulator, "bulk@contoso.example")
    talk.submit(b"From: bulk@contoso.example\r\n\r\n", "bulk@contoso.example", ("x@example.net",))


def without_permission(emulator: Emulator) -> None:
    talk = Talk(emulator).encrypt()
    talk.say(f"AUTH XOAUTH2 {bearer(ALICE, make_token(emulator))}")
    talk.submit(sender=ALICE)


def deliver(emulator: Emulator, content: bytes = CONTENT, client: str = OFFICE) -> None:
    MxTalk(emulator, client).deliver(content=content)


def call_oneself_the_server(emulator: Emulator, clock: ManualClock) -> None:
    MxTalk(emulator, hello="FR2DEU01FT042.mail.protection.outlook.com").say("MAIL FROM:<a@b.example>")


def deliver_twice(emulator: Emulator) -> None:
    deliver(emulator)
    MxTalk(emulator, OFFICE).ask("a@b.example", ALICE)


async def connect(emulator: Emulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = emulator.submission.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    return reader, writer


def connected(patch: dict[str, object], seconds: int = 0) -> Provocation:
    """Change the tenant, connect twice, let time pass."""

    async def provoke(emulator: Emulator, clock: ManualClock) -> None:
        emulator.control.patch({"limits": patch})
        _, first = await connect(emulator)
        reader, second = await connect(emulator)
        if seconds:
            clock.advance(timedelta(seconds=seconds))
            await reader.read()
        first.close()
        second.close()

    return provoke


async def stop(emulator: Emulator, clock: ManualClock) -> None:
    reader, writer = await connect(emulator)
    await emulator.stop()
    await reader.read()
    writer.close()


OTHER = {"id": "other", "name": "Fabrikam", "domains": ["fabrikam.example"], "mailboxes": {"x@fabrikam.example": {}}}
IPV6 = "2001:db8::7"

PROVOCATIONS: dict[str, Provocation] = {
    "syntax": said("XYZ"),
    "sequence": said("DATA"),
    "auth_cancelled": before_log_on("AUTH LOGIN\r\n*"),
    "auth_type": before_log_on("AUTH PLAIN"),
    "not_authenticated": before_log_on("MAIL FROM:<a@b.example>"),
    "identity": before_log_on("AUTH XOAUTH2 abc="),
    "smtp_auth_disabled_tenant": with_switch("smtp_client_authentication_disabled"),
    "smtp_auth_disabled_mailbox": of_account(smtp_client_authentication_disabled=True),
    "credentials": lambda emulator, clock: by_password(emulator, "wrong"),
    "basic_disabled": with_switch("basic_authentication_disabled"),
    "security_defaults": with_switch("security_defaults"),
    "conditional_access": with_switch("conditional_access_blocks"),
    "locked": lock,
    "account_issue": of_account(account="disabled"),
    "password_expired": of_account(account="password-expired"),
    "federation_unreachable": patched({"switches": {"federated_sign_in": "unreachable"}}, by_password),
    "federation_insecure": patched({"switches": {"federated_sign_in": "insecure"}}, by_password),
    "basic_retired": with_switch("basic_authentication_retired"),
    "legacy_tls": lambda emulator, clock: old_tls(emulator, "smtp.office365.com"),
    "legacy_tls_organization": lambda emulator, clock: old_tls(emulator, "smtp-legacy.office365.com"),
    "token_expires_soon": high_volume(late_token),
    "error_limit": said(*["XYZ"] * 5),
    "idle": connected({"idle_seconds": 10}, seconds=11),
    "session_time": connected({"session_seconds": 10}, seconds=11),
    "connections": connected({"connections": 1}),
    "connections_per_address": connected({"connections_per_address": 1}),
    "service_stops": stop,
    "resources": fill_the_disk,
    "too_many_recipients": patched(
        {"mailboxes": {RELAY: {"recipient_limit": 1}}},
        lambda emulator: logged_on(emulator).send(
            f"MAIL FROM:<{RELAY}>\r\nRCPT TO:<{ALICE}>\r\nRCPT TO:<{ALICE}>\r\n".encode()
        ),
    ),
    "message_size": with_mailbox(send_octets=10),
    "header_size": patched({"limits": {"header_octets": 10}}, submit),
    "bare_line_feeds": patched(
        {"switches": {"bare_line_feeds": "refuse"}},
        lambda emulator: submit(emulator, b"From: relay@contoso.example\r\n\r\nHel\nlo\r\n"),
    ),
    "partial_message": lambda emulator, clock: submit(emulator, b"Content-Type: message/partial\r\n\r\n"),
    "several_authors": lambda emulator, clock: submit(emulator, f"From: {RELAY}, {ALICE}\r\n\r\n".encode()),
    "no_author": lambda emulator, clock: submit(emulator, b"From: nobody\r\n\r\n"),
    "restricted_sender": with_mailbox(restricted=True),
    "message_rate": patched(
        {"switches": {"excess_messages": "reject"}, "limits": {"messages_per_minute": 1}},
        submit_and_go_on,
    ),
    "concurrency": submit_four_at_once,
    "send_as_denied": submit_as_alice,
    "recipient_quota": patched({"limits": {"recipients_per_day": 1}}, submit_twice),
    "mailbox_full": with_mailbox(full=True),
    "outbound_spam": with_mailbox(spam_verdict="RefuseQuota"),
    "external_recipient": high_volume(send_outside),
    "mailbox_logon": patched({"assumptions": {"missing_mailbox_permission": "at-submission"}}, without_permission),
    "bad_hello": call_oneself_the_server,
    "tenant_attribution": patched({}, at_mx(RELAY, "x@example.net")),
    "partner_restriction": with_connector(
        connector_type="Partner", restrict_domains_to_ip_addresses=True, sender_ip_addresses=["192.0.2.1"]
    ),
    "direct_send": patched({"switches": {"reject_direct_send": True}}, at_mx(RELAY)),
    "unknown_recipient": patched({}, at_mx(recipient="nobody@contoso.example")),
    "domain_not_accepted": patched({}, at_mx(recipient="x@example.net")),
    "several_tenants": patched(
        {"others": {"f": OTHER}}, lambda emulator: MxTalk(emulator).ask("a@b.example", ALICE, "x@fabrikam.example")
    ),
    "region": patched({"switches": {"region_mismatch": True}}, at_mx()),
    "banned_address": patched({"blocked_addresses": [OFFICE]}, at_mx()),
    "blocked_connector": with_connector(blocked=True),
    "tls_required": with_connector(require_tls=True),
    "busy": patched({"limits": {"mx_messages_per_minute": 1}}, deliver_twice),
    "ipv6_unauthenticated": patched(
        {"switches": {"ipv6": True}, "reverse_names": {IPV6: "b.example"}},
        lambda emulator: deliver(emulator, client=IPV6),
    ),
    "ipv6_without_name": patched({"switches": {"ipv6": True}}, at_mx(client=IPV6)),
    "ipv6_not_accepted": patched({}, at_mx(client=IPV6)),
    "dmarc": patched({"outside": {"elsewhere.example": {"dmarc": "reject"}}}, deliver),
    "hops": patched({"limits": {"hops": 1}}, lambda emulator: deliver(emulator, b"Received: x\r\n" * 2 + CONTENT)),
}


def test_the_table_leaves_no_reason_out() -> None:
    assert set(PROVOCATIONS) == set(get_args(Reason)) - {""}


@pytest.fixture
async def listening(directory: Path, tenant: Tenant, clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        yield emulator


@pytest.mark.parametrize("reason", PROVOCATIONS)
async def test_each_reason_can_be_provoked(reason: str, listening: Emulator, clock: ManualClock) -> None:
    outcome = PROVOCATIONS[reason](listening, clock)
    if outcome is not None:
        await outcome
    refused = listening.control.report()["refused"]
    assert isinstance(refused, dict) and reason in refused
