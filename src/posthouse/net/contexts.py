"""What TLS is good enough: contexts for both sides.

Source: RFC 9325 (recommendations for TLS), RFC 7435 (opportunistic security), Exchange's TlsSettings: EncryptionOnly,
CertificateValidation, DomainValidation.
Shape: `server_context` for listeners, `ClientTls` for outbound connectors.
Failures: `CertificateProblem`, whose text names the file and what is wrong with it.
Leaves to others: following files that change (``net.certificates``).

The legacy profile exists for devices that will never learn better: TLS 1.0, keys and digests of their time. It is
switched on for a listener by name, never by itself.
"""

from __future__ import annotations

import ssl
import warnings
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from posthouse.mail.session import TlsFacts
from posthouse.net.names import certificate_covers, to_ascii

Profile = Literal["modern", "legacy"]
TlsMode = Literal["opportunistic", "encryption", "certificate", "domain"]

MODERN_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!SHA1:!AESCCM:@SECLEVEL=2"
LEGACY_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ALL:!aNULL:!eNULL:!EXPORT:!PSK:!SRP:!RC4:@SECLEVEL=0"


class CertificateProblem(Exception):
    """A file cannot be used for TLS."""


def server_context(
    certificate: Path,
    key: Path,
    *,
    profile: Profile = "modern",
    ask_client: bool = False,
    client_ca: Path | None = None,
) -> ssl.SSLContext:
    """A context for a listener.

    Args:
        certificate: PEM file with the certificate and its chain.
        key: PEM file with the private key, not encrypted.
        ask_client: Ask for a client certificate; one that does not verify ends the handshake, none at all is fine.
        client_ca: Authorities for those; default the system's.

    Raises:
        CertificateProblem: A file cannot be read or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_profile(context, profile)
    # The server's order decides among ciphers, and a client cannot ask for handshakes without end.
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    load_pair(context, certificate, key)
    if ask_client:
        context.verify_mode = ssl.CERT_OPTIONAL
        _load_authorities(context, client_ca, ssl.Purpose.CLIENT_AUTH)
    return context


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS towards one host.

    Attributes:
        context: For `Connection.start_tls`.
        server_hostname: Name to ask for; an address is verified by OpenSSL itself where the mode checks names.
        required_name: Name that the certificate must bear, or None.
    """

    context: ssl.SSLContext
    server_hostname: str
    required_name: str | None

    @classmethod
    def towards(
        cls,
        host: str,
        mode: TlsMode,
        *,
        tls_domain: str | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> ClientTls:
        """Choose TLS for a host by the connector's settings.

        Args:
            host: Name or address of the server.
            mode: ``opportunistic`` and ``encryption`` verify nothing; ``certificate`` wants a chain to a trusted
                authority; ``domain`` also the name `tls_domain`, or else the host's.
            ca: PEM file with further authorities.
            certificate: PEM file with our certificate, and its key if `key` is None.

        Raises:
            CertificateProblem: A file cannot be used.
        """
        checks_chain = mode in {"certificate", "domain"}
        by_address = mode == "domain" and tls_domain is None and _is_address(host)
        files = tuple((path, _version_of(path)) for path in (ca, certificate, key))
        context = _client_context(mode == "opportunistic", checks_chain, by_address, files)
        required = to_ascii(tls_domain or host) if mode == "domain" and not by_address else None
        return cls(context, host if _is_address(host) else to_ascii(host), required)

    def problem(self, facts: TlsFacts) -> str | None:
        """What is wrong with the name in the server's certificate, to be asked before anything is sent; None if
        nothing is."""
        if self.required_name is None or certificate_covers(self.required_name, facts.peer_names):
            return None
        shown = ", ".join(facts.peer_names[:10]) or "no name"
        return f"the server's certificate is for {shown}, not for {self.required_name}"


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Load a certificate with its key.

    Raises:
        CertificateProblem: Not a pair that can be used.
    """
    for path in (certificate, key or certificate):
        _check_readable(path)
    try:
        # Without a password OpenSSL would ask the terminal for it.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error)
        where = f"{certificate} with key {key}" if key else str(certificate)
        raise CertificateProblem(f"{where}: {reason.lower().replace('_', ' ')}") from error


def _no_password() -> str:
    raise ValueError("the private key is encrypted; write it without a passphrase, readable by the service alone")


def _set_profile(context: ssl.SSLContext, profile: Profile) -> None:
    is_legacy = profile == "legacy"
    context.set_ciphers(LEGACY_CIPHERS if is_legacy else MODERN_CIPHERS)
    # The setter warns that TLS 1.0 is deprecated, which is what the operator was told already.
    _set_minimum(context, ssl.TLSVersion.TLSv1 if is_legacy else ssl.TLSVersion.TLSv1_2)


def _set_minimum(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version


@lru_cache(maxsize=256)
def _client_context(
    is_opportunistic: bool, checks_chain: bool, checks_address: bool, files: tuple[tuple[Path | None, int], ...]
) -> ssl.SSLContext:
    ca, certificate, key = (path for path, _ in files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = checks_address
    context.verify_mode = ssl.CERT_REQUIRED if checks_chain else ssl.CERT_NONE
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Where plain text would be the answer to a refusal, old encryption is better than none.
    _set_profile(context, "legacy" if is_opportunistic else "modern")
    if checks_chain:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if ca is not None:
            _load_authorities(context, ca, ssl.Purpose.SERVER_AUTH)
    if certificate is not None:
        load_pair(context, certificate, key)
    return context


def _load_authorities(context: ssl.SSLContext, path: Path | None, purpose: ssl.Purpose) -> None:
    if path is None:
        context.load_default_certs(purpose)
        return
    _check_readable(path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateProblem(f"{path}: no certificate authority in PEM form was found") from error


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise CertificateProblem(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error


def _version_of(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
