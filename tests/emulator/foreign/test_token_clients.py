"""Programs that nobody here wrote log on with an access token that Microsoft's own library got."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from tests.emulator.foreign.command_line import curl, msmtp, msmtp_asking
from tests.emulator.foreign.conftest import SCOPE
from tests.emulator.foreign.letter import assert_arrived, write_letter
from tests.emulator.foreign.libraries import gomail, jakarta_mail, nodemailer, phpmailer, smtp_lib
from tests.emulator.foreign.mailers import mutt, s_nail
from tests.emulator.foreign.target import Client, Target
from tests.peers.programs import require

from m365emu.emulator import Emulator

CLIENTS: dict[str, Client] = {
    "curl": curl,
    "msmtp": msmtp,
    "smtplib": smtp_lib,
    "nodemailer": nodemailer,
    "phpmailer": phpmailer,
    "jakarta-mail": jakarta_mail,
    "gomail": gomail,
    "s-nail": s_nail,
    "mutt": mutt,
}
RELAY = "relay@contoso.example"
CUT_TOKEN_OUT = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""
REFUSED = "5.7.3 Authentication unsuccessful"
# mutt keeps to itself what the server says about a login.
SILENT = {"mutt": "SASL authentication failed"}


@pytest.fixture
def by_token(target: Target, token: str) -> Target:
    return replace(target, password="", token=token)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_message_sent_with_a_token_arrives_whole(
    running: Emulator, by_token: Target, room: Path, client: str
) -> None:
    letter = write_letter(RELAY)
    done = await asyncio.to_thread(CLIENTS[client], by_token, letter, room)
    assert done.code == 0, done.output
    await assert_arrived(running, letter, by="XOAUTH2")


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_token_without_a_right_to_the_mailbox_is_refused(
    running: Emulator, by_token: Target, room: Path, client: str
) -> None:
    stranger = replace(by_token, user="alice@contoso.example")
    done = await asyncio.to_thread(CLIENTS[client], stranger, write_letter("alice@contoso.example"), room)
    assert done.code != 0
    assert SILENT.get(client, REFUSED) in done.output
    assert by_token.token not in done.output
    assert running.store.messages() == []


async def test_msmtp_asks_the_token_endpoint_itself_through_a_command(
    running: Emulator, target: Target, room: Path
) -> None:
    (room / "client-secret").write_text(running.client_secret)
    form = {"grant_type": "client_credentials", "client_id": running.client_id, "scope": SCOPE}
    fields = shlex.join(word for pair in form.items() for word in ("-d", "=".join(pair)))
    command = (
        f"{require('curl')} -sS --cacert {running.ca} {fields} --data-urlencode client_secret@{room}/client-secret "
        f"{running.authority}/oauth2/v2.0/token | {CUT_TOKEN_OUT}"
    )
    # msmtp takes no line of more than 500 characters, and the paths may be long.
    (room / "ask").write_text(command)
    letter = write_letter(RELAY)
    asking = replace(target, password="", token="asked for")
    done = await asyncio.to_thread(msmtp_asking, asking, letter, room, command=f"sh {room}/ask")
    assert done.code == 0, done.output
    assert await assert_arrived(running, letter, by="XOAUTH2") == letter.octets
