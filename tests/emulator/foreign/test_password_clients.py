"""Programs that nobody here wrote log on with a password, and show their users what Microsoft says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.emulator.foreign.command_line import curl, msmtp, swaks
from tests.emulator.foreign.letter import assert_arrived, write_letter
from tests.emulator.foreign.libraries import gomail, jakarta_mail, nodemailer, phpmailer, ruby_mail, smtp_lib
from tests.emulator.foreign.mailers import mutt, s_nail
from tests.emulator.foreign.target import Client, Target

from m365emu.emulator import Emulator

VERBATIM: dict[str, Client] = {"swaks": swaks, "curl": curl, "msmtp": msmtp, "smtplib": smtp_lib}
COMPOSING: dict[str, Client] = {
    "nodemailer": nodemailer,
    "phpmailer": phpmailer,
    "jakarta-mail": jakarta_mail,
    "gomail": gomail,
    "ruby-mail": ruby_mail,
    "s-nail": s_nail,
    "mutt": mutt,
}
CLIENTS = VERBATIM | COMPOSING
RELAY = "relay@contoso.example"
WRONG_PASSWORD = "5.7.139 Authentication unsuccessful, the user credentials were incorrect."
SWITCHED_OFF = "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
NOT_ALLOWED = "5.2.252 SendAsDenied; relay@contoso.example not allowed to send as bob@contoso.example"
# msmtp 1.8 gives up on a reply line as long as this one: almost 2,000 octets.
TOO_LONG_FOR = {"msmtp": "the server sent an invalid reply"}
# mutt keeps to itself what the server says about a login.
SILENT = {"mutt": "SASL authentication failed"}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_message_sent_with_a_password_arrives_whole(
    running: Emulator, target: Target, room: Path, client: str
) -> None:
    letter = write_letter(RELAY)
    done = await asyncio.to_thread(CLIENTS[client], target, letter, room)
    assert done.code == 0, done.output
    content = await assert_arrived(running, letter, by="LOGIN")
    assert client not in VERBATIM or content == letter.octets


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_wrong_password_is_answered_in_microsofts_words(
    running: Emulator, target: Target, room: Path, client: str
) -> None:
    wrong = replace(target, password="wrong-password")
    done = await asyncio.to_thread(CLIENTS[client], wrong, write_letter(RELAY), room)
    assert done.code != 0
    assert SILENT.get(client, WRONG_PASSWORD) in done.output
    assert "wrong-password" not in done.output
    assert running.store.messages() == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_says_that_smtp_authentication_is_switched_off(
    running: Emulator, target: Target, room: Path, client: str
) -> None:
    running.control.patch({"switches": {"smtp_client_authentication_disabled": True}})
    done = await asyncio.to_thread(CLIENTS[client], target, write_letter(RELAY), room)
    assert done.code != 0
    assert SILENT.get(client, SWITCHED_OFF) in done.output


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_says_whose_name_it_may_not_use(
    running: Emulator, target: Target, room: Path, client: str
) -> None:
    done = await asyncio.to_thread(CLIENTS[client], target, write_letter("bob@contoso.example"), room)
    assert done.code != 0
    assert TOO_LONG_FOR.get(client, NOT_ALLOWED) in done.output
    assert running.store.messages() == []
