"""Microsoft's own client library, unmodified, through every flow against the emulator."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msal
import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from tests.emulator.browser import Browser
from tests.emulator.msal_clients import (
    APP_SCOPE,
    CERTIFICATE,
    CERTIFICATE_PEM,
    FOREIGN_KEY,
    ISSUER,
    KEY_PEM,
    PUBLIC,
    SMTP_SEND,
    SUBJECT,
    accepted_by_smtp,
    as_in_reality,
    away,
    claims_of,
    confidential,
    device_sign_in,
    document,
    make_certificate,
    public,
)
from tests.emulator.talk import CLIENT_ID, SECRET, TENANT_ID

from m365emu.emulator import Emulator
from m365emu.tenant import tenant_from_document

pytestmark = pytest.mark.usefixtures("no_ca_bundle_in_the_environment")


@pytest.fixture
async def entra(directory: Path) -> AsyncIterator[Emulator]:
    async with Emulator(directory, tenant=tenant_from_document(document())) as emulator:
        yield emulator


CREDENTIALS = {
    "secret": SECRET,
    "certificate by its SHA-1 thumbprint": {
        "private_key": KEY_PEM,
        "thumbprint": CERTIFICATE.fingerprint(hashes.SHA1()).hex(),
    },
    "certificate by its SHA-256 thumbprint, sent along": {
        "private_key": KEY_PEM,
        "public_certificate": CERTIFICATE_PEM,
    },
}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
async def test_an_application_proves_itself_and_gets_what_its_roles_allow(entra: Emulator, credential: object) -> None:
    app = await away(confidential, entra, credential)
    result = await away(app.acquire_token_for_client, [APP_SCOPE])
    claims = claims_of(result)
    assert claims["aud"] == "https://outlook.office365.com" and claims["idtyp"] == "app"
    assert set(claims["roles"]) == {"SMTP.SendAsApp", "Mail.Send", "Mail.Read"}
    assert accepted_by_smtp(entra, "relay@contoso.example", result)
    graph = await away(app.acquire_token_for_client, ["https://graph.microsoft.com/.default"])
    assert claims_of(graph)["aud"] == "https://graph.microsoft.com"
    assert set(claims_of(graph)["roles"]) == {"Mail.Send", "Mail.Read"}


async def test_another_issuers_assertion_stands_in_for_a_secret(entra: Emulator) -> None:
    def assertion() -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange", "iat": now, "exp": now + 300}
        return jwt.encode({"alg": "RS256"}, claims, FOREIGN_KEY)

    app = await away(confidential, entra, {"client_assertion": assertion})
    result = await away(app.acquire_token_for_client, [APP_SCOPE])
    assert accepted_by_smtp(entra, "relay@contoso.example", result)


async def test_a_certificate_that_is_not_registered_proves_nothing(entra: Emulator) -> None:
    other = rsa.generate_private_key(65537, 2048)
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public_part = make_certificate(other).public_bytes(serialization.Encoding.PEM).decode()
    credentials = (
        {"private_key": pem, "public_certificate": public_part},
        {"private_key": pem, "thumbprint": CERTIFICATE.fingerprint(hashes.SHA1()).hex()},
    )
    for credential, reason in zip(credentials, ("key was not found", "did not match"), strict=True):
        app = await away(confidential, entra, credential)
        result = await away(app.acquire_token_for_client, [APP_SCOPE])
        assert result["error"] == "invalid_client" and result["error_codes"] == [700027]
        assert reason in result["error_description"]


async def test_a_person_signs_a_device_in_and_it_stays_signed_in(entra: Emulator) -> None:
    app = await away(public, entra)
    result = await away(device_sign_in, entra, app)
    claims = claims_of(result)
    assert claims["scp"] == "SMTP.Send" and claims["upn"] == "alice@contoso.example"
    assert claims["aud"] == "https://outlook.office.com" and "roles" not in claims
    assert accepted_by_smtp(entra, "alice@contoso.example", result)
    (account,) = app.get_accounts()
    assert account["username"] == "alice@contoso.example" and account["realm"] == TENANT_ID
    cached = app.acquire_token_silent([SMTP_SEND], account)
    assert cached["access_token"] == result["access_token"]
    fresh = await away(lambda: app.acquire_token_silent([SMTP_SEND], account, force_refresh=True))
    assert fresh["access_token"] != result["access_token"]
    assert accepted_by_smtp(entra, "alice@contoso.example", fresh)


async def test_a_person_who_says_no_keeps_the_device_out(entra: Emulator) -> None:
    app = await away(public, entra)
    result = await away(device_sign_in, entra, app, "cancel")
    assert result["error"] == "authorization_declined"


async def test_a_device_waits_until_its_person_is_done(entra: Emulator) -> None:
    def flow() -> tuple[dict[str, Any], dict[str, Any]]:
        app = public(entra)
        started = app.initiate_device_flow([SMTP_SEND])
        return started, app.acquire_token_by_device_flow(started, exit_condition=lambda flow: True)

    started, result = await away(flow)
    assert started["interval"] == 1 and started["expires_in"] == 900
    assert result["error"] == "authorization_pending" and result["error_codes"] == [70016]


@pytest.mark.parametrize("tenant", [TENANT_ID, "contoso.example", "organizations", "common"])
async def test_a_person_signs_in_by_browser_with_a_code_and_pkce(entra: Emulator, tenant: str) -> None:
    def flow() -> tuple[Any, Any]:
        app = public(entra, tenant)
        started = app.initiate_auth_code_flow([SMTP_SEND], redirect_uri="http://localhost:51234", login_hint="alice")
        browser = Browser(entra.ca)
        page = browser.submit(browser.sign_in(started["auth_uri"]))
        assert page.sent_to.startswith("http://localhost:51234?code=")
        result = app.acquire_token_by_auth_code_flow(started, page.answer)
        (account,) = app.get_accounts()
        return result, app.acquire_token_silent([SMTP_SEND], account, force_refresh=True)

    result, fresh = await away(flow)
    assert result["id_token_claims"]["preferred_username"] == "alice@contoso.example"
    assert result["id_token_claims"]["aud"] == PUBLIC and result["id_token_claims"]["tid"] == TENANT_ID
    for each in (result, fresh):
        assert accepted_by_smtp(entra, "alice@contoso.example", each)


async def test_a_web_application_signs_a_person_in_with_its_own_secret(entra: Emulator) -> None:
    def flow() -> Any:
        app = confidential(entra, SECRET)
        started = app.initiate_auth_code_flow(
            ["https://graph.microsoft.com/Mail.Send"], "https://app.example/back", response_mode="form_post"
        )
        browser = Browser(entra.ca)
        page = browser.submit(browser.sign_in(started["auth_uri"]))
        assert page.action == "https://app.example/back" and page.fields["state"] == started["state"]
        return app.acquire_token_by_auth_code_flow(started, page.fields)

    claims = claims_of(await away(flow))
    assert claims["scp"] == "Mail.Send" and claims["aud"] == "https://graph.microsoft.com"


async def test_a_refusal_of_consent_reaches_the_application(entra: Emulator) -> None:
    def flow() -> Any:
        app = public(entra)
        started = app.initiate_auth_code_flow([SMTP_SEND], redirect_uri="http://localhost:51234")
        browser = Browser(entra.ca)
        page = browser.submit(browser.sign_in(started["auth_uri"]), "cancel")
        return app.acquire_token_by_auth_code_flow(started, page.answer)

    result = await away(flow)
    assert result["error"] == "access_denied" and "AADSTS65004" in result["error_description"]


async def test_a_token_cache_outlives_a_restart_of_the_emulator(entra: Emulator, directory: Path) -> None:
    cache = msal.SerializableTokenCache()
    app = await away(lambda: public(entra, token_cache=cache))
    await away(device_sign_in, entra, app)
    await entra.stop()
    later = msal.SerializableTokenCache()
    later.deserialize(cache.serialize())
    async with Emulator(directory, tenant=tenant_from_document(document())) as emulator:
        app = await away(lambda: public(emulator, token_cache=later))
        (account,) = app.get_accounts()
        fresh = await away(lambda: app.acquire_token_silent([SMTP_SEND], account, force_refresh=True))
        assert accepted_by_smtp(emulator, "alice@contoso.example", fresh)


async def test_revoked_refresh_tokens_and_changed_passwords_ask_for_a_new_sign_in(entra: Emulator) -> None:
    async def refreshed_after(change: Callable[[], object]) -> Any:
        app = await away(public, entra)
        await away(device_sign_in, entra, app)
        change()
        (account,) = app.get_accounts()
        return await away(lambda: app.acquire_token_silent_with_error([SMTP_SEND], account, force_refresh=True))

    def revoke() -> object:
        return entra.control.carry_out(entra.control.read(b'{"action": "revoke-refresh-tokens"}'))

    def change_password() -> object:
        return entra.control.patch({"mailboxes": {"alice@contoso.example": {"password": "another"}}})

    for change in (revoke, change_password):
        result = await refreshed_after(change)
        assert result["error"] == "invalid_grant" and result["error_codes"] == [50173]


async def test_msal_asks_the_hosts_of_microsoft_and_the_emulator_answers_as_them(entra: Emulator) -> None:
    def flow() -> Any:
        app = msal.ConfidentialClientApplication(
            CLIENT_ID,
            client_credential=SECRET,
            authority=f"https://login.microsoftonline.com/{TENANT_ID}",
            http_client=as_in_reality(entra),
        )
        return app.acquire_token_for_client([APP_SCOPE])

    assert accepted_by_smtp(entra, "relay@contoso.example", await away(flow))


async def test_msal_checks_an_unknown_host_by_instance_discovery(entra: Emulator) -> None:
    def known(host: str) -> Any:
        return msal.PublicClientApplication(
            PUBLIC, authority=f"https://{host}/{TENANT_ID}", http_client=as_in_reality(entra)
        )

    with pytest.raises(ValueError, match="invalid_instance"):
        await away(known, "login.evil.example")
    with pytest.raises(requests.ConnectionError):  # the host is trusted, though nobody listens at its usual port
        await away(known, "localhost")


async def test_a_password_is_enough_where_nothing_else_is_asked_for(entra: Emulator) -> None:
    def flow(user: str, password: str) -> Any:
        app = msal.PublicClientApplication(
            PUBLIC,
            authority=f"https://login.microsoftonline.com/{TENANT_ID}",
            http_client=as_in_reality(entra),
        )
        return app.acquire_token_by_username_password(user, password, [SMTP_SEND])

    entra.control.patch({"applications": {PUBLIC: {"delegated_consent": "admin"}}})
    result = await away(flow, "alice@contoso.example", "alice-password")
    assert accepted_by_smtp(entra, "alice@contoso.example", result)
    refused = await away(flow, "bob@contoso.example", "wrong")
    assert refused["error"] == "invalid_grant" and refused["error_codes"] == [50126]
    entra.control.patch({"mailboxes": {"bob@contoso.example": {"mfa": True}}})
    refused = await away(flow, "bob@contoso.example", "bob-password")
    assert refused["error_codes"] == [50076] and "claims" in refused
