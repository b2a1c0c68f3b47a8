"""Access tokens: made by the token endpoint, checked by the submission host.

Purpose: RS256 JSON Web Tokens as Entra makes them for Exchange Online in the client-credentials flow.
Source: RFC 7519, RFC 7515; "Access token claims reference" (version 1.0 tokens: `appid`, `roles`, `tid`, `idtyp`);
the audience is `https://outlook.office365.com`.
Shape: `TokenMaker` owns the signing key; `make` gives a token, `read` gives its `TokenFacts` or a sentence why not.
A new key (`rotate`) makes every earlier token worthless, as a revocation does.
Failures: `read` never raises, whatever the input. Leaves to others: rights on mailboxes (`logon`).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from m365emu.applications import Application
from m365emu.tenant_file import write_private

AUDIENCE = "https://outlook.office365.com"
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What a token that is genuine and in date says."""

    client_id: str
    tenant_id: str
    roles: tuple[str, ...]


class TokenMaker:
    """The signing key and what is done with it."""

    def __init__(self, key_file: Path, now: Callable[[], datetime]) -> None:
        """Load the signing key, or make and keep one; raises `OSError` or `ValueError` for a file beyond use."""
        self._file = key_file
        self._now = now
        if key_file.exists():
            self._key = _with_id(RSAKey.import_key(key_file.read_bytes()))
        else:
            self.rotate()

    def rotate(self) -> None:
        """Replace the signing key; all earlier tokens are refused from now on."""
        self._key = _with_id(RSAKey.generate_key(2048))
        write_private(self._file, self._key.as_pem(private=True))

    def public_keys(self) -> dict[str, Any]:
        """Return the key set that others check signatures with (RFC 7517 5)."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "use": "sig", "x5t": public["kid"]}]}

    def make(self, *, client_id: str, application: Application, tenant_id: str, lifetime: timedelta) -> str:
        """Make a token for an application."""
        issued = int(self._now().timestamp())
        claims = {
            "aud": AUDIENCE,
            "iss": f"https://sts.windows.net/{tenant_id}/",
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(lifetime.total_seconds()),
            "appid": client_id,
            "appidacr": "1",
            "app_displayname": application.name,
            "idtyp": "app",
            "oid": application.object_id,
            "sub": application.object_id,
            "roles": list(application.roles),
            "tid": tenant_id,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        header = {"typ": "JWT", "alg": "RS256", "kid": self._key.kid, "x5t": self._key.kid}
        return jwt.encode(header, claims, self._key)

    def read(self, token: str) -> TokenFacts | str:
        """Check signature, audience and dates.

        Returns:
            the token's facts, or a sentence for the transcript that says why it is refused.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            return "the token is not one of this tenant's, or its signature does not verify"
        now = self._now()
        if claims.get("aud") != AUDIENCE:
            return f"the token is for another audience: {str(claims.get('aud'))[:100]}"
        if now >= datetime.fromtimestamp(int(claims["exp"]), now.tzinfo):
            return "the token has expired"
        if now + _SKEW < datetime.fromtimestamp(int(claims["nbf"]), now.tzinfo):
            return "the token is not valid yet"
        return TokenFacts(client_id=str(claims["appid"]), tenant_id=str(claims["tid"]), roles=tuple(claims["roles"]))


def _with_id(key: RSAKey) -> RSAKey:
    key.ensure_kid()
    return key
