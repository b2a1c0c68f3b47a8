"""Log-ins over TCP into the real receiver: mechanisms, delays, bans, and that no secret is ever written down."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import scramp
from tests.unit.net.authority import Authority
from tests.unit.receive.office import HOSTNAME, STRANGERS, Client, Office, listener, open_office

from posthouse.net.certificates import ServerCertificates
from posthouse.receive.settings import ListenerSettings, LoginSettings
from posthouse.trace.protocol_log import ProtocolLog
from posthouse.trace.settings import ProtocolLogSettings

PASSWORD = "correct horse battery"
LETTER = "From: scanner@example.com\r\nSubject: Hello\r\n\r\nHi"


def clear(**changes: object) -> ListenerSettings:
    """A listener that takes passwords in clear text."""
    wanted: dict[str, object] = {"auth_without_tls": True, "profile": "legacy"}
    return listener(**(wanted | changes))


def text64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


async def greeted(office: Office) -> Client:
    client = await office.client()
    await client.greet()
    return client


async def test_an_account_may_send_as_itself_and_nobody_else(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("Scanner@example.com", PASSWORD)
        client = await greeted(office)
        assert await client.plain("scanner@example.com", PASSWORD) == "235 2.7.0 Authentication successful"
        assert (await client.mail(LETTER, sender="boss@example.com")).startswith("550 5.7.60 ")
        assert (await client.say("MAIL FROM:<>")).startswith("550 5.7.60 ")
        assert (await client.mail(LETTER, sender="scanner@example.com")).startswith("250 ")
        session = office.intake.messages[0].session
        assert (str(session.principal), session.protocol) == ("account:Scanner@example.com", "ESMTPA")
        assert office.store.used == [("Scanner@example.com", None)]
        (login,) = (event for event in office.intake.events if event.kind == "login")
        assert login.detail["result"] == "accepted"


async def test_login_prompts_are_exactly_what_devices_expect(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("scanner", PASSWORD, ["@example.com"])
        client = await greeted(office)
        assert await client.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await client.say(text64(b"scanner")) == "334 UGFzc3dvcmQ6"
        assert (await client.say(text64(PASSWORD.encode()))).startswith("235 ")


async def test_passwords_are_not_offered_before_tls(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    authority = Authority(tmp_path / "tls")
    pair = authority.issue(HOSTNAME)
    certificates = ServerCertificates(pair.certificate, pair.key)
    async with open_office(tmp_path, listener(tls="starttls"), certificates=certificates, flow=STRANGERS) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        client = await office.client()
        assert "AUTH" not in await client.greet()
        assert (await client.plain("scanner", PASSWORD)).startswith("530 5.7.0 ")
        await client.start_tls(authority.client_context())
        assert "250-AUTH PLAIN LOGIN SCRAM-SHA-256" in await client.say("EHLO x")
        assert (await client.plain("scanner", PASSWORD)).startswith("235 ")


async def test_a_device_password_tells_which_device_it_was(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("scanner", None, ["*"])
        secret = await office.accounts.add_app_password("scanner", "second floor")
        client = await greeted(office)
        assert (await client.plain("scanner", secret.replace("-", "").upper())).startswith("235 ")
        await client.mail(LETTER)
        principal = office.intake.messages[0].session.principal
        assert principal is not None and principal.label == "second floor"
        await office.accounts.revoke_app_password("scanner", "second floor")
        assert (await (await greeted(office)).plain("scanner", secret)).startswith("535 ")


async def test_a_disabled_account_and_an_unknown_one_are_refused_in_the_same_words(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        await office.accounts.set_disabled("scanner", True)
        client = await greeted(office)
        assert await client.plain("scanner", PASSWORD) == "535 5.7.3 Authentication unsuccessful"
        assert await client.plain("nobody", PASSWORD) == "535 5.7.3 Authentication unsuccessful"
        reasons = [event.detail["reason"] for event in office.intake.events if event.kind == "login"]
        assert reasons == ["the account is disabled", "unknown account"]


async def test_an_account_that_is_disabled_loses_its_open_session_too(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("scanner@example.com", PASSWORD)
        client = await greeted(office)
        await client.plain("scanner@example.com", PASSWORD)
        assert (await client.mail(LETTER, sender="scanner@example.com")).startswith("250 ")
        await office.accounts.set_disabled("scanner@example.com", True)
        office.receiver.accounts_changed()
        assert (await client.say("MAIL FROM:<scanner@example.com>")).startswith("530 5.7.57 ")


async def test_a_changed_password_counts_at_once_although_checks_are_remembered(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        for _ in range(2):
            assert (await (await greeted(office)).plain("scanner", PASSWORD)).startswith("235 ")
        await office.accounts.set_password("scanner", "another long password")
        assert (await (await greeted(office)).plain("scanner", PASSWORD)).startswith("535 ")
        assert (await (await greeted(office)).plain("scanner", "another long password")).startswith("235 ")


async def test_guessing_is_delayed_then_the_address_is_banned(tmp_path: Path) -> None:
    login = LoginSettings(failures_before_ban=4, ban_for=timedelta(minutes=15))
    async with open_office(tmp_path, clear(), flow=STRANGERS, login=login) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        client = await greeted(office)
        for n in range(4):
            assert (await client.plain(f"name{n}", f"guess {n}")).startswith("535 ")
        assert office.slept[:3] == [0.5, 1.0, 2.0]
        banned = await office.client()
        assert (await banned.rest()).startswith(b"421 4.7.0 Too many failed log-ins")
        assert office.receiver.statistics.logins_refused == 4


async def test_a_device_with_an_outdated_password_is_not_taken_for_a_guesser(tmp_path: Path) -> None:
    login = LoginSettings(failures_before_ban=3)
    async with open_office(tmp_path, clear(max_errors=100), flow=STRANGERS, login=login) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        client = await greeted(office)
        for _ in range(10):
            assert (await client.plain("scanner", "last year's password")).startswith("535 ")
        assert (await (await greeted(office)).plain("scanner", PASSWORD)).startswith("235 ")


async def test_a_store_that_does_not_answer_is_temporary_and_counts_for_nobody(tmp_path: Path) -> None:
    login = LoginSettings(failures_before_ban=1)
    async with open_office(tmp_path, clear(), flow=STRANGERS, login=login) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        office.store.is_broken = True
        client = await greeted(office)
        assert await client.plain("scanner", PASSWORD) == "454 4.7.0 Temporary authentication failure"
        office.store.is_broken = False
        assert (await client.plain("scanner", PASSWORD)).startswith("235 ")


async def test_cram_md5_works_where_it_is_allowed(tmp_path: Path) -> None:
    login = LoginSettings(allow_cram_md5=True)
    async with open_office(tmp_path, clear(auth=["CRAM-MD5"]), flow=STRANGERS, login=login) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        for password, expected in ((PASSWORD, "235 "), ("wrong password", "535 ")):
            client = await greeted(office)
            challenge = base64.b64decode((await client.say("AUTH CRAM-MD5")).partition(" ")[2])
            digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
            assert (await client.say(text64(f"scanner {digest}".encode()))).startswith(expected)


async def test_cram_md5_finds_no_secret_where_it_is_not_allowed(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(auth=["CRAM-MD5"]), flow=STRANGERS) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        assert office.store.kept["scanner"].sealed_cram_secret == b""


@pytest.mark.parametrize(("password", "expected"), [(PASSWORD, "235 "), ("wrong password", "535 ")])
async def test_scram_works_with_a_client_that_nobody_here_wrote(tmp_path: Path, password: str, expected: str) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        await office.accounts.create("scanner", PASSWORD, ["*"])
        mechanism = scramp.ScramClient(["SCRAM-SHA-256"], "scanner", password)
        client = await greeted(office)
        reply = await client.say("AUTH SCRAM-SHA-256 " + text64(mechanism.get_client_first().encode()))
        mechanism.set_server_first(base64.b64decode(reply.partition(" ")[2]).decode())
        reply = await client.say(text64(mechanism.get_client_final().encode()))
        if expected == "235 ":
            mechanism.set_server_final(base64.b64decode(reply.partition(" ")[2]).decode())
            reply = await client.say("")
        assert reply.startswith(expected)


async def test_an_unknown_account_shows_the_same_scram_salt_each_time(tmp_path: Path) -> None:
    async with open_office(tmp_path, clear(), flow=STRANGERS) as office:
        salts = set()
        for _ in range(2):
            client = await greeted(office)
            reply = await client.say("AUTH SCRAM-SHA-256 " + text64(b"n,,n=nobody,r=abcdef"))
            salts.add(base64.b64decode(reply.partition(" ")[2]).decode().split(",")[1])
        assert len(salts) == 1


async def test_a_client_certificate_logs_its_account_in(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    authority = Authority(tmp_path / "tls")
    pair = authority.issue(HOSTNAME)
    certificates = ServerCertificates(pair.certificate, pair.key, authority.file)
    wanted = listener(tls="implicit", auth=["PLAIN", "EXTERNAL"], client_certificates=True)
    async with open_office(tmp_path, wanted, certificates=certificates, flow=STRANGERS) as office:
        await office.accounts.create("device.example.com", None, ["*"])
        without = await office.client(tls=authority.client_context())
        assert "EXTERNAL" not in await without.greet()
        device = authority.issue("device.example.com", as_file="device")
        client = await office.client(tls=authority.client_context(device))
        assert "AUTH PLAIN EXTERNAL" in await client.greet()
        assert (await client.say("AUTH EXTERNAL " + text64(b"boss"))).startswith("535 ")
        assert (await client.say("AUTH EXTERNAL =")).startswith("235 ")


async def test_no_secret_reaches_events_replies_or_the_protocol_log(tmp_path: Path) -> None:
    secrets = ["hunter2-hunter2-hunter2", "another-secret-in-login", "secret typed as a name"]
    log = ProtocolLog(
        ProtocolLogSettings(directory=tmp_path / "log"), hostname=HOSTNAME, version="1", clock=lambda: datetime.now(UTC)
    )
    (tmp_path / "spool").mkdir()
    wanted = clear(protocol_log=True, max_errors=100)
    async with open_office(tmp_path / "spool", wanted, flow=STRANGERS, protocol_log=log) as office:
        await office.accounts.create("scanner", secrets[0], ["*"])
        client = await greeted(office)
        replies = [
            await client.plain("scanner", secrets[1]),
            await client.plain(secrets[2], "x"),
            await client.say("AUTH LOGIN " + text64(b"scanner")),
            await client.say(text64(secrets[1].encode())),
            await client.plain("scanner", secrets[0]),
            await client.mail(LETTER),
        ]
        assert [reply[:3] for reply in replies] == ["535", "535", "334", "535", "235", "250"]
        shown = repr(office.intake.events) + repr(replies) + repr(office.store.kept) + repr(office.intake.messages)
    log.close()
    written = b"".join(Path(root, name).read_bytes() for root, _, names in os.walk(tmp_path / "log") for name in names)
    assert b"EHLO printer" in written and b"235 2.7.0" in written
    for secret in secrets:
        for form in (secret, text64(secret.encode()).rstrip("="), hashlib.sha256(secret.encode()).hexdigest()):
            assert form not in shown
            assert form.encode() not in written
