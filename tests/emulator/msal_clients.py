"""Clients made of Microsoft's own library, the tenant they belong to, and a person who signs them in."""

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msal
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey
from requests.adapters import HTTPAdapter
from tests.emulator.browser import Browser
from tests.emulator.talk import CLIENT_ID, SECRET, TENANT, TENANT_ID, Talk, bearer

from m365emu.emulator import Emulator

T = TypeVar("T")
APP_SCOPE = "https://outlook.office365.com/.default"
SMTP_SEND = "https://outlook.office.com/SMTP.Send"
PUBLIC = "22222222-2222-3333-4444-555555555555"
ISSUER, SUBJECT = "https://issuer.example", "repo:contoso/site:ref:refs/heads/main"


def make_certificate(key: rsa.RSAPrivateKey, days: int = 30) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail relay")])
    start = datetime.now(UTC) - timedelta(days=60)
    builder = x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
    return builder.not_valid_after(datetime.now(UTC) + timedelta(days=days)).sign(key, hashes.SHA256())


KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = make_certificate(KEY)
KEY_PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
CERTIFICATE_PEM = CERTIFICATE.public_bytes(serialization.Encoding.PEM).decode()
FOREIGN_KEY = RSAKey.generate_key(2048)


def document() -> dict[str, Any]:
    """The tenant of the tests, with an application that can prove itself in every way, and a public client."""
    return {
        **TENANT,
        "limits": {"device_code_interval": 1},
        "applications": {
            CLIENT_ID: {
                "name": "Mail relay",
                "object_id": "object-1",
                "roles": ["SMTP.SendAsApp", "Mail.Send", "Mail.Read"],
                "delegated": ["SMTP.Send"],
                "managed_identity": True,
                "secrets": [{"value": SECRET}],
                "certificates": [{"pem": CERTIFICATE_PEM}],
                "federations": [
                    {"issuer": ISSUER, "subject": SUBJECT, "public_key": FOREIGN_KEY.as_pem(private=False).decode()}
                ],
                "redirect_uris": ["https://app.example/back"],
            },
            PUBLIC: {
                "name": "Mail relay, signed in",
                "object_id": "object-2",
                "roles": [],
                "delegated": ["SMTP.Send", "Mail.Send"],
                "public_client": True,
                "redirect_uris": ["http://localhost"],
            },
        },
    }


class _LedToTheEmulator(HTTPAdapter):
    """Connects to the emulator when a host of Microsoft's is asked for, and verifies the host's name all the same."""

    def __init__(self, emulator: Emulator) -> None:
        self._address = emulator.authority.split("/")[2]
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, assert_hostname="login.microsoftonline.com")

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.headers["Host"] = "login.microsoftonline.com"
        request.url = request.url.replace("login.microsoftonline.com", self._address, 1)
        return super().send(request, *args, **kwargs)


def as_in_reality(emulator: Emulator) -> requests.Session:
    session = requests.Session()
    session.trust_env, session.verify = False, str(emulator.ca)
    session.mount("https://login.microsoftonline.com/", _LedToTheEmulator(emulator))
    return session


def confidential(emulator: Emulator, credential: object, **more: Any) -> Any:
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential=credential,
        authority=emulator.authority,
        instance_discovery=False,
        verify=str(emulator.ca),
        **more,
    )


def public(emulator: Emulator, tenant: str = TENANT_ID, **more: Any) -> Any:
    base = emulator.authority.rpartition("/")[0]
    return msal.PublicClientApplication(
        PUBLIC, authority=f"{base}/{tenant}", instance_discovery=False, verify=str(emulator.ca), **more
    )


def claims_of(result: dict[str, Any]) -> dict[str, Any]:
    assert "access_token" in result, result
    body = result["access_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def accepted_by_smtp(emulator: Emulator, user: str, result: dict[str, Any]) -> bool:
    reply = Talk(emulator).encrypt().say(f"AUTH XOAUTH2 {bearer(user, result['access_token'])}")
    return reply.startswith("235 ")


async def away(do: Callable[..., T], *args: Any) -> T:
    """Run what blocks in a thread, while the emulator serves in the loop."""
    return await asyncio.to_thread(do, *args)


def device_sign_in(emulator: Emulator, app: Any, answer: str = "accept", scopes: list[str] | None = None) -> Any:
    """Go through the device flow: show a code, let the person type it and answer, poll."""
    flow = app.initiate_device_flow(scopes or [SMTP_SEND])
    assert flow["user_code"] in flow["message"] and flow["verification_uri"] in flow["message"], flow
    browser = Browser(emulator.ca)
    page = browser.submit(browser.open(flow["verification_uri"]), user_code=flow["user_code"].lower())
    page = browser.submit(page, username="alice@contoso.example", password="alice-password")
    assert "on another device?" in page.text
    page = browser.submit(page, answer)
    assert ("You have signed in to" in page.text) == (answer == "accept")
    return app.acquire_token_by_device_flow(flow)
