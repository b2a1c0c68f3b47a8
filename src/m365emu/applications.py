"""App registrations as data: secrets, certificates, permissions and their consent.

Purpose: what Entra and Exchange know of an application. Source: "Application and service principal objects",
"Permissions and consent", New-ServicePrincipal, "Role Based Access Control for Applications in Exchange Online".
Shape: frozen structs, part of `tenant.Tenant`. An application may hold a right in two ways: a permission of the
app registration (`roles`, counted once an administrator consented) or a scoped management role in Exchange
(`rbac`), which puts no claim into the token. Failures: none. Leaves to others: decisions.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct


class Secret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client secret and the moment at which it ends, if it does."""

    value: str
    expires: datetime | None = None

    def __repr__(self) -> str:
        return f"Secret(expires={self.expires!r})"


class KeyCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate uploaded to the app registration, in PEM form; its own dates count."""

    pem: str


class ScopedRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A management role assignment: `Application SMTP.SendAsApp` or `Application Mail.Send`, for some mailboxes.

    An empty `mailboxes` means all mailboxes of the tenant.
    """

    role: str
    mailboxes: tuple[str, ...] = ()


class Federation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A federated credential: assertions of this issuer for this subject, signed with this key (PEM)."""

    issuer: str
    subject: str
    public_key: str


class Application(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An app registration together with its service principal in the tenant.

    Attributes:
        object_id: of the enterprise application; Exchange must know the service principal by it.
        exchange_object_id: what New-ServicePrincipal was given; empty means the right one, `-` means that
            the service principal was never made known to Exchange.
        roles: application permissions, for example `SMTP.SendAsApp`, `Mail.Send`, `Mail.ReadWrite`, `Mail.Read`,
            `ExchangeMessageTrace.Read.All`.
        delegated: delegated permissions, for example `SMTP.Send`, `Mail.Send`, `offline_access`.
        consent: whether an administrator consented to `roles`; delegated permissions are consented to by
            `admin` for everybody, or by `user`, each for themselves on the sign-in page.
        public_client: device code and public redirects are allowed, no secret is asked for.
        managed_identity: the metadata endpoint of a machine gives tokens in its name.
        redirect_uris: where an authorization code may be sent; `http://localhost` covers every port.
    """

    name: str
    object_id: str
    exchange_object_id: str = ""
    roles: tuple[str, ...] = ("SMTP.SendAsApp",)
    delegated: tuple[str, ...] = ()
    consent: bool = True
    delegated_consent: Literal["admin", "user", "none"] = "user"
    secrets: tuple[Secret, ...] = ()
    certificates: tuple[KeyCertificate, ...] = ()
    federations: tuple[Federation, ...] = ()
    rbac: tuple[ScopedRole, ...] = ()
    public_client: bool = False
    managed_identity: bool = False
    redirect_uris: tuple[str, ...] = ()
    disabled: bool = False
