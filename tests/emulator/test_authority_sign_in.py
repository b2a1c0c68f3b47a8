"""The sign-in pages, as a person with a browser meets them: steps, refusals, and the way back."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from tests.emulator.browser import Browser, Page
from tests.emulator.talk import CLIENT_ID, NOON, TENANT, TENANT_ID

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import tenant_from_document

T = TypeVar("T")
APP = "22222222-2222-3333-4444-555555555555"
BACK = "http://localhost:8400/back"
SCOPE = "https://outlook.office.com/SMTP.Send offline_access openid profile"
VERIFIER = "a-verifier-that-is-long-enough-to-be-legal-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
OTHER_TENANT = "77777777-8888-7777-6666-555555555555"


def document() -> dict[str, Any]:
    app = {
        "name": "Mail <relay>",
        "object_id": "object-2",
        "roles": [],
        "delegated": ["SMTP.Send", "Mail.Send"],
        "public_client": True,
        "redirect_uris": ["http://localhost/back", "https://app.example/back?from=entra"],
    }
    fabrikam = {
        "id": OTHER_TENANT,
        "name": "Fabrikam",
        "domains": ["fabrikam.example"],
        "mailboxes": {"carol@fabrikam.example": {"password": "carol-password"}},
        "applications": {APP: app},
    }
    relay = {"name": "Mail relay", "object_id": "object-1"}
    return {**TENANT, "applications": {CLIENT_ID: relay, APP: app}, "others": {"fabrikam": fabrikam}}


@pytest.fixture
async def entra(directory: Path, clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(directory, tenant=tenant_from_document(document()), clock=clock) as emulator:
        yield emulator


async def away(do: Callable[..., T], *args: Any, **more: Any) -> T:
    return await asyncio.to_thread(do, *args, **more)


def address(emulator: Emulator, tenant: str = TENANT_ID, **changes: str) -> str:
    query = {
        "client_id": APP,
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": SCOPE,
        "state": "the state",
        "nonce": "the nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    base = emulator.authority.rpartition("/")[0]
    return f"{base}/{tenant}/oauth2/v2.0/authorize?" + urlencode({k: v for k, v in query.items() if v})


def redeem(emulator: Emulator, browser: Browser, code: str, **changes: str) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "client_id": APP,
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    page = browser.open(f"{emulator.authority}/oauth2/v2.0/token", {k: v for k, v in form.items() if v})
    answer: dict[str, Any] = json.loads(page.text)
    return answer


async def code_for(emulator: Emulator, browser: Browser, **changes: str) -> str:
    page = await away(browser.sign_in, address(emulator, **changes))
    page = page if page.sent_to else await away(browser.submit, page)
    return page.answer["code"]


async def test_the_code_brings_an_id_token_that_any_library_can_verify(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    page = await away(browser.sign_in, address(entra))
    assert "Send mail from your mailbox using SMTP AUTH" in page.text and page.answers == ["accept", "cancel"]
    page = await away(browser.submit, page)
    assert page.sent_to.startswith(f"{BACK}?code=") and page.answer["state"] == "the state"
    answer = await away(redeem, entra, browser, page.answer["code"])
    found = await away(browser.open, f"{entra.authority}/v2.0/.well-known/openid-configuration")
    configuration = json.loads(found.text)
    keys = KeySet.import_key_set(json.loads((await away(browser.open, configuration["jwks_uri"])).text))
    claims = jwt.decode(answer["id_token"], keys, algorithms=["RS256"]).claims
    assert claims["iss"] == configuration["issuer"] and claims["aud"] == APP and claims["nonce"] == "the nonce"
    assert claims["preferred_username"] == "alice@contoso.example" and claims["tid"] == TENANT_ID
    assert claims["iat"] == int(NOON.timestamp()) and claims["exp"] - claims["iat"] == 3600


async def test_pages_hold_no_foreign_markup_run_no_script_and_cannot_be_framed(entra: Emulator) -> None:
    page = await away(Browser(entra.ca).open, address(entra, login_hint='"><script>alert(1)</script>'))
    assert "Mail &lt;relay&gt;" in page.text and "<script" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "http" not in page.text.replace('action="/', "").partition("<body>")[2]


@pytest.mark.parametrize(
    ("patch", "user", "password", "number"),
    [
        ({}, "nobody@contoso.example", "x", 50034),
        ({}, "carol@fabrikam.example", "carol-password", 50034),
        ({}, "alice@contoso.example", "wrong", 50126),
        ({}, "shared@contoso.example", "anything", 50126),
        (
            {"mailboxes": {"shared@contoso.example": {"kind": "shared", "password": "shared-password"}}},
            "shared@contoso.example",
            "",
            50057,
        ),
        ({"mailboxes": {"alice@contoso.example": {"account": "locked"}}}, "alice@contoso.example", "", 50053),
        ({"mailboxes": {"alice@contoso.example": {"account": "disabled"}}}, "alice@contoso.example", "", 50057),
        ({"mailboxes": {"alice@contoso.example": {"account": "password-expired"}}}, "alice@contoso.example", "", 50055),
        ({"switches": {"conditional_access_blocks_tokens": True}}, "alice@contoso.example", "", 53003),
        ({"applications": {APP: {"delegated_consent": "none"}}}, "alice@contoso.example", "", 90094),
        ({"switches": {"user_consent": False}}, "alice@contoso.example", "", 90094),
    ],
)
async def test_who_is_refused_reads_why_and_it_is_counted(
    entra: Emulator, patch: dict[str, Any], user: str, password: str, number: int
) -> None:
    entra.control.patch(patch)
    page = await away(Browser(entra.ca).sign_in, address(entra), user, password)
    assert f"AADSTS{number}" in page.text and not page.sent_to
    assert entra.statistics.tokens == {f"AADSTS{number}": 1}


async def test_wrong_passwords_lock_the_account_for_a_while(entra: Emulator, clock: ManualClock) -> None:
    browser = Browser(entra.ca)
    entra.control.patch({"limits": {"lockout_failures": 3}})
    for _ in range(3):
        page = await away(browser.sign_in, address(entra), password="wrong")
        assert "AADSTS50126" in page.text
    assert "AADSTS50053" in (await away(browser.sign_in, address(entra))).text
    clock.advance(timedelta(minutes=2))
    assert "Permissions requested" in (await away(browser.sign_in, address(entra))).text


async def test_a_second_factor_is_asked_for_where_account_or_policy_wants_one(entra: Emulator) -> None:
    for patch in (
        {"mailboxes": {"alice@contoso.example": {"mfa": True}}},
        {"mailboxes": {"alice@contoso.example": {"mfa": False}}, "switches": {"security_defaults": True}},
    ):
        entra.control.patch(patch)
        browser = Browser(entra.ca)
        page = await away(browser.sign_in, address(entra))
        shown = page.text.partition('id="number">')[2][:2]
        again = await away(browser.submit, page, number="00")
        assert "That was another number." in again.text
        assert "Permissions requested" in (await away(browser.submit, again, number=shown)).text


async def test_consent_is_asked_for_once_and_again_when_wanted(entra: Emulator) -> None:
    await code_for(entra, Browser(entra.ca))
    browser = Browser(entra.ca)
    page = await away(browser.sign_in, address(entra))
    assert "code" in page.answer
    page = await away(browser.open, address(entra, prompt="consent"))
    assert "Permissions requested" in page.text
    page = await away(browser.open, address(entra, scope=f"{SCOPE} https://graph.microsoft.com/Mail.Send"))
    assert "Send mail as you" in page.text and "SMTP AUTH" not in page.text


async def test_an_administrators_consent_spares_the_page(entra: Emulator) -> None:
    entra.control.patch({"applications": {APP: {"delegated_consent": "admin"}}})
    assert "code" in (await away(Browser(entra.ca).sign_in, address(entra))).answer


async def test_an_administrator_consents_for_everybody_at_the_address_for_it(entra: Emulator) -> None:
    entra.control.patch(
        {
            "mailboxes": {"bob@contoso.example": {"administrator": True}},
            "applications": {APP: {"roles": ["SMTP.SendAsApp"], "consent": False, "delegated_consent": "none"}},
        }
    )
    query = urlencode(
        {"client_id": APP, "redirect_uri": BACK, "state": "s", "scope": "https://graph.microsoft.com/.default"}
    )
    url = f"{entra.authority}/v2.0/adminconsent?{query}"
    page = await away(Browser(entra.ca).sign_in, url)
    assert "AADSTS90094" in page.text and page.answers == ["cancel"]
    forced = await away(Browser(entra.ca).open, page.url, {**page.fields, "answer": "accept"})
    assert forced.answer["error"] == "access_denied" and not entra.tenant.applications[APP].consent
    page = await away(Browser(entra.ca).sign_in, url, "bob@contoso.example")
    refused = await away(Browser(entra.ca).submit, page, "cancel")
    assert refused.answer["error"] == "access_denied" and refused.answer["admin_consent"] == "True"
    page = await away(Browser(entra.ca).submit, page)
    assert page.answer["admin_consent"] == "True" and page.answer["tenant"] == TENANT_ID
    assert entra.tenant.applications[APP].consent
    assert "code" in (await away(Browser(entra.ca).sign_in, address(entra))).answer


async def test_an_administrator_may_consent_where_users_may_not(entra: Emulator) -> None:
    entra.control.patch(
        {"switches": {"user_consent": False}, "mailboxes": {"bob@contoso.example": {"administrator": True}}}
    )
    page = await away(Browser(entra.ca).sign_in, address(entra), "bob@contoso.example")
    assert "code" in (await away(Browser(entra.ca).submit, page)).answer


async def test_a_browser_that_signed_in_is_not_asked_again_unless_the_application_says_so(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    page = await away(browser.open, address(entra, prompt="none"))
    assert page.answer["error"] == "login_required" and "AADSTS50058" in page.answer["error_description"]
    await code_for(entra, browser)
    assert "code" in (await away(browser.open, address(entra, prompt="none"))).answer
    assert "code" in (await away(browser.open, address(entra))).answer
    for changes in ({"prompt": "login"}, {"prompt": "select_account"}, {"login_hint": "bob@contoso.example"}):
        assert 'name="password"' in (await away(browser.open, address(entra, **changes))).text
    page = await away(browser.open, address(entra, prompt="none", scope="Mail.Send"))
    assert page.answer["error"] == "consent_required"
    entra.control.patch({"mailboxes": {"alice@contoso.example": {"password": "another"}}})
    assert (await away(browser.open, address(entra, prompt="none"))).answer["error"] == "login_required"


async def test_signing_out_makes_the_browser_forget(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    await code_for(entra, browser)
    await away(browser.open, f"{entra.authority}/oauth2/v2.0/logout")
    assert (await away(browser.open, address(entra, prompt="none"))).answer["error"] == "login_required"


@pytest.mark.parametrize("tenant", ["common", "organizations"])
async def test_where_no_tenant_is_named_the_users_own_tenant_answers(entra: Emulator, tenant: str) -> None:
    browser = Browser(entra.ca)
    page = await away(browser.sign_in, address(entra, tenant), "carol@fabrikam.example")
    page = await away(browser.submit, page)
    answer = await away(redeem, entra, browser, page.answer["code"])
    assert answer["error_codes"] == [70000]  # the code belongs to another tenant than the one in the path
    base = entra.authority.rpartition("/")[0]
    page = await away(browser.open, address(entra, tenant))
    form = {"grant_type": "authorization_code", "client_id": APP, "code": page.answer["code"], "redirect_uri": BACK}
    posted = await away(browser.open, f"{base}/{tenant}/oauth2/v2.0/token", {**form, "code_verifier": VERIFIER})
    body = json.loads(posted.text)["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["tid"] == OTHER_TENANT and claims["upn"] == "carol@fabrikam.example"


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"client_id": ""}, 900144),
        ({"client_id": "unknown"}, 700016),
        ({"redirect_uri": "http://localhost:8400/elsewhere"}, 50011),
        ({"redirect_uri": "https://app.example/back"}, 50011),
        ({"redirect_uri": "http://localhost.evil.example/back"}, 50011),
        ({"redirect_uri": "http://alice@localhost/back"}, 50011),
        ({"redirect_uri": "https://localhost/back"}, 50011),
        ({"redirect_uri": "http://[localhost/back"}, 50011),
        ({"redirect_uri": "javascript:alert(1)"}, 50011),
        ({"redirect_uri": "http://localhost:84\r\n00/back"}, 50011),
        ({"redirect_uri": "http://localhost:port/back"}, 50011),
    ],
)
async def test_a_request_that_cannot_be_answered_safely_is_answered_on_the_spot(
    entra: Emulator, changes: dict[str, str], number: int
) -> None:
    page = await away(Browser(entra.ca).open, address(entra, **changes))
    assert page.status == 400 and f"AADSTS{number}" in page.text and not page.sent_to


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"response_type": "token"}, "unsupported_response_type", 700054),
        ({"response_mode": "smoke"}, "invalid_request", 9002313),
        ({"code_challenge": "short"}, "invalid_request", 501491),
        ({"code_challenge_method": "MD5"}, "invalid_request", 9002313),
        ({"scope": ""}, "invalid_request", 900144),
        ({"scope": "https://outlook.office.com/SMTP.SendAsApp"}, "invalid_scope", 650053),
        ({"scope": "https://example.com/Read"}, "invalid_resource", 500011),
    ],
)
async def test_a_request_that_is_wrong_goes_back_with_its_error(
    entra: Emulator, changes: dict[str, str], error: str, number: int
) -> None:
    page = await away(Browser(entra.ca).open, address(entra, **changes))
    assert page.answer["error"] == error and page.answer["state"] == "the state"
    assert page.answer["error_description"].startswith(f"AADSTS{number}: ")


async def test_the_answer_comes_in_the_mode_that_was_asked_for(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    await code_for(entra, browser)
    page = await away(browser.open, address(entra, response_mode="fragment"))
    assert "code" in dict(parse_qsl(urlsplit(page.sent_to).fragment)) and "?" not in page.sent_to
    page = await away(browser.open, address(entra, response_mode="form_post"))
    assert page.action == BACK and page.fields["state"] == "the state" and page.fields["code"]
    page = await away(browser.open, address(entra, redirect_uri="https://app.example/back?from=entra"))
    assert page.sent_to.startswith("https://app.example/back?from=entra&code=")


async def test_an_old_page_and_a_forged_one_lead_nowhere(entra: Emulator, clock: ManualClock) -> None:
    browser = Browser(entra.ca)
    page = await away(browser.open, address(entra))
    clock.advance(timedelta(minutes=16))
    assert (await away(browser.submit, page, username="alice@contoso.example", password="alice-password")).status == 400
    for flow in ("", "x", "ü", "A" * 50_000, page.fields["flow"][:-2]):
        late = await away(browser.open, f"{entra.authority}/login", {"flow": flow, "username": "alice@contoso.example"})
        assert late.status == 400 and "Sign in again" in late.text


async def test_a_wrong_device_code_is_asked_for_again(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    base = entra.authority.rpartition("/")[0]
    page = await away(browser.open, f"{base}/devicelogin?otc=<b>")
    assert page.fields["user_code"] == "<b>"
    page = await away(browser.submit, page, user_code="NOSUCHONE")
    assert "That code did not work." in page.text


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"code": "1.unknown"}, 9002313),
        ({"code": ""}, 900144),
        ({"redirect_uri": "http://localhost:9/back"}, 500112),
        ({"redirect_uri": ""}, 500112),
        ({"code_verifier": ""}, 900144),
        ({"code_verifier": "another-verifier-that-is-long-enough-0123456789"}, 501481),
        ({"scope": f"{SCOPE} https://graph.microsoft.com/Mail.Send"}, 28000),
        ({"scope": "https://graph.microsoft.com/Mail.Read"}, 65001),
        ({"scope": "https://outlook.office.com/SMTP.SendAsApp"}, 650053),
        ({"client_id": "unknown"}, 700016),
    ],
)
async def test_a_code_is_redeemed_only_as_it_was_given(entra: Emulator, changes: dict[str, str], number: int) -> None:
    browser = Browser(entra.ca)
    code = await code_for(entra, browser)
    answer = await away(redeem, entra, browser, **{"code": code, **changes})
    assert answer["error_codes"] == [number]


async def test_a_code_is_good_once_and_for_ten_minutes(entra: Emulator, clock: ManualClock) -> None:
    browser = Browser(entra.ca)
    code = await code_for(entra, browser)
    assert "access_token" in await away(redeem, entra, browser, code)
    assert (await away(redeem, entra, browser, code))["error_codes"] == [54005]
    code = await code_for(entra, Browser(entra.ca))
    clock.advance(timedelta(minutes=10))
    assert (await away(redeem, entra, browser, code))["error_codes"] == [70008]


async def test_a_plain_challenge_works_as_documented(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    plain: Page = await away(browser.sign_in, address(entra, code_challenge=VERIFIER, code_challenge_method="plain"))
    page = await away(browser.submit, plain)
    assert "access_token" in await away(redeem, entra, browser, page.answer["code"])


async def test_two_resources_are_agreed_to_at_once_and_fetched_one_by_one(entra: Emulator) -> None:
    browser = Browser(entra.ca)
    code = await code_for(entra, browser, scope=f"{SCOPE} https://graph.microsoft.com/Mail.Send")
    answer = await away(redeem, entra, browser, code)
    assert "https://outlook.office.com/SMTP.Send" in answer["scope"]
    form = {"grant_type": "refresh_token", "client_id": APP, "refresh_token": answer["refresh_token"]}
    form["scope"] = "https://graph.microsoft.com/Mail.Send"
    page = await away(browser.open, f"{entra.authority}/oauth2/v2.0/token", form)
    assert json.loads(page.text)["scope"] == "https://graph.microsoft.com/Mail.Send"
