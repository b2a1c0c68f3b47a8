"""A tenant with an application that may prove itself in every way, and what it proves itself with."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.emulator.browser import Browser, Page

from m365emu.applications import KeyCertificate
from m365emu.emulator import Emulator
from m365emu.tenant import Tenant, tenant_from_document
from posthouse.decide.identities import ClientSecret

TENANT_ID = "11111111-aaaa-bbbb-cccc-000000000001"
CLIENT = "11111111-2222-3333-4444-555555555555"
PUBLIC = "22222222-2222-3333-4444-555555555555"
SECRET = "client-secret-planted-~1234567890"
PASSPHRASE = "passphrase-planted"
ISSUER, SUBJECT = "https://issuer.example", "system:serviceaccount:mail:posthouse"
KEY = rsa.generate_private_key(65537, 2048)
FOREIGN_KEY = RSAKey.generate_key(2048)


def make_certificate(key: rsa.RSAPrivateKey, *, days: int = 100, name: str = "mail relay") -> x509.Certificate:
    """A certificate that signs itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    now = datetime.now(UTC)
    return (
        builder.not_valid_before(now - timedelta(days=200))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


CERTIFICATE = make_certificate(KEY)
CERTIFICATE_PEM = CERTIFICATE.public_bytes(Encoding.PEM)
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_credentials(directory: Path) -> None:
    """Write every form in which an operator may keep the credentials."""
    phrase = BestAvailableEncryption(PASSPHRASE.encode())
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, phrase)
    (directory / "both.pem").write_bytes(KEY_PEM + CERTIFICATE_PEM)
    (directory / "app.crt").write_bytes(CERTIFICATE_PEM)
    (directory / "app.key").write_bytes(KEY_PEM)
    (directory / "locked.pem").write_bytes(CERTIFICATE_PEM + locked)
    (directory / "app.pfx").write_bytes(pkcs12.serialize_key_and_certificates(b"app", KEY, CERTIFICATE, None, phrase))
    (directory / "passphrase").write_text(PASSPHRASE + "\n")
    (directory / "secret").write_text(SECRET + "\n")
    (directory / "token").write_text(foreign_token())


def foreign_token() -> str:
    """What another issuer says of this machine."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange", "iat": now, "exp": now + 300}
    return jwt.encode({"alg": "RS256"}, claims, FOREIGN_KEY)


def tenant() -> Tenant:
    """The tenant."""
    document: dict[str, Any] = {
        "id": TENANT_ID,
        "name": "Contoso",
        "domains": ["contoso.example"],
        "limits": {"device_code_interval": 1},
        "mailboxes": {
            "relay@contoso.example": {
                "password": "relay-password",
                "full_access": [CLIENT],
            },
            "alice@contoso.example": {"password": "alice-password"},
        },
        "applications": {
            CLIENT: {
                "name": "Mail relay",
                "object_id": "object-1",
                "roles": ["SMTP.SendAsApp", "Mail.Send", "Mail.Read", "Application.Read.All"],
                "managed_identity": True,
                "secrets": [{"value": SECRET}],
                "certificates": [{"pem": CERTIFICATE_PEM.decode()}],
                "federations": [
                    {"issuer": ISSUER, "subject": SUBJECT, "public_key": FOREIGN_KEY.as_pem(private=False).decode()}
                ],
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
    return tenant_from_document(document)


def type_device_code(emulator: Emulator, url: str, user_code: str, answer: str = "accept") -> None:
    """What the person does: open the page, type the code, sign in, agree. Blocks."""
    browser = Browser(emulator.ca)
    page = browser.submit(browser.open(url), user_code=user_code)
    page = browser.submit(page, username="alice@contoso.example", password="alice-password")
    browser.submit(page, answer)


def sign_in_by_browser(emulator: Emulator, url: str) -> Page:
    """What the person does in a browser; gives where it is sent back to. Blocks."""
    browser = Browser(emulator.ca)
    page = browser.sign_in(url)
    if not page.sent_to:
        page = browser.submit(page)
    assert page.sent_to.startswith("http://localhost"), page.text
    return page


def add_certificate(emulator: Emulator, pem: str) -> None:
    """What the Entra administrator does with the public part of a new certificate."""
    application = emulator.tenant.applications[CLIENT]
    known = msgspec.structs.replace(application, certificates=(*application.certificates, KeyCertificate(pem=pem)))
    applications = {**emulator.tenant.applications, CLIENT: known}
    emulator.directory.replace(msgspec.structs.replace(emulator.tenant, applications=applications))


def settings_of(emulator: Emulator) -> dict[str, object]:
    """What all identities of the application have in common."""
    return {
        "name": "app",
        "tenant": TENANT_ID,
        "client_id": CLIENT,
        "authority": emulator.authority,
        "ca": emulator.ca,
    }


def secret_identity(emulator: Emulator, **changes: object) -> ClientSecret:
    """The application by its secret."""
    return ClientSecret(**{**settings_of(emulator), "client_secret": "file:secret", **changes})  # type: ignore[arg-type]
