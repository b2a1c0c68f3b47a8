"""Programs that nobody here wrote keep a refresh token and get their access tokens themselves."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from tests.emulator.foreign.letter import assert_arrived, write_letter
from tests.emulator.foreign.libraries import nodemailer_with
from tests.emulator.foreign.target import Target

from m365emu.emulator import Emulator

RELAY = "relay@contoso.example"
SCOPE = "https://outlook.office365.com/SMTP.Send"


@pytest.fixture
def auth(running: Emulator, target: Target) -> dict[str, str]:
    """What nodemailer's manual asks for; nothing of it is an access token."""
    permissions = {"delegated": ["SMTP.Send", "offline_access"], "delegated_consent": "admin"}
    running.control.patch({"applications": {running.client_id: permissions}})
    return {
        "type": "OAuth2",
        "user": target.user,
        "clientId": running.client_id,
        "clientSecret": running.client_secret,
        "accessUrl": f"{running.authority}/oauth2/v2.0/token",
    }


async def refresh_token(emulator: Emulator, target: Target) -> str:
    """A refresh token of the mailbox's owner, for a password: the grant that needs no browser."""
    form = {
        "grant_type": "password",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "username": target.user,
        "password": target.password,
        "scope": f"{SCOPE} offline_access",
    }

    def ask() -> str:
        data = urllib.parse.urlencode(form).encode()
        context = ssl.create_default_context(cafile=emulator.ca)
        with urllib.request.urlopen(f"{emulator.authority}/oauth2/v2.0/token", data, context=context) as answer:
            return str(json.load(answer)["refresh_token"])

    return await asyncio.to_thread(ask)


async def test_nodemailer_gets_access_tokens_with_its_refresh_token(
    running: Emulator, target: Target, auth: dict[str, str], room: Path
) -> None:
    auth["refreshToken"] = await refresh_token(running, target)
    letter = write_letter(RELAY)
    done = await asyncio.to_thread(nodemailer_with, target, letter, room, auth=auth)
    assert done.code == 0, done.output
    await assert_arrived(running, letter, by="XOAUTH2")


async def test_nodemailer_shows_why_its_refresh_token_is_not_good_any_more(
    running: Emulator, target: Target, auth: dict[str, str], room: Path
) -> None:
    auth["refreshToken"] = await refresh_token(running, target)
    running.control.patch({"mailboxes": {RELAY: {"password": "changed-since"}}})
    done = await asyncio.to_thread(nodemailer_with, target, write_letter(RELAY), room, auth=auth)
    assert done.code != 0
    assert "AADSTS50173" in done.output
    assert running.store.messages() == []
