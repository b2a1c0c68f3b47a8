"""A new certificate for an identity, beside the old one until it is proven.

Source: RFC 5280; "Microsoft identity platform application authentication certificate credentials" (an application may
have several certificates at a time).
Shape: `Rotation.begin` makes key and certificate in a file beside the old one, ``app.next.pem`` for ``app.pem``, and
the public part for Entra in ``app.next-public.pem``. `finish` gets a token with the new one; when it comes, one rename
puts the new file in the place of the old one, which stays as ``app.old-....pem``.
Failures: `RotationProblem`. Each step may be repeated: after a crash at any point either the old or the new file stands
whole in its place, and the state is what files there are.
Leaves to others: telling Entra: a person (``operate.identity_steps`` says how), or ``deliver.own_key`` for `upload`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from posthouse.decide.identities import Certificate
from posthouse.deliver.assertions import CredentialProblem, KeyPair, read_key_pair
from posthouse.deliver.own_key import add_own_key
from posthouse.deliver.secrets import Secret, SecretOpener, SecretProblem
from posthouse.deliver.tokens import Purpose, TokenProblem, TokenSource
from posthouse.microsoft.clouds import CLOUDS

LIFETIME = timedelta(days=365)
KEY_BITS = 3072
_BACKDATED = timedelta(minutes=10)
"""Clocks differ; a certificate that begins in the future is refused."""


@dataclass(frozen=True, slots=True)
class RotationProblem:
    """It was not done. `reason` is a sentence for the operator."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCertificate:
    """A certificate, as Entra and people want to know it; nothing of it is secret.

    Attributes:
        file: Key and certificate.
        public: The certificate alone, in PEM form, for Entra.
        in_use: It has replaced the old one.
    """

    file: Path
    public: Path
    sha1: str
    sha256: str
    ends_at: datetime
    in_use: bool = False


class Rotation:
    """Replaces certificates."""

    def __init__(self, tokens: TokenSource, secrets: SecretOpener, clock: Callable[[], datetime]) -> None:
        self._tokens, self._secrets, self._clock = tokens, secrets, clock

    def is_pending(self, identity: Certificate) -> bool:
        """A new certificate was made and is not proven yet."""
        return _next(identity).exists()

    async def begin(self, identity: Certificate) -> NewCertificate | RotationProblem:
        """Make the new certificate, or show the one that was made before."""
        phrase = await self._phrase(identity)
        if isinstance(phrase, RotationProblem):
            return phrase
        return await asyncio.to_thread(self._begin, identity, phrase)

    async def upload(self, identity: Certificate) -> NewCertificate | RotationProblem:
        """Make the new certificate where none waits, and add it to the registration by means of the old one."""
        made = await self.begin(identity)
        if isinstance(made, RotationProblem):
            return made
        phrase = await self._phrase(identity)
        if isinstance(phrase, RotationProblem):
            return phrase
        old = await asyncio.to_thread(read_key_pair, identity.certificate, identity.key, phrase)
        new = await asyncio.to_thread(read_key_pair, made.file, None, phrase)
        token = await self._tokens.token(identity, "graph")
        for each in (old, new, token):
            if isinstance(each, CredentialProblem | TokenProblem):
                return RotationProblem(f"the certificate was not added: {each.reason}")
        assert isinstance(old, KeyPair) and isinstance(new, KeyPair) and isinstance(token, Secret)
        base = (identity.graph or CLOUDS[identity.cloud].graph).rstrip("/").removesuffix("/v1.0")
        problem = await asyncio.to_thread(
            add_own_key, base, identity.client_id, token, known=old, new=new, ca=identity.ca, now=self._clock()
        )
        return RotationProblem(problem) if problem is not None else made

    async def finish(self, identity: Certificate, purpose: Purpose) -> NewCertificate | RotationProblem:
        """Use the new certificate, if Entra knows it."""
        if not self.is_pending(identity):
            return RotationProblem(f"no new certificate waits; `posthouse identity rotate {identity.name}` makes one")
        trial = identity.model_copy(update={"certificate": _next(identity), "key": None})
        self._tokens.forget(trial, purpose)
        token = await self._tokens.token(trial, purpose)
        if isinstance(token, TokenProblem):
            return RotationProblem(f"the old certificate stays in use: {token.reason}")
        phrase = await self._phrase(identity)
        if isinstance(phrase, RotationProblem):
            return phrase
        done = await asyncio.to_thread(_replace, identity, phrase)
        self._tokens.forget_identity(identity.name)
        return done

    async def _phrase(self, identity: Certificate) -> Secret | RotationProblem | None:
        phrase = await self._secrets.open(identity.passphrase) if identity.passphrase else None
        return RotationProblem(phrase.reason) if isinstance(phrase, SecretProblem) else phrase

    def _begin(self, identity: Certificate, phrase: Secret | None) -> NewCertificate | RotationProblem:
        old, new = identity.certificate.resolve(), _next(identity)
        try:
            if not new.exists():
                is_pfx = b"-----BEGIN" not in old.read_bytes()[:65536]
                _write(new, _make(identity.name, phrase, self._clock(), is_pfx=is_pfx), 0o600, like=old)
            pair = read_key_pair(new, None, phrase)
            if isinstance(pair, CredentialProblem):
                return RotationProblem(f"{pair.reason}; remove the file to begin again")
            _write(_public(identity), pair.certificate.public_bytes(Encoding.PEM), 0o644, like=old)
        except OSError as error:
            return RotationProblem(f"{error.filename or new}: {(error.strerror or 'unknown').lower()}")
        return _shown(identity, pair, new)


