"""What `m365emu init` writes works as it is: certificates for clients, the connector, the applications."""

import asyncio
import smtplib
import ssl
from pathlib import Path

import msal
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from m365emu.background import Background
from m365emu.client_certificates import CLIENT_NAME, client_certificates, ensure_client_certificates
from m365emu.clock import SystemClock
from m365emu.tenant_file import read_tenant

EXCHANGE = ["https://outlook.office365.com/.default"]


@pytest.fixture
def authority_is_trusted(m365emu: Background, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in m365emu.environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("authority_is_trusted")
def test_msal_gets_a_token_with_the_certificate_that_was_written(m365emu: Background) -> None:
    files = client_certificates(m365emu.directory)
    certificate = x509.load_pem_x509_certificate(files.app.read_bytes())
    application = msal.ConfidentialClientApplication(
        m365emu.client_id,
        client_credential={
            "private_key": files.app_key.read_text(),
            "thumbprint": certificate.fingerprint(hashes.SHA1()).hex(),
            "public_certificate": files.app.read_text(),
        },
        authority=m365emu.authority,
        instance_discovery=False,
    )
    answer = application.acquire_token_for_client(EXCHANGE)
    assert "access_token" in answer, answer


def relay(m365emu: Background, context: ssl.SSLContext | None) -> None:
    host, _, port = m365emu.mx.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10, local_hostname="relay.contoso.example") as client:
        if context is not None:
            client.starttls(context=context)
        letter = "From: scanner@contoso.example\r\n\r\nHello\r\n"
        client.sendmail("scanner@contoso.example", ["someone@elsewhere.example"], letter)


def test_the_connector_knows_the_client_certificate_and_nobody_without_it(m365emu: Background) -> None:
    files = client_certificates(m365emu.directory)
    context = m365emu.ssl_context()
    context.check_hostname = False
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"5\.7\.64 TenantAttribution"):
        relay(m365emu, context)
    context.load_cert_chain(files.client, files.client_key)
    relay(m365emu, context)
    (record,) = m365emu.wait_for_messages("external")
    assert record.authentication == "connector:Own mail server"


def test_the_connector_knows_the_address_that_is_pretended(m365emu: Background) -> None:
    m365emu.order("pretend-address", address="198.51.100.10")
    relay(m365emu, None)
    assert m365emu.wait_for_messages("external")[0].client_ip == "198.51.100.10"


@pytest.mark.usefixtures("authority_is_trusted")
def test_the_public_client_begins_a_sign_in_by_device_code(m365emu: Background) -> None:
    application = msal.PublicClientApplication(
        m365emu.endpoints["public_client_id"], authority=m365emu.authority, instance_discovery=False
    )
    flow = application.initiate_device_flow(["https://outlook.office.com/SMTP.Send"])
    assert flow["user_code"] and flow["interval"] == 5


def test_the_client_certificate_is_renewed_with_its_authority_and_keeps_its_key_private(tmp_path: Path) -> None:
    from m365emu.emulator import prepare

    prepare(tmp_path, SystemClock())
    files = client_certificates(tmp_path)
    certificate = x509.load_pem_x509_certificate(files.client.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [CLIENT_NAME]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()))
    assert files.client_key.stat().st_mode & 0o077 == files.app_key.stat().st_mode & 0o077 == 0
    serialization.load_pem_private_key(files.app_key.read_bytes(), password=None)
    before = files.client.read_bytes()
    ensure_client_certificates(tmp_path, SystemClock().now())
    assert files.client.read_bytes() == before
    for name in ("ca.pem", "ca-key.pem"):
        (tmp_path / name).unlink()
    prepare(tmp_path, SystemClock())
    assert files.client.read_bytes() != before
    applications = read_tenant(tmp_path / "tenant.toml").applications.values()
    registered = [known.pem.strip() for application in applications for known in application.certificates]
    assert registered == [files.app.read_text().strip()]


async def test_a_background_emulator_serves_an_event_loop_beside_its_own(m365emu: Background) -> None:
    await asyncio.gather(*(asyncio.to_thread(m365emu.order, "deliver", to=["bob@contoso.example"]) for _ in range(5)))
    assert len(await m365emu.messages_arrived("bob@contoso.example", at_least=5)) == 5
