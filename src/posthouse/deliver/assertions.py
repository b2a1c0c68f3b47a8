"""Certificates as credentials: read key and certificate, sign client assertions with them.

Source: RFC 7523 3; "Microsoft identity platform application authentication certificate credentials": PS256, the
SHA-256 thumbprint as ``x5t#S256``, ``x5c`` for subject name and issuer authentication. RFC 7292 (PFX).
Shape: `read_key_pair` gives a `KeyPair` from PEM or PFX; `sign_assertion` makes the token. It is made here and not by
MSAL, because MSAL takes the time from the machine, sends the chain of a PEM file always and never more than the first
certificate's thumbprint of SHA-1 without it.
Failures: `CredentialProblem` as a value, which never repeats what the files hold.
Leaves to others: passphrases (``deliver.secrets``), asking for tokens (``deliver.authority``).

A PEM file with certificate and key wins over a key file of its own, so that one rename replaces both.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from joserfc import jwt
from joserfc.jwk import RSAKey

from posthouse.deliver.secrets import Secret

MAX_OCTETS = 256 * 1024
ASSERTION_LIFETIME = timedelta(minutes=10)
_KEY_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CredentialProblem:
    """A credential cannot be used. `reason` is a sentence for the operator."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate with its key.

    Attributes:
        chain: The certificate itself, then those that signed it, as far as the file holds them.
    """

    key: RSAPrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The one that belongs to the key."""
        return self.chain[0]

    @property
    def ends_at(self) -> datetime:
        """When the certificate ends."""
        return self.certificate.not_valid_after_utc

    @property
    def sha1(self) -> str:
        """Thumbprint as Entra shows it: upper-case hexadecimal digits."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()

    @property
    def sha256(self) -> str:
        """The longer thumbprint, which assertions name the key by."""
        return self.certificate.fingerprint(hashes.SHA256()).hex().upper()


def read_key_pair(certificate: Path, key: Path | None, passphrase: Secret | None) -> KeyPair | CredentialProblem:
    """Read a PEM or PFX file. Blocks.

    Args:
        key: PEM file of the key, where it is a file of its own.
        passphrase: Of the key or of the PFX file.
    """
    data = _read(certificate)
    if isinstance(data, CredentialProblem):
        return data
    phrase = passphrase.reveal().encode() if passphrase is not None else None
    if b"-----BEGIN" not in data:
        return _from_pfx(certificate, data, phrase)
    found = data if key is None or _KEY_BLOCK.search(data) else _read(key)
    if isinstance(found, CredentialProblem):
        return found
    return _from_pem(certificate, data, found, phrase)


def sign_assertion(pair: KeyPair, client_id: str, audience: str, now: datetime, *, nonce: str, with_chain: bool) -> str:
    """Make a client assertion (RFC 7523 3).

    Args:
        audience: The token endpoint.
        nonce: ``jti``, never used before.
        with_chain: Send the certificates as ``x5c``.
    """
    thumbprint = pair.certificate.fingerprint(hashes.SHA256())
    header: dict[str, object] = {
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode(),
    }
    if with_chain:
        header["x5c"] = [base64.b64encode(c.public_bytes(Encoding.DER)).decode() for c in pair.chain]
    begins = int(now.timestamp())
    claims = {
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": nonce,
        "iat": begins,
        "nbf": begins,
        "exp": begins + int(ASSERTION_LIFETIME.total_seconds()),
    }
    return jwt.encode(header, claims, RSAKey.import_key(pair.key), algorithms=["PS256"])


def _read(path: Path) -> bytes | CredentialProblem:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_OCTETS + 1)
    except OSError as error:
        return CredentialProblem(f"{path} cannot be read: {(error.strerror or 'unknown').lower()}")
    if not data or len(data) > MAX_OCTETS:
        return CredentialProblem(f"{path} is {'too large for a certificate' if data else 'empty'}")
    return data


def _from_pfx(path: Path, data: bytes, phrase: bytes | None) -> KeyPair | CredentialProblem:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, phrase)
    except (ValueError, TypeError):
        return CredentialProblem(f"{path} is no PEM or PFX file, or the passphrase does not open it")
    if key is None or certificate is None:
        return CredentialProblem(f"{path} does not hold a certificate with its private key")
    return _pair(path, key, (certificate, *others))


def _from_pem(path: Path, data: bytes, with_key: bytes, phrase: bytes | None) -> KeyPair | CredentialProblem:
    block = _KEY_BLOCK.search(with_key)
    if block is None:
        return CredentialProblem(f"{path} holds no private key; name the file that does as key")
    is_encrypted = b"ENCRYPTED" in block[0][:200]
    try:
        key = load_pem_private_key(block[0], phrase if is_encrypted else None)
    except TypeError:
        return CredentialProblem(f"the private key of {path} is encrypted, and no passphrase is given")
    except ValueError:
        words = "the passphrase does not open it" if is_encrypted else "it cannot be read"
        return CredentialProblem(f"the private key of {path} is of no use: {words}")
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        return CredentialProblem(f"{path} holds no certificate that can be read")
    return _pair(path, key, tuple(certificates))


def _pair(path: Path, key: object, certificates: tuple[x509.Certificate, ...]) -> KeyPair | CredentialProblem:
    if not isinstance(key, RSAPrivateKey):
        return CredentialProblem(f"the key of {path} is no RSA key; Entra takes no other kind")
    own = [c for c in certificates if c.public_key() == key.public_key()]
    if not own:
        return CredentialProblem(f"the private key does not belong to the certificate of {path}")
    return KeyPair(key=key, chain=(own[0], *(c for c in certificates if c is not own[0])))
