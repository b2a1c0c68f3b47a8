"""The token endpoint without a library: permissions, devices, refresh tokens, passwords, and time."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulator.browser import Browser
from tests.emulator.talk import CLIENT_ID, NOON, SECRET, TENANT, TENANT_ID

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.faults import Fault
from m365emu.tenant import tenant_from_document

T = TypeVar("T")
PUBLIC = "22222222-2222-3333-4444-555555555555"
SMTP_SEND = "https://outlook.office.com/SMTP.Send"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
OTHER_TENANT = "77777777-8888-7777-6666-555555555555"
OTHER_CLIENT = "33333333-2222-3333-4444-555555555555"

Form = dict[str, str]


def document() -> dict[str, Any]:
    relay = {
        "name": "Mail relay",
        "object_id": "object-1",
        "roles": ["SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite", "ExchangeMessageTrace.Read.All"],
        "secrets": [{"value": SECRET}],
    }
    public = {
        "name": "Signed in",
        "object_id": "object-2",
        "roles": [],
        "delegated": ["SMTP.Send", "Mail.Send"],
        "delegated_consent": "admin",
        "public_client": True,
    }
    fabrikam = {
        "id": OTHER_TENANT,
        "name": "Fabrikam",
        "domains": ["fabrikam.example"],
        "applications": {OTHER_CLIENT: {**relay, "secrets": [{"value": "their-secret"}]}},
    }
    return {**TENANT, "applications": {CLIENT_ID: relay, PUBLIC: public}, "others": {"fabrikam": fabrikam}}


@pytest.fixture
async def entra(directory: Path, clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(directory, tenant=tenant_from_document(document()), clock=clock) as emulator:
        yield emulator


async def away(do: Callable[..., T], *args: Any, **more: Any) -> T:
    return await asyncio.to_thread(do, *args, **more)


async def ask(emulator: Emulator, what: str, form: Form, tenant: str = TENANT_ID) -> dict[str, Any]:
    """Post a form to an endpoint and return the JSON object, with the HTTP status added to it."""
    base = emulator.authority.rpartition("/")[0]
    form = {name: value for name, value in form.items() if value}
    page = await away(Browser(emulator.ca).open, f"{base}/{tenant}/oauth2/v2.0/{what}", form)
    return {**json.loads(page.text), "status": page.status}


async def app_token(emulator: Emulator, scope: str, tenant: str = TENANT_ID, **changes: str) -> dict[str, Any]:
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET, "scope": scope}
    return await ask(emulator, "token", {**form, **changes}, tenant)


def claims_of(answer: dict[str, Any]) -> dict[str, Any]:
    body = answer["access_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


async def by_password(emulator: Emulator, scope: str = f"{SMTP_SEND} offline_access", **changes: str) -> dict[str, Any]:
    form = {"grant_type": "password", "client_id": PUBLIC, "scope": scope}
    form |= {"username": "alice@contoso.example", "password": "alice-password"}
    return await ask(emulator, "token", {**form, **changes})


async def refresh(emulator: Emulator, token: str, **changes: str) -> dict[str, Any]:
    form = {"grant_type": "refresh_token", "client_id": PUBLIC, "refresh_token": token}
    return await ask(emulator, "token", {**form, **changes})


async def poll(emulator: Emulator, device_code: str, client_id: str = PUBLIC) -> dict[str, Any]:
    return await ask(emulator, "token", {"grant_type": DEVICE, "client_id": client_id, "device_code": device_code})


async def start_device(emulator: Emulator, **changes: str) -> dict[str, Any]:
    return await ask(emulator, "devicecode", {"client_id": PUBLIC, "scope": f"{SMTP_SEND} offline_access", **changes})


@pytest.mark.parametrize(
    ("audience", "roles"),
    [
        ("https://outlook.office365.com", {"SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"}),
        ("https://outlook.office.com", {"SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"}),
        ("https://outlook.office365.us", {"SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"}),
        ("https://partner.outlook.cn", {"SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"}),
        ("00000002-0000-0ff1-ce00-000000000000", {"SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"}),
        ("https://graph.microsoft.com", {"Mail.Send", "Mail.ReadWrite", "ExchangeMessageTrace.Read.All"}),
        ("https://graph.microsoft.us", {"Mail.Send", "Mail.ReadWrite", "ExchangeMessageTrace.Read.All"}),
    ],
)
async def test_a_token_carries_only_the_roles_of_its_own_resource(
    entra: Emulator, audience: str, roles: set[str]
) -> None:
    claims = claims_of(await app_token(entra, f"{audience}/.default"))
    assert claims["aud"] == audience and set(claims["roles"]) == roles
    assert claims["oid"] == "object-1" and "scp" not in claims and "upn" not in claims


async def test_without_consent_and_by_scoped_roles_a_token_carries_no_roles(entra: Emulator) -> None:
    rbac = [{"role": "Application SMTP.SendAsApp"}]
    for patch in ({"consent": False}, {"consent": True, "roles": [], "rbac": rbac}):
        entra.control.patch({"applications": {CLIENT_ID: patch}})
        assert "roles" not in claims_of(await app_token(entra, "https://outlook.office365.com/.default"))


async def test_a_disabled_application_gets_nothing(entra: Emulator) -> None:
    entra.control.patch({"applications": {CLIENT_ID: {"disabled": True}}})
    answer = await app_token(entra, "https://outlook.office365.com/.default")
    assert (answer["status"], answer["error_codes"]) == (401, [7000112])


async def test_each_tenant_knows_its_own_applications_and_names_itself(entra: Emulator) -> None:
    scope = "https://outlook.office365.com/.default"
    theirs = {"client_id": OTHER_CLIENT, "client_secret": "their-secret"}
    assert claims_of(await app_token(entra, scope, "fabrikam.example", **theirs))["tid"] == OTHER_TENANT
    assert (await app_token(entra, scope, TENANT_ID, **theirs))["error_codes"] == [700016]
    assert (await app_token(entra, scope, OTHER_TENANT))["error_codes"] == [700016]
    assert (await app_token(entra, scope, "common"))["error_codes"] == [50059]


async def test_the_documents_of_shared_names_keep_those_names(entra: Emulator) -> None:
    base, browser = entra.authority.rpartition("/")[0], Browser(entra.ca)
    for name in ("common", "organizations"):
        page = await away(browser.open, f"{base}/{name}/v2.0/.well-known/openid-configuration")
        found = json.loads(page.text)
        assert found["issuer"] == f"{base}/{{tenantid}}/v2.0"
        assert found["token_endpoint"] == f"{base}/{name}/oauth2/v2.0/token"
    page = await away(browser.open, f"{base}/fabrikam.example/v2.0/.well-known/openid-configuration")
    assert json.loads(page.text)["issuer"] == f"{base}/{OTHER_TENANT}/v2.0"


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [
        ("https://login.microsoftonline.com/common/oauth2/authorize", 200),
        ("https://login.microsoftonline.us/common/oauth2/authorize", 200),
        ("https://localhost/common/oauth2/authorize", 200),
        ("https://login.evil.example/common/oauth2/authorize", 400),
        ("http://login.microsoftonline.com/common/oauth2/authorize", 400),
        ("https://[login/common", 400),
        ("", 400),
    ],
)
async def test_instance_discovery_knows_the_hosts_of_entra(entra: Emulator, endpoint: str, status: int) -> None:
    base = entra.authority.rpartition("/")[0]
    url = f"{base}/common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}"
    page = await away(Browser(entra.ca).open, url)
    assert page.status == status
    found = json.loads(page.text)
    assert ("metadata" in found) if status == 200 else (found["error"] == "invalid_instance")


@pytest.mark.parametrize(
    ("patch", "changes", "number"),
    [
        ({}, {"username": "nobody@contoso.example"}, 50034),
        ({}, {"password": "wrong"}, 50126),
        ({}, {"password": ""}, 900144),
        ({"mailboxes": {"alice@contoso.example": {"account": "disabled"}}}, {}, 50057),
        ({"mailboxes": {"alice@contoso.example": {"account": "locked"}}}, {}, 50053),
        ({"mailboxes": {"alice@contoso.example": {"account": "password-expired"}}}, {}, 50055),
        ({"mailboxes": {"alice@contoso.example": {"mfa": True}}}, {}, 50076),
        ({"switches": {"security_defaults": True}}, {}, 50079),
        ({"switches": {"conditional_access_blocks_tokens": True}}, {}, 53003),
        ({"applications": {PUBLIC: {"delegated_consent": "user"}}}, {}, 65001),
        ({"applications": {PUBLIC: {"delegated_consent": "none"}}}, {}, 65001),
        ({"applications": {PUBLIC: {"public_client": False}}}, {}, 7000218),
        ({}, {"client_secret": "none is registered"}, 700025),
        ({}, {"client_secret": "wrong", "client_id": CLIENT_ID}, 7000215),
        ({}, {"scope": "https://outlook.office.com/SMTP.SendAsApp"}, 650053),
        ({}, {"scope": "https://graph.microsoft.com/Mail.Read"}, 65001),
        ({}, {"scope": f"{SMTP_SEND} https://graph.microsoft.com/Mail.Send"}, 28000),
        ({}, {"scope": f"{SMTP_SEND} https://outlook.office.com/.default"}, 70011),
    ],
)
async def test_a_password_alone_is_refused_with_the_reason(
    entra: Emulator, patch: dict[str, Any], changes: Form, number: int
) -> None:
    entra.control.patch(patch)
    answer = await by_password(entra, **changes)
    assert answer["error_codes"] == [number] and "access_token" not in answer


async def test_default_means_everything_that_was_consented_to(entra: Emulator) -> None:
    answer = await by_password(entra, "https://graph.microsoft.com/.default openid")
    assert claims_of(answer)["scp"].split() == ["SMTP.Send", "Mail.Send"] and "id_token" in answer
    assert "https://graph.microsoft.com/Mail.Send" in answer["scope"].split() and "refresh_token" not in answer


async def test_a_scope_without_a_resource_is_one_of_graph(entra: Emulator) -> None:
    answer = await by_password(entra, "Mail.Send")
    assert claims_of(answer)["aud"] == "https://graph.microsoft.com" and answer["scope"] == "Mail.Send"


async def test_a_refresh_token_lives_ninety_days_from_its_last_use(entra: Emulator, clock: ManualClock) -> None:
    answer = await by_password(entra)
    for _ in range(3):
        clock.advance(timedelta(days=89))
        answer = await refresh(entra, answer["refresh_token"])
        assert claims_of(answer)["scp"] == "SMTP.Send"
    clock.advance(timedelta(days=90))
    answer = await refresh(entra, answer["refresh_token"])
    assert answer["error"] == "invalid_grant" and answer["error_codes"] == [700082]
    assert "was inactive for 90.00:00:00." in answer["error_description"]


async def test_a_refresh_token_fetches_another_resource_that_was_consented_to(entra: Emulator) -> None:
    token = (await by_password(entra))["refresh_token"]
    answer = await refresh(entra, token, scope="https://graph.microsoft.com/Mail.Send")
    assert claims_of(answer)["aud"] == "https://graph.microsoft.com"
    both = f"{SMTP_SEND} https://graph.microsoft.com/Mail.Send"
    assert (await refresh(entra, token, scope=both))["error_codes"] == [28000]


@pytest.mark.parametrize(
    ("patch", "number"),
    [
        ({"mailboxes": {"alice@contoso.example": {"password": "changed"}}}, 50173),
        ({"mailboxes": {"alice@contoso.example": {"account": "disabled"}}}, 50057),
        ({"mailboxes": {"alice@contoso.example": None}}, 50034),
        ({"switches": {"conditional_access_blocks_tokens": True}}, 53003),
        ({"applications": {PUBLIC: {"delegated_consent": "none"}}}, 65001),
        ({"applications": {PUBLIC: {"disabled": True}}}, 7000112),
    ],
)
async def test_a_refresh_token_is_judged_anew_each_time(entra: Emulator, patch: dict[str, Any], number: int) -> None:
    token = (await by_password(entra))["refresh_token"]
    entra.control.patch(patch)
    assert (await refresh(entra, token))["error_codes"] == [number]


async def test_a_refresh_token_serves_its_own_client_only_and_cannot_be_made_up(entra: Emulator) -> None:
    token = (await by_password(entra))["refresh_token"]
    answer = await refresh(entra, token, client_id=CLIENT_ID, client_secret=SECRET)
    assert answer["error_codes"] == [70000]
    for forged in ("x", token[:-4] + "AAAA", "1." + "A" * 60_000):
        assert (await refresh(entra, forged))["error_codes"] == [9002313]


async def test_a_new_signing_key_revokes_refresh_tokens_too(entra: Emulator) -> None:
    token = (await by_password(entra))["refresh_token"]
    entra.control.carry_out(entra.control.read(b'{"action": "revoke-tokens"}'))
    assert (await refresh(entra, token))["error_codes"] == [50173]


async def test_a_device_is_told_what_it_must_do_at_each_poll(entra: Emulator, clock: ManualClock) -> None:
    started = await start_device(entra)
    code = started["device_code"]
    assert started["expires_in"] == 900 and started["interval"] == 5
    assert (await poll(entra, code))["error"] == "authorization_pending"
    assert (await poll(entra, code))["error"] == "slow_down"
    clock.advance(timedelta(seconds=10))
    assert (await poll(entra, code))["error"] == "authorization_pending"
    entra.control.patch({"assumptions": {"device_polling": "ignore"}})
    assert (await poll(entra, code))["error"] == "authorization_pending"
    clock.advance(timedelta(seconds=900))
    answer = await poll(entra, code)
    assert (answer["error"], answer["error_codes"], answer["status"]) == ("expired_token", [70020], 400)
    assert (await poll(entra, "unknown"))["error"] == "bad_verification_code"


async def test_a_device_code_belongs_to_its_client_and_is_good_once(entra: Emulator) -> None:
    started = await start_device(entra)
    browser = Browser(entra.ca)
    page = await away(browser.open, started["verification_uri"])
    page = await away(browser.submit, page, user_code=started["user_code"])
    page = await away(browser.submit, page, username="alice@contoso.example", password="alice-password")
    await away(browser.submit, page)
    other = {"grant_type": DEVICE, "client_id": CLIENT_ID, "client_secret": SECRET}
    answer = await ask(entra, "token", {**other, "device_code": started["device_code"]})
    assert answer["error"] == "bad_verification_code"
    assert claims_of(await poll(entra, started["device_code"]))["upn"] == "alice@contoso.example"
    assert (await poll(entra, started["device_code"]))["error"] == "bad_verification_code"


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"client_id": ""}, 900144),
        ({"client_id": "unknown"}, 700016),
        ({"scope": ""}, 900144),
        ({"scope": "https://outlook.office.com/SMTP.SendAsApp"}, 650053),
        ({"scope": f"{SMTP_SEND} Mail.Send"}, 28000),
    ],
)
async def test_a_device_that_asks_wrongly_gets_no_code(entra: Emulator, changes: Form, number: int) -> None:
    assert (await start_device(entra, **changes))["error_codes"] == [number]


async def test_faults_on_order_speak_the_language_of_entra(entra: Emulator) -> None:
    scope = "https://outlook.office365.com/.default"
    entra.faults.order(Fault(stage="token", reply="400 AADSTS50196", application=CLIENT_ID))
    entra.faults.order(Fault(stage="token", reply="503 AADSTS90033: A transient error.", retry_after_seconds=7))
    entra.faults.order(Fault(stage="device-code", reply="500 down"))
    entra.faults.order(Fault(stage="device-code", reply="400 AADSTS700016"))
    answer = await app_token(entra, scope)
    assert answer["error"] == "invalid_grant" and "client request loop" in answer["error_description"]
    url, browser = f"{entra.authority}/oauth2/v2.0/token", Browser(entra.ca)
    page = await away(browser.open, url, {"grant_type": "client_credentials"})
    assert page.status == 503 and page.headers["Retry-After"] == "7"
    assert json.loads(page.text)["error"] == "temporarily_unavailable"
    page = await away(browser.open, url.replace("/token", "/devicecode"), {"client_id": PUBLIC})
    assert (page.status, page.text) == (500, "down")
    page = await away(browser.open, url.replace("/token", "/devicecode"), {"client_id": PUBLIC})
    assert json.loads(page.text)["error"] == "unauthorized_client" and "{" not in page.text[1:]
    assert "access_token" in await app_token(entra, scope)


_GRANT_TYPES = ("client_credentials", "authorization_code", "refresh_token", "password", DEVICE)
_VALUES = (CLIENT_ID, SECRET, SMTP_SEND, "https://graph.microsoft.com/.default", "alice@contoso.example", "1.x")
_WORDS = st.sampled_from((*_GRANT_TYPES, *_VALUES, "", "a.b.c", "e30.e30.e30"))
_NAMES = ["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "code"]
_NAMES += ["device_code", "refresh_token", "username", "password", "redirect_uri", "code_verifier", "client_info"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.dictionaries(st.sampled_from(_NAMES), _WORDS | st.text(max_size=40)))
def test_no_request_however_odd_raises(emulator: Emulator, form: Form) -> None:
    endpoint = emulator.token_authority.endpoint
    for tenant in (TENANT_ID, "common", "x"):
        answer = endpoint.answer(tenant, form, "login.microsoftonline.com")
        assert isinstance(answer, dict) or answer.body(NOON, "id")["error_codes"] == [answer.number]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.dictionaries(
        st.sampled_from(["client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "prompt"]),
        st.sampled_from([CLIENT_ID, "code", "http://localhost/", "none", SMTP_SEND, "form_post"])
        | st.text(max_size=40),
    ),
    cookie=st.text(max_size=40),
)
def test_no_authorization_request_however_odd_raises(emulator: Emulator, query: Form, cookie: str) -> None:
    redirects = {"applications": {CLIENT_ID: {"redirect_uris": ["http://localhost"]}}}
    emulator.control.patch(redirects)
    step = emulator.token_authority.sign_ins.begin(TENANT_ID, query, cookie)
    emulator.token_authority.sign_ins.proceed({**query, "flow": cookie})
    assert step.error is not None or "password" in getattr(step, "html", "")
