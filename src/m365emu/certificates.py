"""The emulator's own certification authority and server certificate.

Purpose: TLS that a client can verify by trusting one file, `ca.pem`. Source: RFC 5280 4.2.
Shape: `ensure_certificates` makes what is missing and gives the paths; a server certificate that ends within
thirty days, or lacks a name, is made anew. The certificate names the hosts that clients would meet in reality, so
that a test may point those names at this machine; therefore the CA must never be trusted by a whole computer, and
its key stays readable by its owner only. Failures: `OSError`, or `ValueError` for files that do not parse.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from m365emu.tenant_file import write_private

HOSTS = (
    "localhost",
    "m365emu",
    "host.docker.internal",
    "smtp.office365.com",
    "smtp-hve.office365.com",
    "smtp-legacy.office365.com",
    "outlook.office365.com",
    "*.mail.protection.outlook.com",
    "login.microsoftonline.com",
    "graph.microsoft.com",
    "smtp.office365.us",
    "outlook-dod.office365.us",
    "login.microsoftonline.us",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "smtp.partner.outlook.cn",
    "login.partner.microsoftonline.cn",
    "microsoftgraph.chinacloudapi.cn",
)
ADDRESSES = ("127.0.0.1", "::1")

_RENEW_BEFORE = timedelta(days=30)
_CA_LIFETIME = timedelta(days=3650)
_SERVER_LIFETIME = timedelta(days=397)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Where the files are: what clients trust, and what the servers use."""

    ca: Path
    chain: Path
    key: Path


def ensure_certificates(directory: Path, now: datetime) -> Certificates:
    """Make the CA and the server certificate unless they are there and good for a while."""
    ca_file, ca_key_file = directory / "ca.pem", directory / "ca-key.pem"
    chain_file, key_file = directory / "server.pem", directory / "server-key.pem"
    if not (ca_file.exists() and ca_key_file.exists()) or _ends_soon(ca_file, now):
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = _make_ca(ca_key, now)
        write_private(ca_key_file, _key_pem(ca_key))
        ca_file.write_bytes(_pem(ca))
        chain_file.unlink(missing_ok=True)
    if not (chain_file.exists() and key_file.exists()) or _ends_soon(chain_file, now) or _lacks_names(chain_file):
        signer = serialization.load_pem_private_key(ca_key_file.read_bytes(), password=None)
        if not isinstance(signer, EllipticCurvePrivateKey):
            raise ValueError(f"{ca_key_file} does not hold the key that was put there")
        ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(key_file, _key_pem(key))
        chain_file.write_bytes(_pem(_make_server(key, ca, signer, now)) + _pem(ca))
    return Certificates(ca=ca_file, chain=chain_file, key=key_file)


def _ends_soon(certificate: Path, now: datetime) -> bool:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.not_valid_after_utc - now < _RENEW_BEFORE


def _lacks_names(certificate: Path) -> bool:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return not set(HOSTS) <= set(names.get_values_for_type(x509.DNSName))


def _make_ca(key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("m365emu test CA - trust it for tests only")
    builder = _builder(name, name, key, now, _CA_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA256())


def _make_server(
    key: EllipticCurvePrivateKey, ca: x509.Certificate, signer: EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in HOSTS]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    builder = _builder(_name("m365emu"), ca.subject, key, now, _SERVER_LIFETIME)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(issuer, critical=False).sign(signer, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
