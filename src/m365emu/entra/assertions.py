"""Client assertions: a signed token instead of a secret.

Purpose: check the assertion of an application's own certificate, and that of another issuer the application trusts.
Source: RFC 7523 3; "Microsoft identity platform application authentication certificate credentials" (RS256 or PS256,
`x5t` or `x5t#S256`); "Workload identity federation" (issuer, subject and audience must match to the letter).
Shape: `check_assertion` gives `None` when all is well, else an `EntraError`. It reads the claims before it verifies
them, to know which key to verify with, and decides nothing on them alone.
Microsoft's libraries send one assertion again and again while it lasts, so a second use is refused only when the
tenant assumes so. Failures: none rise. Leaves to others: who the client is (`clients`).
"""

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from m365emu.applications import Application
from m365emu.entra import errors
from m365emu.entra.errors import EntraError

FEDERATION_AUDIENCES = (
    "api://AzureADTokenExchange",
    "api://AzureADTokenExchangeUSGov",
    "api://AzureADTokenExchangeChina",
)

_MOST_CHARACTERS = 16_384
_MOST_REMEMBERED = 10_000
_SKEW = timedelta(minutes=5)
_ALGORITHMS = ("RS256", "PS256")


class Assertions:
    """Checks assertions, and remembers the ones that were used."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._used: OrderedDict[str, None] = OrderedDict()

    def check(
        self,
        assertion: str,
        client_id: str,
        application: Application,
        is_own_endpoint: Callable[[str], bool],
        once: bool,
    ) -> EntraError | None:
        """Check an assertion.

        Args:
            assertion: the compact JSON Web Signature.
            client_id: who the client says it is.
            application: its registration.
            is_own_endpoint: whether an audience is this tenant's token endpoint.
            once: refuse an assertion that was used before.
        """
        parts = _read(assertion)
        if parts is None:
            return errors.ASSERTION_MALFORMED()
        header, claims = parts
        if header.get("alg") not in _ALGORITHMS:
            return errors.ASSERTION_ALGORITHM(given=str(header.get("alg"))[:20])
        if claims.get("iss") == client_id or claims.get("sub") == client_id:
            refusal = self._check_own(assertion, header, claims, client_id, application, is_own_endpoint)
        else:
            refusal = _check_federated(assertion, header, claims, application)
        return refusal or self._check_time(claims) or self._check_use(assertion, once)

    def _check_own(
        self,
        assertion: str,
        header: dict[str, Any],
        claims: dict[str, Any],
        client_id: str,
        application: Application,
        is_own_endpoint: Callable[[str], bool],
    ) -> EntraError | None:
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            return errors.ASSERTION_CLIENT()
        thumbprint = _thumbprint(header)
        shown = thumbprint.hex().upper() if thumbprint else ""
        certificate = next((c for c in _certificates(application) if thumbprint in _thumbprints(c)), None)
        if certificate is None:
            return errors.ASSERTION_SIGNATURE(reason="The key was not found.", thumbprint=shown)
        if not certificate.not_valid_before_utc <= self._now() < certificate.not_valid_after_utc:
            return errors.ASSERTION_SIGNATURE(reason="The key used is expired.", thumbprint=shown)
        if not _verifies(assertion, header, certificate.public_key()):
            reason = "The provided signature value did not match the expected signature value."
            return errors.ASSERTION_SIGNATURE(reason=reason, thumbprint=shown)
        return None if is_own_endpoint(str(claims.get("aud"))) else errors.ASSERTION_AUDIENCE()

    def _check_time(self, claims: dict[str, Any]) -> EntraError | None:
        now = self._now()
        start, end = _moment(claims.get("nbf", claims.get("iat", 0))), _moment(claims.get("exp"))
        if start is None or end is None:
            return errors.ASSERTION_MALFORMED()
        if start - _SKEW <= now < end + _SKEW:
            return None
        return errors.ASSERTION_TIME(now=_shown(now), start=_shown(start), end=_shown(end))

    def _check_use(self, assertion: str, once: bool) -> EntraError | None:
        mark = hashlib.sha256(assertion.encode()).hexdigest()
        if once and mark in self._used:
            return errors.ASSERTION_REPLAYED()
        self._used[mark] = None
        if len(self._used) > _MOST_REMEMBERED:
            self._used.popitem(last=False)
        return None


def _check_federated(
    assertion: str, header: dict[str, Any], claims: dict[str, Any], application: Application
) -> EntraError | None:
    issuer, subject, audience = (str(claims.get(name))[:500] for name in ("iss", "sub", "aud"))
    same_issuer = [f for f in application.federations if f.issuer == issuer]
    if not same_issuer or audience not in FEDERATION_AUDIENCES:
        return errors.FEDERATION_UNKNOWN(issuer=issuer, subject=subject, audience=audience)
    federation = next((f for f in same_issuer if f.subject == subject), None)
    if federation is None:
        return errors.FEDERATION_SUBJECT(subject=subject)
    if not _verifies(assertion, header, _public_key(federation.public_key)):
        return errors.FEDERATION_KEY(identifier=str(header.get("kid", ""))[:100], issuer=issuer)
    return None


def _read(assertion: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    parts = assertion.split(".")
    if len(assertion) > _MOST_CHARACTERS or len(parts) != 3:
        return None
    try:
        header, claims = (msgspec.json.decode(_decoded(part), type=dict[str, Any]) for part in parts[:2])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return header, claims


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _thumbprint(header: dict[str, Any]) -> bytes | None:
    """Return the thumbprint that the header names its key by, SHA-256 before SHA-1."""
    for name in ("x5t#S256", "x5t"):
        if isinstance(value := header.get(name), str):
            try:
                return _decoded(value.rstrip("="))
            except (binascii.Error, ValueError):
                return None
    return None


def _thumbprints(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    # SHA-1 only names the key here; the signature is what convinces.
    return certificate.fingerprint(hashes.SHA256()), certificate.fingerprint(hashes.SHA1())


def _certificates(application: Application) -> list[x509.Certificate]:
    found = []
    for entry in application.certificates:
        try:
            found.append(x509.load_pem_x509_certificate(entry.pem.strip().encode()))
        except ValueError:
            continue
    return found


def _verifies(assertion: str, header: dict[str, Any], key: object) -> bool:
    """Check the signature (RFC 7518 3.3 and 3.5); extensions that must be understood are not."""
    if not isinstance(key, RSAPublicKey) or "crit" in header:
        return False
    signed, _, signature = assertion.rpartition(".")
    digest = hashes.SHA256()
    scheme = padding.PKCS1v15() if header["alg"] == "RS256" else padding.PSS(padding.MGF1(digest), digest.digest_size)
    try:
        key.verify(_decoded(signature), signed.encode(), scheme, digest)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _public_key(pem: str) -> object:
    try:
        return load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond * 10:07d}Z"
