"""The emulator on real sockets: ordinary clients, TLS, limits of a connection, stopping and starting again."""

import asyncio
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests.emulator.talk import logged_on

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import Tenant

SERVE = ["--submission", "127.0.0.1:0", "--https", "127.0.0.1:0", "--http", "127.0.0.1:0"]


def client(emulator: Emulator) -> smtplib.SMTP:
    host, _, port = emulator.submission.rpartition(":")
    return smtplib.SMTP(host, int(port), timeout=10)


def send_with_smtplib(emulator: Emulator, content: bytes) -> None:
    with client(emulator) as smtp:
        smtp.starttls(context=ssl.create_default_context(cafile=emulator.ca))
        smtp.login("relay@contoso.example", "relay-password")
        smtp.sendmail("relay@contoso.example", ["alice@contoso.example"], content)


async def connect(emulator: Emulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = emulator.submission.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_smtplib_logs_on_and_delivers(running: Emulator) -> None:
    content = b"From: relay@contoso.example\r\n\r\n.dots\r\n..more\r\n"
    await asyncio.to_thread(send_with_smtplib, running, content)
    (record,) = await running.wait_for_messages("alice@contoso.example")
    assert running.content(record) == content
    assert record.tls_version == "TLSv1.3" and record.authentication == "LOGIN"


async def test_a_message_of_twenty_megabytes_arrives_whole(running: Emulator) -> None:
    content = b"From: relay@contoso.example\r\n\r\n" + b"0123456789abcdef\r\n" * 1_100_000
    await asyncio.to_thread(send_with_smtplib, running, content)
    (record,) = await running.wait_for_messages("alice@contoso.example")
    assert running.content(record) == content


async def test_text_sent_in_clear_along_with_starttls_is_thrown_away(running: Emulator) -> None:
    reader, writer = await connect(running)
    await reader.readline()
    writer.write(b"EHLO client.example\r\nSTARTTLS\r\nNOOP\r\nNOOP\r\n")
    assert (await reader.readuntil(b"220 2.0.0 SMTP server ready\r\n")).count(b"\r\n") == 11
    await writer.start_tls(ssl.create_default_context(cafile=running.ca), server_hostname="smtp.office365.com")
    writer.write(b"MAIL FROM:<relay@contoso.example>\r\n")
    assert await reader.readline() == b"503 5.5.2 Send hello first\r\n"
    writer.close()


async def test_rubbish_instead_of_a_handshake_ends_the_connection_without_clear_text(running: Emulator) -> None:
    reader, writer = await connect(running)
    writer.write(b"EHLO client.example\r\nSTARTTLS\r\n")
    await reader.readuntil(b"220 2.0.0 SMTP server ready\r\n")
    writer.write(b"EHLO client.example\r\n" * 10)
    assert b"250" not in await reader.read()
    writer.close()


async def test_tls_1_1_is_shaken_hands_with_and_refused_at_auth(running: Emulator) -> None:
    context = ssl.create_default_context(cafile=running.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    def talk() -> tuple[int, bytes]:
        with client(running) as smtp:
            smtp.starttls(context=context)
            smtp.ehlo()
            return smtp.docmd("AUTH", "LOGIN")

    code, text = await asyncio.to_thread(talk)
    assert code == 421 and text.startswith(b"4.7.66 TLS 1.0 and 1.1 are not supported.")


async def test_the_name_that_a_client_asks_for_leads_to_the_legacy_host(running: Emulator) -> None:
    running.control.patch({"switches": {"allow_legacy_tls_clients": True}})
    context = ssl.create_default_context(cafile=running.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1

    async def auth(name: str) -> bytes:
        reader, writer = await connect(running)
        writer.write(b"EHLO client.example\r\nSTARTTLS\r\n")
        await reader.readuntil(b"220 2.0.0 SMTP server ready\r\n")
        await writer.start_tls(context, server_hostname=name)
        writer.write(b"EHLO client.example\r\n")
        await reader.readuntil(b"250 SMTPUTF8\r\n")
        writer.write(b"AUTH LOGIN\r\n")
        line = await reader.readline()
        writer.close()
        return line

    assert (await auth("smtp.office365.com")).startswith(b"421 4.7.66 ")
    assert await auth("smtp-legacy.office365.com") == b"334 VXNlcm5hbWU6\r\n"


async def test_a_session_that_lasts_too_long_is_ended_however_busy_it_is(
    directory: Path, tenant: Tenant, clock: ManualClock
) -> None:
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        emulator.control.patch({"limits": {"session_seconds": 600}})
        reader, writer = await connect(emulator)
        await reader.readline()
        for _ in range(5):
            clock.advance(timedelta(seconds=110))
            writer.write(b"NOOP\r\n")
            assert await reader.readline() == b"250 2.0.0 OK\r\n"
        clock.advance(timedelta(seconds=51))
        assert await reader.read() == b"421 4.4.1 Connection timed out\r\n"
        writer.close()


async def test_a_silent_client_is_told_and_let_go(directory: Path, tenant: Tenant, clock: ManualClock) -> None:
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        reader, writer = await connect(emulator)
        await reader.readline()
        clock.advance(timedelta(seconds=200))
        writer.write(b"NOOP\r\n")
        assert await reader.readline() == b"250 2.0.0 OK\r\n"
        clock.advance(timedelta(seconds=200))
        writer.write(b"NOOP\r\n")
        assert await reader.readline() == b"250 2.0.0 OK\r\n"
        clock.advance(timedelta(seconds=301))
        assert await reader.read() == b"451 4.7.0 Timeout waiting for client input\r\n"
        writer.close()


async def test_a_message_that_is_held_back_is_answered_when_its_time_has_come(
    directory: Path, tenant: Tenant, clock: ManualClock
) -> None:
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        emulator.control.patch({"limits": {"messages_per_minute": 1}})
        logged_on(emulator).submit()
        sending = asyncio.create_task(
            asyncio.to_thread(send_with_smtplib, emulator, b"From: relay@contoso.example\r\n\r\nlate\r\n")
        )
        while not emulator.statistics.delayed.total():
            await asyncio.sleep(0)
        clock.advance(timedelta(seconds=59))
        assert len(emulator.store.messages()) == 1 and not sending.done()
        clock.advance(timedelta(seconds=1))
        await sending
        assert len(emulator.store.messages()) == 2


async def test_a_client_that_leaves_while_its_message_is_held_back_does_not_stop_it(
    directory: Path, tenant: Tenant, clock: ManualClock
) -> None:
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        emulator.control.patch({"limits": {"messages_per_minute": 1}})
        logged_on(emulator).submit()

        def send_and_leave() -> None:
            smtp = client(emulator)
            smtp.starttls(context=ssl.create_default_context(cafile=emulator.ca))
            smtp.login("relay@contoso.example", "relay-password")
            smtp.mail("relay@contoso.example")
            smtp.rcpt("alice@contoso.example")
            smtp.docmd("DATA")
            smtp.send("From: relay@contoso.example\r\n\r\nlate\r\n.\r\n")
            smtp.close()

        await asyncio.to_thread(send_and_leave)
        while not emulator.statistics.delayed.total():
            await asyncio.sleep(0)
        clock.advance(timedelta(minutes=1))
        assert len(emulator.store.messages()) == 2


async def test_more_connections_than_allowed_are_turned_away(running: Emulator) -> None:
    running.control.patch({"limits": {"connections": 1}})
    first_reader, first = await connect(running)
    assert (await first_reader.readline()).startswith(b"220 ")
    reader, second = await connect(running)
    assert (await reader.read()).startswith(b"421 4.3.2 The maximum number of concurrent server connections ")
    first.close()
    second.close()


async def test_connections_can_be_cut_on_order(running: Emulator) -> None:
    reader, writer = await connect(running)
    await reader.readline()
    assert running.control.carry_out(running.control.read(b'{"action": "close-connections"}')) == {"closed": 1}
    assert await reader.read() == b""
    writer.close()


async def test_stopping_tells_every_client(directory: Path, tenant: Tenant) -> None:
    async with Emulator(directory, tenant=tenant) as emulator:
        reader, writer = await connect(emulator)
        await reader.readline()
    assert await reader.read() == b"421 4.3.2 Service not available\r\n"
    writer.close()


async def test_messages_sessions_and_tokens_survive_a_restart(directory: Path, tenant: Tenant) -> None:
    async with Emulator(directory, tenant=tenant) as emulator:
        for subject in (b"first", b"second"):
            content = b"From: relay@contoso.example\r\nSubject: " + subject + b"\r\n\r\n"
            await asyncio.to_thread(send_with_smtplib, emulator, content)
        before = emulator.store.messages()
    (directory / "mail" / "incoming-left-by-a-crash").write_bytes(b"half a message")
    (directory / "mail" / "m-99999999-half.json").write_bytes(b'{"id": "half')
    async with Emulator(directory, tenant=tenant) as emulator:
        assert emulator.store.messages() == before
        assert emulator.store.dialogue(before[0].id)[-1] == "S: 221 2.0.0 Service closing transmission channel"
        logged_on(emulator).submit()
        assert emulator.store.messages()[0].number == 3
    assert not (directory / "mail" / "incoming-left-by-a-crash").exists()


def test_the_command_runs_says_where_and_stops_on_sigterm(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    command = [sys.executable, "-m", "m365emu", "run", "--dir", str(directory), *SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        ready = process.stdout.readline()
        endpoints = json.loads((directory / "endpoints.json").read_text())
        assert ready.startswith("m365emu ready")
        for name in ("submission", "authority", "inbox"):
            assert endpoints[name] in ready
        assert endpoints["authority"].endswith(endpoints["tenant"])
        assert Path(endpoints["client_secret_file"]).read_text() in (directory / "tenant.toml").read_text()
        host, _, port = endpoints["submission"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            assert connection.recv(4096).startswith(b"220 ")
            process.send_signal(signal.SIGTERM)
            assert connection.recv(4096) == b"421 4.3.2 Service not available\r\n"
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def test_what_is_secret_in_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "m365emu", "init", "--dir", str(tmp_path / "e")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "tenant.toml" in done.stdout
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "e").iterdir()}
    assert modes["tenant.toml"] == modes["ca-key.pem"] == modes["server-key.pem"] == 0
    before = (tmp_path / "e" / "tenant.toml").read_bytes()
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert (tmp_path / "e" / "tenant.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("id = 1 2", "not valid TOML"),
        ('id = "x"\nname = "x"\ndomains = []', "domains"),
        ('id = "x"\nname = "x"\ndomains = ["a.example"]\n[switches]\ncolour = true', "colour"),
    ],
)
def test_a_tenant_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "tenant.toml").write_text(text)
    command = [sys.executable, "-m", "m365emu", "run", "--dir", str(tmp_path), *SERVE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "tenant.toml" in done.stderr and word in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_on_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "m365emu", "run", "--dir", str(tmp_path), *SERVE, "--http", wanted]
        environment = {**os.environ, "PYTHONWARNINGS": "error"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "address already in use" in done.stderr
