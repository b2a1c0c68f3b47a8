"""The emulator as foreign clients see it, and tokens as Microsoft's library gets them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msal
import pytest
from tests.emulator.foreign.target import Target

from m365emu.emulator import Emulator

SCOPE = "https://outlook.office365.com/.default"


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A directory for the client's own files."""
    directory = tmp_path / "client"
    directory.mkdir()
    return directory


@pytest.fixture
def target(running: Emulator) -> Target:
    """The running emulator, as the mailbox ``relay`` with its right password."""
    host, _, port = running.submission.rpartition(":")
    return Target(host=host, port=int(port), ca=running.ca, user="relay@contoso.example", password="relay-password")


@pytest.fixture
async def token(running: Emulator, no_ca_bundle_in_the_environment: None) -> str:
    """An access token of the application, got by MSAL with the client secret."""

    def acquire() -> str:
        application = msal.ConfidentialClientApplication(
            running.client_id,
            client_credential=running.client_secret,
            authority=running.authority,
            instance_discovery=False,
            verify=str(running.ca),
        )
        return str(application.acquire_token_for_client([SCOPE])["access_token"])

    return await asyncio.to_thread(acquire)


@pytest.fixture
def exchanger(running: Emulator) -> Target:
    """The running emulator's MX, where nobody logs on."""
    host, _, port = running.mx.rpartition(":")
    return Target(host=host, port=int(port), ca=running.ca)
