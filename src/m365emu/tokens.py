"""Access tokens: made by the token endpoint, checked by the submission host and by Graph.

Purpose: RS256 JSON Web Tokens as Entra makes them for Exchange Online and Microsoft Graph.
Source: RFC 7519, RFC 7515; "Access token claims reference" (version 1.0 tokens: `appid`, `tid`, `idtyp`; `roles` for
an application alone, `scp` and `upn` for a user); the audience is the resource by the name it was asked for.
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
from m365emu.resources import EXCHANGE, Resource, resource_named
from m365emu.tenant_file import write_private

AUDIENCE = EXCHANGE.names[0]
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What a token that is genuine and in date says.

    Attributes:
        client_id: the application that asked for it.
        tenant_id: the tenant that gave it.
        roles: the application permissions, when the application acts for itself.
        scopes: the delegated permissions, when it acts for a user.
        user: the user's principal name, in lower case; empty when the application acts for itself.
        audience: the resource it is for, by the name it was asked for.
        expires: when it ends.
    """

    client_id: str
    tenant_id: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    user: str = ""
    audience: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The user whom a token is for."""

    address: str
    object_id: str
    name: str


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

    @property
    def key_id(self) -> str:
        """The present key's id; refresh tokens of an earlier key count as revoked."""
        return str(self._key.kid)

    def public_keys(self) -> dict[str, Any]:
        """Return the key set that others check signatures with (RFC 7517 5)."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "use": "sig", "x5t": public["kid"]}]}

    def make(
        self,
        *,
        client_id: str,
        application: Application,
        tenant_id: str,
        lifetime: timedelta,
        audience: str = AUDIENCE,
        subject: Subject | None = None,
        scopes: tuple[str, ...] = (),
    ) -> str:
        """Make an access token for an application, or for a user by way of it.

        Args:
            client_id: the application.
            application: its registration; without a subject its consented permissions for the resource go in.
            tenant_id: the tenant that gives the token.
            lifetime: how long it lasts.
            audience: the resource, by any of its names.
            subject: the user; absent, the application acts for itself.
            scopes: the delegated permissions, with a subject.
        """
        claims: dict[str, object] = {
            "aud": audience,
            "appid": client_id,
            "appidacr": "0" if subject is not None and application.public_client else "1",
            "app_displayname": application.name,
            "tid": tenant_id,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        if subject is None:
            claims |= {"idtyp": "app", "oid": application.object_id, "sub": application.object_id}
            if roles := granted_roles(application, resource_named(audience)):
                claims["roles"] = list(roles)
        else:
            claims |= {"idtyp": "user", "oid": subject.object_id, "sub": subject.object_id, "name": subject.name}
            claims |= {"upn": subject.address, "unique_name": subject.address, "scp": " ".join(scopes)}
        return self.sign({**claims, "iss": f"https://sts.windows.net/{tenant_id}/"}, lifetime)

    def sign(self, claims: dict[str, object], lifetime: timedelta) -> str:
        """Sign claims, with the dates added to them."""
        issued = int(self._now().timestamp())
        dates = {"iat": issued, "nbf": issued, "exp": issued + int(lifetime.total_seconds())}
        header = {"typ": "JWT", "alg": "RS256", "kid": self._key.kid, "x5t": self._key.kid}
        return jwt.encode(header, {**claims, **dates}, self._key)

    def read(self, token: str, resource: Resource = EXCHANGE) -> TokenFacts | str:
        """Check signature, audience and dates.

        Args:
            token: as it came.
            resource: who reads it; a token for another audience is refused.

        Returns:
            the token's facts, or a sentence for the transcript that says why it is refused.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            return "the token is not one of this tenant's, or its signature does not verify"
        now, audience = self._now(), str(claims.get("aud"))
        expires = datetime.fromtimestamp(int(claims["exp"]), now.tzinfo)
        if resource_named(audience) is not resource:
            return f"the token is for another audience: {audience[:100]}"
        if now >= expires:
            return "the token has expired"
        if now + _SKEW < datetime.fromtimestamp(int(claims["nbf"]), now.tzinfo):
            return "the token is not valid yet"
        return TokenFacts(
            client_id=str(claims["appid"]),
            tenant_id=str(claims["tid"]),
            roles=tuple(claims.get("roles", ())),
            scopes=tuple(str(claims.get("scp", "")).split()),
            user=str(claims.get("upn", "")).lower(),
            audience=audience,
            expires=expires,
        )


def granted_roles(application: Application, resource: Resource | None) -> tuple[str, ...]:
    """Return the application permissions for a resource that an administrator consented to."""
    if resource is None or not application.consent:
        return ()
    return tuple(role for role in application.roles if role in resource.roles)


def _with_id(key: RSAKey) -> RSAKey:
    key.ensure_kid()
    return key