def _replace(identity: Certificate, phrase: Secret | None) -> NewCertificate | RotationProblem:
    old, new = identity.certificate.resolve(), _next(identity)
    pair = read_key_pair(new, None, phrase)
    if isinstance(pair, CredentialProblem):
        return RotationProblem(pair.reason)
    before = read_key_pair(old, identity.key, phrase)
    mark = before.sha1[:8].lower() if isinstance(before, KeyPair) else "unknown"
    kept = old.with_name(f"{old.stem}.old-{mark}{old.suffix}")
    try:
        if not kept.exists():
            kept.hardlink_to(old)
        new.replace(old)
        _sync(old.parent)
    except OSError as error:
        return RotationProblem(f"{error.filename or old}: {(error.strerror or 'unknown').lower()}")
    return _shown(identity, pair, old, in_use=True)


def _shown(identity: Certificate, pair: KeyPair, file: Path, *, in_use: bool = False) -> NewCertificate:
    return NewCertificate(
        file=file,
        public=_public(identity),
        sha1=pair.sha1,
        sha256=pair.sha256,
        ends_at=pair.ends_at,
        in_use=in_use,
    )


def _next(identity: Certificate) -> Path:
    path = identity.certificate.resolve()
    return path.with_name(f"{path.stem}.next{path.suffix or '.pem'}")


def _public(identity: Certificate) -> Path:
    path = identity.certificate.resolve()
    return path.with_name(f"{path.stem}.next-public.pem")


def _make(name: str, phrase: Secret | None, now: datetime, *, is_pfx: bool) -> bytes:
    """A key and a certificate that signs itself, as the octets of a file."""
    key = rsa.generate_private_key(65537, KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Posthouse {name}"[:64])])
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - _BACKDATED)
    certificate = builder.not_valid_after(now + LIFETIME).sign(key, hashes.SHA256())
    lock: KeySerializationEncryption = NoEncryption()
    if phrase is not None:
        lock = BestAvailableEncryption(phrase.reveal().encode())
    if is_pfx:
        return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, lock)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    return private + certificate.public_bytes(Encoding.PEM)


def _write(path: Path, data: bytes, mode: int, *, like: Path) -> None:
    """Write whole or not at all, for whoever owns the old file."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if os.geteuid() == 0:
                owner = like.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
