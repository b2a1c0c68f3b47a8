"""The token endpoint: with Microsoft's own client library over TLS, and its refusals."""

import asyncio
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msal
import pytest
from tests.emulator.talk import CLIENT_ID, SECRET, TENANT_ID, Talk, bearer

from m365emu.emulator import Emulator
from m365emu.entra.catalogue import REFUSALS
from m365emu.faults import Fault
from m365emu.fidelity import read_fidelity

SCOPE = "https://outlook.office365.com/.default"
FORM = {
    "grant_type": "client_credentials",
    "client_id": CLIENT_ID,
    "client_secret": SECRET,
    "scope": SCOPE,
}


def ask(emulator: Emulator, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, Any]:
    """Send a request as any HTTP client would; return status and JSON."""
    base = emulator.authority.rpartition("/")[0]
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(f"{base}{path}", data, {k.replace("_", "-"): v for k, v in headers.items()})
    context = ssl.create_default_context(cafile=emulator.ca)
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


async def token(emulator: Emulator, **changes: str) -> tuple[int, Any]:
    form = {key: value for key, value in {**FORM, **changes}.items() if value}
    return await asyncio.to_thread(ask, emulator, f"/{TENANT_ID}/oauth2/v2.0/token", form)


def acquire(emulator: Emulator, secret: str = SECRET, client_id: str = CLIENT_ID) -> dict[str, Any]:
    app = msal.ConfidentialClientApplication(
        client_id,
        client_credential=secret,
        authority=emulator.authority,
        instance_discovery=False,
        verify=str(emulator.ca),
    )
    result: dict[str, Any] = app.acquire_token_for_client([SCOPE])
    return result


@pytest.mark.usefixtures("no_ca_bundle_in_the_environment")
async def test_msal_gets_a_token_over_tls_and_the_submission_host_takes_it(running: Emulator) -> None:
    result = await asyncio.to_thread(acquire, running)
    assert result["token_type"] == "Bearer" and result["expires_in"] == 3599
    talk = Talk(running).encrypt()
    assert talk.say(f"AUTH XOAUTH2 {bearer('relay@contoso.example', result['access_token'])}").startswith("235 ")


@pytest.mark.usefixtures("no_ca_bundle_in_the_environment")
async def test_msal_reports_the_refusals_as_entra_words_them(running: Emulator) -> None:
    result = await asyncio.to_thread(acquire, running, "wrong")
    assert result["error"] == "invalid_client" and result["error_codes"] == [7000215]
    assert result["error_description"].startswith("AADSTS7000215: Invalid client secret provided. ")
    result = await asyncio.to_thread(acquire, running, SECRET, "00000000-0000-0000-0000-000000000000")
    assert result["error"] == "unauthorized_client" and result["error_codes"] == [700016]


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"client_id": "unknown"}, 400, "unauthorized_client", 700016),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"grant_type": ""}, 400, "invalid_request", 900144),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type", 70003),
        ({"scope": ""}, 400, "invalid_request", 900144),
        ({"scope": "https://outlook.office365.com/SMTP.Send"}, 400, "invalid_scope", 1002012),
        ({"scope": f"{SCOPE} https://graph.microsoft.com/.default"}, 400, "invalid_scope", 28000),
        ({"scope": "https://example.com/.default"}, 400, "invalid_resource", 500011),
    ],
)
async def test_each_refusal_has_its_number_its_error_and_its_status(
    running: Emulator, changes: dict[str, str], status: int, error: str, number: int
) -> None:
    got_status, body = await token(running, **changes)
    assert (got_status, body["error"], body["error_codes"]) == (status, error, [number])
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert set(body) == {
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    }
    assert running.statistics.tokens == {f"AADSTS{number}": 1}


async def test_a_secret_that_ended_is_told_apart_from_a_wrong_one(running: Emulator) -> None:
    running.control.carry_out(running.control.read(b'{"action": "expire-secrets"}'))
    assert (await token(running))[1]["error_codes"] == [7000222]
    assert (await token(running, client_secret="wrong"))[1]["error_codes"] == [7000215]
    running.control.carry_out(running.control.read(b'{"action": "renew-secrets"}'))
    assert (await token(running))[0] == 200


async def test_an_unknown_tenant_is_refused_for_discovery_and_for_tokens(running: Emulator) -> None:
    for path, form in (
        ("/fabrikam.example/v2.0/.well-known/openid-configuration", None),
        ("/fabrikam.example/oauth2/v2.0/token", FORM),
    ):
        status, body = await asyncio.to_thread(ask, running, path, form)
        assert status == 400 and body["error_codes"] == [90002]
        assert body["error_description"].startswith("AADSTS90002: Tenant 'fabrikam.example' not found. ")


async def test_the_tenant_may_be_named_by_its_domain_and_discovery_names_its_id(running: Emulator) -> None:
    status, body = await asyncio.to_thread(ask, running, "/contoso.example/v2.0/.well-known/openid-configuration")
    assert status == 200
    assert body["token_endpoint"] == f"{running.authority}/oauth2/v2.0/token"
    assert body["jwks_uri"] == f"{running.authority}/discovery/v2.0/keys"


async def test_the_published_key_verifies_the_token_and_holds_nothing_private(running: Emulator) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    _, keys = await asyncio.to_thread(ask, running, f"/{TENANT_ID}/discovery/v2.0/keys")
    _, answer = await token(running)
    claims = jwt.decode(answer["access_token"], KeySet.import_key_set(keys), algorithms=["RS256"]).claims
    assert claims["aud"] == "https://outlook.office365.com" and claims["roles"] == ["SMTP.SendAsApp"]
    assert claims["tid"] == TENANT_ID and claims["appid"] == CLIENT_ID and claims["exp"] - claims["iat"] == 3600
    assert set(keys["keys"][0]) == {"kty", "n", "e", "kid", "use", "x5t"}


async def test_the_correlation_id_of_the_request_comes_back(running: Emulator) -> None:
    wanted = "0f8fad5b-d9cb-469f-a165-70867728950e"
    path, form = f"/{TENANT_ID}/oauth2/v2.0/token", {**FORM, "scope": "none"}
    _, body = await asyncio.to_thread(ask, running, path, form, client_request_id=wanted)
    assert body["correlation_id"] == wanted
    _, body = await asyncio.to_thread(ask, running, path, form, client_request_id="<script>")
    assert body["correlation_id"] != "<script>"


async def test_credentials_may_come_by_http_basic(running: Emulator) -> None:
    import base64

    credentials = base64.b64encode(f"{CLIENT_ID}:{urllib.parse.quote_plus(SECRET)}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": SCOPE}
    path = f"/{TENANT_ID}/oauth2/v2.0/token"
    status, _ = await asyncio.to_thread(ask, running, path, form, Authorization=f"Basic {credentials}")
    assert status == 200


async def test_the_token_endpoint_can_be_out_of_order(running: Emulator) -> None:
    running.faults.order(Fault(stage="token", reply="503 Service Unavailable"))
    running.faults.order(Fault(stage="token"))
    base = f"/{TENANT_ID}/oauth2/v2.0/token"
    with pytest.raises(json.JSONDecodeError):
        await asyncio.to_thread(ask, running, base, FORM)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        await asyncio.to_thread(ask, running, base, FORM)
    assert (await token(running))[0] == 200


def test_every_refusal_of_entra_stands_on_the_page_that_says_what_is_certain() -> None:
    covered = {reason for fact in read_fidelity().facts for reason in fact.reasons}
    assert {f"AADSTS{refusal.number}" for refusal in REFUSALS} <= covered
