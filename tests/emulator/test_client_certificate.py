"""Client certificates at the MX, on real sockets: every chain gets through the handshake, few open a connector."""

import asyncio
import smtplib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import Tenant

CONTENT = b"From: printer@contoso.example\r\nMessage-ID: <p@contoso.example>\r\n\r\nHello\r\n"
CONNECTOR = {"connectors": {"office": {"tls_sender_certificate_name": "*.contoso.example"}}}


def relay(emulator: Emulator, chain: Path | None, key: Path | None = None, content: bytes = CONTENT) -> str:
    """Relay one message over TLS, and return how it ended."""
    context = ssl.create_default_context(cafile=emulator.ca)
    if chain is not None:
        context.load_cert_chain(chain, key)
    host, _, port = emulator.mx.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=20) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo("relay.contoso.example")
        try:
            smtp.sendmail("printer@contoso.example", ["someone@example.net"], content)
        except smtplib.SMTPRecipientsRefused as error:
            (refusal,) = error.recipients.values()
            return refusal[1].decode()
    return "taken"


async def ending(emulator: Emulator, chain: Path | None, key: Path | None = None) -> str:
    return await asyncio.to_thread(relay, emulator, chain, key)


def issued(authority: trustme.CA, file: Path, name: str = "relay.contoso.example", *, whole: bool = True) -> Path:
    """Write a private key and its chain, whole or the first certificate alone."""
    certificate = authority.issue_cert(name)
    pems = certificate.cert_chain_pems if whole else certificate.cert_chain_pems[:1]
    file.write_bytes(certificate.private_key_pem.bytes() + b"".join(pem.bytes() for pem in pems))
    return file


async def test_the_emulator_s_own_client_certificate_opens_its_connector(running: Emulator, directory: Path) -> None:
    running.control.patch(CONNECTOR)
    assert (await ending(running, None)).startswith("5.7.64 TenantAttribution; Relay Access Denied [FR2DEU01FT042.Eop")
    assert await ending(running, directory / "client.pem", directory / "client-key.pem") == "taken"
    (record,) = running.store.messages()
    assert record.authentication == "connector:office"
    assert "-- the client's certificate names relay.contoso.example" in running.store.dialogue(record.id)


async def test_a_chain_needs_its_intermediates_an_authority_and_the_right_name(
    directory: Path, tenant: Tenant, tmp_path: Path
) -> None:
    root = trustme.CA()
    branch = root.create_child_ca()
    (directory / "client-ca.pem").write_bytes(root.cert_pem.bytes())
    async with Emulator(directory, tenant=tenant) as emulator:
        emulator.control.patch(CONNECTOR)
        assert await ending(emulator, issued(branch, tmp_path / "whole")) == "taken"
        for chain in (
            issued(branch, tmp_path / "short", whole=False),
            issued(branch, tmp_path / "other-name", "relay.elsewhere.example"),
            issued(trustme.CA(), tmp_path / "unknown"),
        ):
            assert (await ending(emulator, chain)).startswith("5.7.64 TenantAttribution; ")


async def test_a_certificate_that_has_ended_names_nobody(directory: Path, tenant: Tenant) -> None:
    clock = ManualClock(datetime.now(UTC))  # the certificate was made today
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        emulator.control.patch(CONNECTOR)
        chain, key = directory / "client.pem", directory / "client-key.pem"
        assert await ending(emulator, chain, key) == "taken"
        clock.advance(timedelta(days=500))
        assert (await ending(emulator, chain, key)).startswith("5.7.64 TenantAttribution; ")


async def test_a_message_of_ten_megabytes_arrives_whole_over_tls(running: Emulator, directory: Path) -> None:
    running.control.patch(CONNECTOR)
    content = CONTENT + b"0123456789abcdef\r\n" * 600_000
    chain, key = directory / "client.pem", directory / "client-key.pem"
    assert await asyncio.to_thread(relay, running, chain, key, content) == "taken"
    (record,) = running.store.messages()
    assert running.content(record) == content


@pytest.mark.parametrize("door", ["mx", "submission"])
async def test_a_tls_stream_that_breaks_ends_the_connection_and_nothing_else(
    running: Emulator, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = getattr(running, door).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"EHLO client.example\r\nSTARTTLS\r\n")
    await reader.readuntil(b"220 2.0.0 SMTP server ready\r\n")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=running.ca)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65_536))
    tls.write(b"NOOP\r\n" * 3)
    writer.write(outgoing.read() + b"\x17\x03\x03\x00\x10" + b"rubbish." * 2 + b"\x15\x03\x03")
    await reader.read()
    writer.close()
    assert caplog.records == []
    host, _, port = getattr(running, door).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.readline()).startswith(b"220 ")
    writer.close()


@pytest.mark.parametrize("rubbish", [b"EHLO again\r\n" * 10, b"\x16\x03\x01\x00\x05hello" + b"\0" * 50, b"\x15" * 300])
async def test_rubbish_instead_of_a_handshake_ends_the_connection(running: Emulator, rubbish: bytes) -> None:
    host, _, port = running.mx.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"EHLO client.example\r\nSTARTTLS\r\n")
    await reader.readuntil(b"220 2.0.0 SMTP server ready\r\n")
    writer.write(rubbish)
    assert b"250" not in await reader.read()
    writer.close()
