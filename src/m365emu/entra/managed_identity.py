"""Managed identities: a machine asks its own metadata endpoint for a token.

Purpose: let a program that runs without any secret get tokens, by Microsoft's libraries or a plain request.
Source: "How to use managed identities for Azure resources on an Azure VM to acquire an access token"; a library is
led here by AZURE_POD_IDENTITY_AUTHORITY_HOST.
Shape: one route over plain HTTP, `/metadata/identity/oauth2/token`. The application with `managed_identity` answers:
the one that `client_id` or `object_id` names, else the first. A request needs the header `Metadata: true` and must not
have come through a proxy, so that no web page can send it.
Failures: 400 with the endpoint's own errors (○). Leaves to others: the token (`issue`).
"""

from aiohttp import web

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.entra import errors
from m365emu.entra.clients import Client
from m365emu.entra.issue import Issuer
from m365emu.entra.requests import correlation_id, json_answer, read_query
from m365emu.resources import resource_named
from m365emu.statistics import Statistics

PATH = "/metadata/identity/oauth2/token"


class ManagedIdentity:
    """The metadata endpoint."""

    def __init__(self, directory: Directory, issuer: Issuer, statistics: Statistics, clock: Clock) -> None:
        self._directory = directory
        self._issuer = issuer
        self._statistics = statistics
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get(PATH, self._token)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Metadata", "").lower() != "true" or "X-Forwarded-For" in request.headers:
            return _refuse("invalid_request", "Required metadata header not specified")
        query = read_query(request)
        for name in ("api-version", "resource"):
            if not query.get(name):
                return _refuse("invalid_request", f"Required query variable '{name}' is missing")
        client = self._identity(query.get("client_id", ""), query.get("object_id", ""))
        if client is None:
            return _refuse("invalid_request", "Identity not found")
        audience = query["resource"].rstrip("/")
        if resource_named(audience) is None:
            error = errors.RESOURCE_UNKNOWN(resource=audience[:200], tenant=client.tenant.name)
            self._statistics.tokens[f"AADSTS{error.number}"] += 1
            body = error.body(self._clock.now(), correlation_id(request))
            return _refuse("invalid_resource", str(body["error_description"]))
        self._statistics.tokens["issued"] += 1
        now, lifetime = int(self._clock.now().timestamp()), client.tenant.limits.token_seconds
        return json_answer(
            {
                "access_token": self._issuer.application_token(client, audience),
                "client_id": client.client_id,
                "expires_in": str(lifetime - 1),
                "expires_on": str(now + lifetime),
                "ext_expires_in": str(lifetime - 1),
                "not_before": str(now),
                "resource": query["resource"],
                "token_type": "Bearer",
            }
        )

    def _identity(self, client_id: str, object_id: str) -> Client | None:
        for tenant in self._directory.tenants:
            for candidate, application in tenant.applications.items():
                wanted = client_id.lower() in ("", candidate) and object_id in ("", application.object_id)
                if application.managed_identity and not application.disabled and wanted:
                    return Client(client_id=candidate, application=application, tenant=tenant)
        return None


def _refuse(error: str, description: str) -> web.Response:
    return json_answer({"error": error, "error_description": description}, status=400)
