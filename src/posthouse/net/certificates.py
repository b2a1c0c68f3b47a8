"""The node's certificate: made on first start, followed when its files change.

Shape: `ServerCertificates` hands out the current context for a profile; `reload_if_changed` is asked every few seconds,
`reload` on SIGHUP. Sessions that run keep the context they began with.
Failures: `CertificateProblem` when there is nothing usable to begin with; later a broken pair is reported and the old
one stays in use.

The self-signed pair has an RSA key of 2,048 bits: it is for the first hours and for devices that cannot check it
anyway, and the oldest of those know no elliptic curves. A signature costs a third of a millisecond.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from posthouse.net.contexts import CertificateProblem, Profile, server_context
from posthouse.net.names import to_ascii

SELF_SIGNED_LIFE = timedelta(days=3650)
_Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """New certificates are in use."""


@dataclass(frozen=True, slots=True)
class KeptOld:
    """The files changed and cannot be used; the old pair stays. Reported once for each change."""

    problem: str


class ServerCertificates:
    """Contexts for listeners from one certificate."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """Remember the files; nothing is read before `context`."""
        self.certificate, self.key, self.client_ca = certificate, key, client_ca
        self._contexts: dict[tuple[Profile, bool], ssl.SSLContext] = {}
        self._seen = self._signature()

    def context(self, profile: Profile = "modern", *, ask_client: bool = False) -> ssl.SSLContext:
        """The context in force.

        Raises:
            CertificateProblem: First use, and the files cannot be used.
        """
        found = self._contexts.get((profile, ask_client))
        if found is None:
            found = self._contexts[profile, ask_client] = self._make(profile, ask_client)
        return found

    def reload_if_changed(self) -> Reloaded | KeptOld | None:
        """Load the files again if one of them is another than last time."""
        return self.reload() if self._signature() != self._seen else None

    def reload(self) -> Reloaded | KeptOld:
        """Load the files again, all contexts or none."""
        self._seen = self._signature()
        wanted = list(self._contexts) or [("modern", False)]
        try:
            self._contexts = {(profile, ask): self._make(profile, ask) for profile, ask in wanted}
        except CertificateProblem as problem:
            return KeptOld(str(problem))
        return Reloaded()

    def _make(self, profile: Profile, ask_client: bool) -> ssl.SSLContext:
        return server_context(
            self.certificate, self.key, profile=profile, ask_client=ask_client, client_ca=self.client_ca
        )

    def _signature(self) -> _Signature:
        paths = [self.certificate, self.key] + ([self.client_ca] if self.client_ca else [])
        return tuple(_identity(path) for path in paths)


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def make_self_signed(certificate: Path, key: Path, hostname: str, now: datetime) -> bool:
    """Write a self-signed pair unless both files are there.

    Args:
        hostname: Name in the certificate.
        now: Aware UTC; the certificate is valid from a day before, since clocks of devices are often late.

    Returns:
        Whether a pair was made.

    Raises:
        OSError: The files cannot be written.
    """
    if certificate.exists() and key.exists():
        return False
    certificate.parent.mkdir(parents=True, exist_ok=True)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    _write(certificate, _sign(private, to_ascii(hostname), now).public_bytes(serialization.Encoding.PEM), 0o644)
    return True


def _sign(private: rsa.RSAPrivateKey, hostname: str, now: datetime) -> x509.Certificate:
    # A common name holds 64 characters at most; the alternative name holds what clients compare.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + SELF_SIGNED_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write so that no other user can open the file in between, and no half file ever has the name."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    draft.replace(path)
