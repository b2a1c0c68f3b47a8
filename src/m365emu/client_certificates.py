"""Certificates for clients: one that a connector knows, one that an application signs with.

Purpose: spare a test the making of certificates. `client.pem` is signed by the emulator's CA, names
`relay.<domain>`, and comes with its chain: an inbound connector recognises it. `app.pem` is self-signed as is usual
for an app registration; its public part stands in the first tenant. Source: RFC 5280; "Certificate credentials for
application authentication" (RSA keys).
Failures: `OSError`, or `ValueError` for files that do not parse. Leaves to others: the CA (`certificates`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from m365emu.tenant_file import write_private

CLIENT_NAME = "relay.contoso.example"
"""The name in the certificate for connectors: a host of the first tenant."""

_LIFETIME = timedelta(days=397)
_APP_LIFETIME = timedelta(days=3650)
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificates:
    """Where the files are."""

    client: Path
    client_key: Path
    app: Path
    app_key: Path


def client_certificates(directory: Path) -> ClientCertificates:
    """Return where the files lie in an emulator's directory, whether they are there or not."""
    return ClientCertificates(
        client=directory / "client.pem",
        client_key=directory / "client-key.pem",
        app=directory / "app.pem",
        app_key=directory / "app-key.pem",
    )


def ensure_client_certificates(directory: Path, now: datetime) -> ClientCertificates:
    """Make what is missing, or no longer fits the CA; `ca.pem` and `ca-key.pem` must be there."""
    files = client_certificates(directory)
    ca = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    if not files.client_key.exists() or not _is_usable(files.client, ca, now):
        _make_client(files, ca, directory / "ca-key.pem", now)
    if not (files.app.exists() and files.app_key.exists()):
        issue_app_certificate(directory, now, _APP_LIFETIME)
    return files


def issue_app_certificate(directory: Path, now: datetime, lifetime: timedelta) -> str:
    """Write a new `app.pem` and `app-key.pem`; return the certificate in PEM form."""
    files = client_certificates(directory)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mail relay")])
    builder = _builder(name, name, now, lifetime).public_key(key.public_key())
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    write_private(files.app_key, _key_pem(key))
    files.app.write_bytes(pem)
    return pem.decode()


def _make_client(files: ClientCertificates, ca: x509.Certificate, ca_key_file: Path, now: datetime) -> None:
    signer = serialization.load_pem_private_key(ca_key_file.read_bytes(), password=None)
    if not isinstance(signer, EllipticCurvePrivateKey):
        raise ValueError(f"{ca_key_file} does not hold the key that was put there")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CLIENT_NAME)])
    builder = _builder(name, ca.subject, now, _LIFETIME).public_key(key.public_key())
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(CLIENT_NAME)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = builder.add_extension(issuer, critical=False).sign(signer, hashes.SHA256())
    write_private(files.client_key, _key_pem(key))
    files.client.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) + ca.public_bytes(serialization.Encoding.PEM)
    )


def _is_usable(file: Path, ca: x509.Certificate, now: datetime) -> bool:
    """Say whether the certificate is good for a while yet, and is one of this CA's."""
    if not file.exists():
        return False
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    key = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return certificate.not_valid_after_utc - now > _RENEW_BEFORE and issuer.key_identifier == key


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime, lifetime: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lifetime)
    )


def _key_pem(key: EllipticCurvePrivateKey | RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
