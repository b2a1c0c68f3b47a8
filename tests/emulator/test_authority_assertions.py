"""Client assertions: what proves an application, and each way in which it does not."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from tests.emulator.browser import Browser
from tests.emulator.talk import CLIENT_ID, NOON, SECRET, TENANT, TENANT_ID

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.tenant import tenant_from_document

SCOPE = "https://outlook.office365.com/.default"
ISSUER, SUBJECT = "https://issuer.example/", "system:serviceaccount:mail:relay"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
KEY, STRANGER = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)


def certificate_for(key: rsa.RSAPrivateKey, start: datetime, end: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail relay")])
    builder = x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    return builder.sign(key, hashes.SHA256())


CERTIFICATE = certificate_for(KEY, NOON - timedelta(days=1), NOON + timedelta(days=30))


def thumbprint(algorithm: hashes.HashAlgorithm, certificate: x509.Certificate = CERTIFICATE) -> str:
    import base64

    return base64.urlsafe_b64encode(certificate.fingerprint(algorithm)).rstrip(b"=").decode()


def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def document() -> dict[str, Any]:
    relay = {
        "name": "Mail relay",
        "object_id": "object-1",
        "certificates": [
            {"pem": "not a certificate"},
            {"pem": CERTIFICATE.public_bytes(serialization.Encoding.PEM).decode()},
        ],
        "federations": [{"issuer": ISSUER, "subject": SUBJECT, "public_key": pem(KEY)}],
        "secrets": [{"value": SECRET}],
    }
    return {**TENANT, "applications": {CLIENT_ID: relay}}


@pytest.fixture
async def entra(directory: Path, clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(directory, tenant=tenant_from_document(document()), clock=clock) as emulator:
        yield emulator


def signed(
    header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey | OctKey | ECKey = KEY, **changes: Any
) -> str:
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    used = RSAKey(key, key) if isinstance(key, rsa.RSAPrivateKey) else key
    return jwt.encode(header, claims, used, algorithms=[header["alg"]])


def own_claims(emulator: Emulator) -> dict[str, Any]:
    now = int(NOON.timestamp())
    return {
        "aud": f"{emulator.authority}/oauth2/v2.0/token",
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "jti": "one",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }


FEDERATED = {"iss": ISSUER, "sub": SUBJECT, "aud": EXCHANGE_AUDIENCE, "exp": int(NOON.timestamp()) + 600}


async def send(emulator: Emulator, assertion: str, **changes: str) -> dict[str, Any]:
    form = {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "scope": SCOPE,
        **changes,
    }
    page = await asyncio.to_thread(Browser(emulator.ca).open, f"{emulator.authority}/oauth2/v2.0/token", form)
    answer: dict[str, Any] = json.loads(page.text)
    return answer


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256())},
        {"alg": "RS256", "x5t": thumbprint(hashes.SHA1())},
        {"alg": "RS256", "x5t#S256": thumbprint(hashes.SHA256())},
        {"alg": "PS256", "x5t": thumbprint(hashes.SHA1()) + "="},
    ],
)
async def test_a_registered_certificate_proves_the_application(entra: Emulator, header: dict[str, Any]) -> None:
    assert "access_token" in await send(entra, signed(header, own_claims(entra)))


@pytest.mark.parametrize(
    "audience",
    [
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        "https://login.microsoftonline.com/contoso.example/v2.0",
        "https://login.microsoftonline.us/{tenant}/oauth2/token",
        "https://sts.windows.net/{tenant}/",
    ],
)
async def test_the_tenants_other_names_are_its_audience_too(entra: Emulator, audience: str) -> None:
    header = {"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256())}
    claims = {**own_claims(entra), "aud": audience.format(tenant=TENANT_ID)}
    assert "access_token" in await send(entra, signed(header, claims))


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"sub": "somebody-else"}, 700021),
        ({"iss": "somebody-else"}, 700021),
        ({"aud": "https://login.microsoftonline.com/fabrikam.example/oauth2/v2.0/token"}, 700023),
        ({"aud": "https://evil.example/contoso.example/oauth2/v2.0/token"}, 700023),
        ({"aud": "https://[evil"}, 700023),
        ({"aud": None}, 700023),
        ({"exp": int(NOON.timestamp()) - 301}, 700024),
        ({"nbf": int(NOON.timestamp()) + 301}, 700024),
        ({"exp": None}, 50027),
        ({"exp": "soon"}, 50027),
        ({"exp": 10**300}, 50027),
    ],
)
async def test_an_assertion_must_say_the_right_things(entra: Emulator, changes: dict[str, Any], number: int) -> None:
    header = {"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256())}
    answer = await send(entra, signed(header, own_claims(entra), **changes))
    assert answer["error_codes"] == [number]


@pytest.mark.parametrize(
    ("header", "key", "number"),
    [
        ({"alg": "PS256"}, KEY, 700027),
        ({"alg": "PS256", "x5t#S256": "AAAA"}, KEY, 700027),
        ({"alg": "PS256", "x5t": "%%%"}, KEY, 700027),
        ({"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256())}, STRANGER, 700027),
        ({"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256()), "crit": ["b64"], "b64": True}, KEY, 700027),
        ({"alg": "RS512", "x5t#S256": thumbprint(hashes.SHA256())}, KEY, 5002738),
        ({"alg": "HS256"}, OctKey.import_key(pem(KEY).replace("-----", "")), 5002738),
        ({"alg": "ES256"}, ECKey.generate_key("P-256"), 5002738),
    ],
)
async def test_an_assertion_must_be_signed_by_the_registered_key(
    entra: Emulator, header: dict[str, Any], key: Any, number: int
) -> None:
    assert (await send(entra, signed(header, own_claims(entra), key)))["error_codes"] == [number]


@pytest.mark.parametrize("text", ["x", "a.b.c", "....", "ü.ü.ü", "e30.e30.", "W10.W10.x", "A" * 20_000])
async def test_what_is_no_assertion_is_called_malformed(entra: Emulator, text: str) -> None:
    assert (await send(entra, text))["error_codes"][0] in (50027, 5002738)


async def test_a_certificate_ends_on_its_day(entra: Emulator, clock: ManualClock) -> None:
    clock.advance(timedelta(days=30))
    now = int(clock.now().timestamp())
    header = {"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256())}
    answer = await send(entra, signed(header, own_claims(entra), nbf=now, exp=now + 600))
    assert answer["error_codes"] == [700027] and "The key used is expired." in answer["error_description"]


async def test_an_assertion_is_good_again_while_it_lasts_unless_the_tenant_assumes_otherwise(entra: Emulator) -> None:
    header = {"alg": "PS256", "x5t#S256": thumbprint(hashes.SHA256())}
    assertion = signed(header, own_claims(entra))
    for _ in range(2):
        assert "access_token" in await send(entra, assertion)
    entra.control.patch({"assumptions": {"assertion_reuse": "refuse"}})
    assert (await send(entra, assertion))["error_codes"] == [50013]
    assert "access_token" in await send(entra, signed(header, own_claims(entra), jti="two"))


async def test_another_issuer_vouches_for_the_application(entra: Emulator) -> None:
    assert "access_token" in await send(entra, signed({"alg": "RS256", "kid": "k"}, FEDERATED))


@pytest.mark.parametrize(
    ("changes", "key", "number"),
    [
        ({"iss": "https://issuer.example"}, KEY, 70021),
        ({"aud": "https://login.microsoftonline.com"}, KEY, 70021),
        ({"sub": SUBJECT.upper()}, KEY, 700213),
        ({}, STRANGER, 7000272),
        ({"exp": int(NOON.timestamp()) - 301}, KEY, 700024),
    ],
)
async def test_another_issuer_is_believed_only_to_the_letter(
    entra: Emulator, changes: dict[str, Any], key: rsa.RSAPrivateKey, number: int
) -> None:
    answer = await send(entra, signed({"alg": "RS256", "kid": "k"}, FEDERATED, key, **changes))
    assert answer["error_codes"] == [number] and answer["error"] == "invalid_client"


async def test_the_kind_of_assertion_must_be_named(entra: Emulator) -> None:
    assertion = signed({"alg": "RS256"}, FEDERATED)
    assert (await send(entra, assertion, client_assertion_type="saml"))["error_codes"] == [900144]
