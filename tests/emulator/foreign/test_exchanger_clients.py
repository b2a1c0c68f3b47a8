"""Programs that nobody here wrote talk to the MX: Direct Send, and relaying by a certificate that a connector knows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.emulator.foreign.command_line import curl, msmtp, swaks
from tests.emulator.foreign.letter import assert_arrived, write_letter
from tests.emulator.foreign.target import Client, Target

from m365emu.client_certificates import client_certificates
from m365emu.emulator import Emulator

CLIENTS: dict[str, Client] = {"swaks": swaks, "curl": curl, "msmtp": msmtp}
PRINTER = "printer@contoso.example"
OUTSIDE = "customer@elsewhere.example"
CONNECTOR = {"tls_sender_certificate_name": "relay.contoso.example"}


@pytest.mark.parametrize("client", CLIENTS)
async def test_direct_send_reaches_a_mailbox_without_a_login(
    running: Emulator, exchanger: Target, room: Path, client: str
) -> None:
    letter = write_letter(PRINTER)
    done = await asyncio.to_thread(CLIENTS[client], exchanger, letter, room)
    assert done.code == 0, done.output
    assert await assert_arrived(running, letter, by="anonymous", mailbox="") == letter.octets


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_says_that_direct_send_is_not_allowed(
    running: Emulator, exchanger: Target, room: Path, client: str
) -> None:
    running.control.patch({"switches": {"reject_direct_send": True}})
    done = await asyncio.to_thread(CLIENTS[client], exchanger, write_letter(PRINTER), room)
    assert done.code != 0
    assert "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization" in done.output


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_says_that_there_is_no_such_mailbox(
    running: Emulator, exchanger: Target, room: Path, client: str
) -> None:
    letter = write_letter(PRINTER, "nobody@contoso.example")
    done = await asyncio.to_thread(CLIENTS[client], exchanger, letter, room)
    assert done.code != 0
    assert "550 5.4.1 Recipient address rejected: Access denied." in done.output
    assert running.store.messages() == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_certificate_that_a_connector_knows_relays_to_anybody(
    running: Emulator, directory: Path, exchanger: Target, room: Path, client: str
) -> None:
    running.control.patch({"connectors": {"office": CONNECTOR}})
    files = client_certificates(directory)
    known = replace(exchanger, certificate=files.client, key=files.client_key)
    letter = write_letter(PRINTER, OUTSIDE)
    done = await asyncio.to_thread(CLIENTS[client], known, letter, room)
    assert done.code == 0, done.output
    await assert_arrived(running, letter, by="connector:office", mailbox="", folder="external")


@pytest.mark.parametrize("client", CLIENTS)
async def test_nobody_relays_without_the_certificate_of_the_connector(
    running: Emulator, exchanger: Target, room: Path, client: str
) -> None:
    running.control.patch({"connectors": {"office": CONNECTOR}})
    done = await asyncio.to_thread(CLIENTS[client], exchanger, write_letter(PRINTER, OUTSIDE), room)
    assert done.code != 0
    assert "550 5.7.64 TenantAttribution; Relay Access Denied" in done.output
    assert running.store.messages() == []
