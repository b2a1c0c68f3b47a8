"""The applications that ask: who they are, and whether they can prove it.

Purpose: find the app registration and check its credential. Source: RFC 6749 2.3, RFC 7521 4.2; "Microsoft Entra
authentication and authorization error codes".
Shape: `Clients.find` knows an application by its id, `authenticate` checks secret or assertion; a public client has
neither. Failures: `EntraError`. Leaves to others: assertions (`assertions`), what the application may have.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from m365emu.applications import Application
from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.entra import errors
from m365emu.entra.assertions import Assertions
from m365emu.entra.errors import EntraError
from m365emu.tenant import Tenant

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SHARED_TENANTS = ("common", "organizations")
"""Names that stand for whatever tenant the user belongs to."""

_ENDPOINTS = ("/oauth2/v2.0/token", "/oauth2/token", "/v2.0", "/", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application that asks."""

    client_id: str
    application: Application
    tenant: Tenant


class Clients:
    """Finds applications and checks their credentials."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._assertions = Assertions(clock.now)

    def tenant(self, name: str) -> Tenant | EntraError | None:
        """Return the tenant that a path names; `None` for a name that stands for any."""
        if name.lower() in SHARED_TENANTS:
            return None
        return self._directory.tenant_named(name) or errors.TENANT_NOT_FOUND(tenant=name[:200])

    def find(self, client_id: str, tenant: Tenant | None) -> Client | EntraError:
        """Return the application, of this tenant or of any."""
        client_id = client_id.strip().lower()
        for candidate in (tenant,) if tenant is not None else self._directory.tenants:
            application = candidate.applications.get(client_id)
            if application is None:
                continue
            if application.disabled:
                return errors.APPLICATION_DISABLED(client_id=client_id, name=application.name)
            return Client(client_id=client_id, application=application, tenant=candidate)
        where = tenant or self._directory.tenant
        return errors.APPLICATION_NOT_FOUND(client_id=client_id[:200], tenant=where.name)

    def authenticate(
        self, client: Client, form: Mapping[str, str], host: str, *, may_be_public: bool
    ) -> EntraError | None:
        """Check the credential in a request.

        Args:
            client: who it says it is.
            form: the request.
            host: the host that the request came to.
            may_be_public: whether a public client may do without.
        """
        application = client.application
        has_credential = application.secrets or application.certificates or application.federations
        presented = form.get("client_assertion") or form.get("client_secret")
        if presented and application.public_client and not has_credential:
            return errors.CREDENTIAL_UNWANTED()
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != JWT_BEARER:
                return errors.PARAMETER_MISSING(parameter="client_assertion_type")
            return self._assertions.check(
                form["client_assertion"],
                client.client_id,
                client.application,
                self._own_endpoint(client.tenant, host),
                once=client.tenant.assumptions.assertion_reuse == "refuse",
            )
        if form.get("client_secret"):
            return self._check_secret(client, form["client_secret"])
        if may_be_public and client.application.public_client:
            return None
        return errors.CREDENTIAL_MISSING()

    def _check_secret(self, client: Client, given: str) -> EntraError | None:
        matching = [
            s
            for s in client.application.secrets
            if hmac.compare_digest(s.value.encode(), given.encode(errors="replace"))
        ]
        if not matching:
            return errors.SECRET_INVALID(client_id=client.client_id)
        if all(_has_ended(secret.expires, self._clock.now()) for secret in matching):
            return errors.SECRET_EXPIRED(client_id=client.client_id)
        return None

    def _own_endpoint(self, tenant: Tenant, host: str) -> Callable[[str], bool]:
        """Return a test of an assertion's audience: the tenant's token endpoint or issuer, by any of its names."""

        def is_own(audience: str) -> bool:
            try:
                url = urlsplit(audience)
            except ValueError:
                return False
            name, _, rest = url.path.lstrip("/").partition("/")
            named = self._directory.tenant_named(name)
            known_host = url.netloc == host or (url.hostname or "").startswith(("login.", "sts."))
            same = name.lower() in SHARED_TENANTS or (named is not None and named.id == tenant.id)
            return url.scheme == "https" and known_host and same and f"/{rest}".rstrip("/") in _ENDPOINTS

        return is_own


def _has_ended(expires: datetime | None, now: datetime) -> bool:
    return expires is not None and expires <= now
