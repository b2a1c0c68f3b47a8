"""The token endpoint: as much of Entra as the client-credentials grant needs.

Purpose: let an unmodified MSAL get tokens for SMTP. Source: "OAuth 2.0 client credentials flow on the Microsoft
identity platform"; OpenID Connect Discovery 1.0; RFC 6749 4.4 and 2.3.1.
Shape: an aiohttp application with discovery, keys and token under `/<tenant>/`, where the tenant is named by its
id or a domain; `decide` is the pure part. Served over TLS only.
Failures: refusals are `EntraError`s. Leaves to others: signing (`tokens`), the words of refusals (`entra`).
"""

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

import msgspec
from aiohttp import web

from m365emu import entra
from m365emu.applications import Application
from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.entra import EntraError
from m365emu.faults import Faults
from m365emu.statistics import Statistics
from m365emu.tokens import AUDIENCE, TokenMaker

SCOPE = f"{AUDIENCE}/.default"
_MOST_OCTETS = 65_536


class Authority:
    """Answers the requests of applications."""

    def __init__(
        self, directory: Directory, tokens: TokenMaker, faults: Faults, statistics: Statistics, clock: Clock
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._faults = faults
        self._statistics = statistics
        self._clock = clock

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=_MOST_OCTETS)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._keys)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        return app

    def decide(self, tenant: str, form: Mapping[str, str]) -> tuple[str, Application] | EntraError:
        """Judge a token request; return the client id and its application."""
        if not self._knows(tenant):
            return entra.tenant_not_found(tenant)
        for name in ("grant_type", "client_id"):
            if not form.get(name):
                return entra.parameter_missing(name)
        if form["grant_type"] != "client_credentials":
            return entra.grant_not_supported(form["grant_type"])
        client_id = form["client_id"].lower()
        application = self._directory.application(client_id)
        if application is None:
            return entra.application_not_found(client_id, self._directory.tenant.name)
        refusal = self._check_secret(client_id, application, form.get("client_secret", ""))
        if refusal is not None:
            return refusal
        if not form.get("scope"):
            return entra.parameter_missing("scope")
        if form["scope"] != SCOPE:
            return entra.scope_invalid(form["scope"])
        return client_id, application

    def _check_secret(self, client_id: str, application: Application, given: str) -> EntraError | None:
        if not given:
            return entra.credential_missing()
        matching = [s for s in application.secrets if hmac.compare_digest(s.value.encode(), given.encode())]
        if not matching:
            return entra.secret_invalid(client_id)
        if all(_has_ended(secret.expires, self._clock.now()) for secret in matching):
            return entra.secret_expired(client_id)
        return None

    def _knows(self, tenant: str) -> bool:
        return tenant.lower() in (self._directory.tenant.id.lower(), *self._directory.tenant.domains)

    async def _configuration(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request.match_info["tenant"]):
            return self._refuse(request, entra.tenant_not_found(request.match_info["tenant"]))
        tenant_id = self._directory.tenant.id
        base = f"https://{request.host}/{tenant_id}"
        return _json(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
            }
        )

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return _json(self._tokens.public_keys())

    async def _token(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.take("token", None)
        if fault is not None:
            return _carry_out(request, fault.reply)
        form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        form = {**_basic_credentials(request.headers.get("Authorization", "")), **form}
        decision = self.decide(request.match_info["tenant"], form)
        if isinstance(decision, EntraError):
            return self._refuse(request, decision)
        client_id, application = decision
        lifetime = timedelta(seconds=self._directory.tenant.limits.token_seconds)
        token = self._tokens.make(
            client_id=client_id,
            application=application,
            tenant_id=self._directory.tenant.id,
            lifetime=lifetime,
        )
        self._statistics.tokens["issued"] += 1
        seconds = max(1, int(lifetime.total_seconds()) - 1)
        return _json(
            {
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            }
        )

    def _refuse(self, request: web.Request, refusal: EntraError) -> web.StreamResponse:
        self._statistics.tokens[f"AADSTS{refusal.number}"] += 1
        body = refusal.body(self._clock.now(), _correlation_id(request))
        return _json(body, status=refusal.status)


def _has_ended(expires: datetime | None, now: datetime) -> bool:
    return expires is not None and expires <= now


def _json(body: object, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers)


def _carry_out(request: web.Request, reply: str | None) -> web.StreamResponse:
    """Answer with the status of a fault on order, or cut the connection."""
    if reply is None and request.transport is not None:
        request.transport.abort()
    return web.Response(status=int(reply[:3]) if reply else 503, text=reply[4:] if reply else "")


def _correlation_id(request: web.Request) -> str:
    try:
        return str(uuid.UUID(request.headers.get("client-request-id", "")))
    except ValueError:
        return str(uuid.uuid4())


def _basic_credentials(header: str) -> dict[str, str]:
    """Read client id and secret from HTTP Basic authentication (RFC 6749 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": unquote_plus(user), "client_secret": unquote_plus(password)}
