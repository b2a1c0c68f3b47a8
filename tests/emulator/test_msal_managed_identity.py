"""Managed identities: Microsoft's own library asks a machine, or an App Service, who it is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msal
import pytest
import requests
from tests.emulator.msal_clients import PUBLIC, accepted_by_smtp, away, claims_of, document
from tests.emulator.talk import CLIENT_ID

from m365emu.emulator import Emulator
from m365emu.tenant import tenant_from_document


@pytest.fixture
async def entra(directory: Path) -> AsyncIterator[Emulator]:
    async with Emulator(directory, tenant=tenant_from_document(document())) as emulator:
        yield emulator


async def test_a_machine_gets_a_token_as_its_managed_identity(entra: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.inbox)

    def ask(identity: Any, resource: str) -> Any:
        client = msal.ManagedIdentityClient(identity, http_client=requests.Session())
        return client.acquire_token_for_client(resource=resource)

    resource = "https://outlook.office365.com"
    result = await away(ask, msal.SystemAssignedManagedIdentity(), resource)
    assert accepted_by_smtp(entra, "relay@contoso.example", result)
    result = await away(ask, msal.UserAssignedManagedIdentity(client_id=CLIENT_ID), resource)
    assert claims_of(result)["appid"] == CLIENT_ID
    refused = await away(ask, msal.UserAssignedManagedIdentity(client_id=PUBLIC), resource)
    assert refused == {"error": "invalid_request", "error_description": "Identity not found"}
    refused = await away(ask, msal.SystemAssignedManagedIdentity(), "https://example.com")
    assert refused["error"] == "invalid_resource"


async def test_an_app_service_asks_for_its_identity_at_the_same_address(
    entra: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{entra.inbox}/metadata/identity/oauth2/token")
    monkeypatch.setenv("IDENTITY_HEADER", "any")
    client = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=requests.Session())
    result = await away(lambda: client.acquire_token_for_client(resource="https://graph.microsoft.com"))
    assert claims_of(result)["aud"] == "https://graph.microsoft.com" and 3500 < result["expires_in"] <= 3600


async def test_without_the_metadata_header_or_by_a_proxy_there_is_no_identity(entra: Emulator) -> None:
    url = f"{entra.inbox}/metadata/identity/oauth2/token?resource=https://graph.microsoft.com&api-version=2018-02-01"
    for headers in ({}, {"Metadata": "false"}, {"Metadata": "true", "X-Forwarded-For": "192.0.2.1"}):
        answer = await away(lambda sent=headers: requests.get(url, headers=sent, timeout=10))
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"
