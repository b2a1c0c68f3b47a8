"""The programming interfaces that tokens are for: Exchange Online and Microsoft Graph.

Purpose: know a resource by any of its names, and which permissions belong to it. Source: "Authenticate an IMAP, POP
or SMTP connection using OAuth" (SMTP.Send, SMTP.SendAsApp), "Microsoft Graph permissions reference", the endpoints
of the national clouds. The names of the national clouds, except GCC High, and the resources' own application ids
are not confirmed by Microsoft's documentation.
Shape: `Resource` is a value; `resource_named` and `split_scope` look names up. A permission in an application's
`roles` counts for every resource that has one of that name. Failures: absence is `None`.
Leaves to others: which permissions are consented to (`entra`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource.

    Attributes:
        title: its display name.
        app_id: the client id of its own service principal.
        names: the URLs it goes by, without a slash at the end; the first is the usual one.
        roles: its application permissions.
        scopes: its delegated permissions.
    """

    title: str
    app_id: str
    names: tuple[str, ...]
    roles: frozenset[str]
    scopes: frozenset[str]


EXCHANGE = Resource(
    title="Office 365 Exchange Online",
    app_id="00000002-0000-0ff1-ce00-000000000000",
    names=(
        "https://outlook.office365.com",
        "https://outlook.office.com",
        "https://ps.outlook.com",
        "https://outlook.office365.us",
        "https://outlook-dod.office365.us",
        "https://partner.outlook.cn",
    ),
    roles=frozenset(
        {"SMTP.SendAsApp", "POP.AccessAsApp", "IMAP.AccessAsApp", "Mail.Send", "full_access_as_app"}
        | {"Exchange.ManageAsApp", "Mail.Read", "Mail.ReadWrite"}
    ),
    scopes=frozenset(
        {"SMTP.Send", "POP.AccessAsUser.All", "IMAP.AccessAsUser.All", "EWS.AccessAsUser.All", "Mail.Send"}
        | {"Mail.Read", "Mail.ReadWrite"}
    ),
)

GRAPH = Resource(
    title="Microsoft Graph",
    app_id="00000003-0000-0000-c000-000000000000",
    names=(
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    ),
    roles=frozenset(
        {"Mail.Send", "Mail.Read", "Mail.ReadBasic", "Mail.ReadBasic.All", "Mail.ReadWrite", "User.Read.All"}
        | {"ExchangeMessageTrace.Read.All", "Directory.Read.All", "Application.Read.All", "Domain.Read.All"}
        | {"Organization.Read.All", "User.ReadBasic.All", "Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"}
    ),
    scopes=frozenset(
        {"Mail.Send", "Mail.Send.Shared", "Mail.Read", "Mail.Read.Shared", "Mail.ReadBasic", "Mail.ReadWrite"}
        | {"Mail.ReadWrite.Shared", "User.Read", "SMTP.Send", "POP.AccessAsUser.All", "IMAP.AccessAsUser.All"}
        | {"ExchangeMessageTrace.Read.All"}
    ),
)

OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
"""Scopes of OpenID Connect that belong to no resource."""

_BY_NAME = {name: resource for resource in (EXCHANGE, GRAPH) for name in (*resource.names, resource.app_id)}


def resource_named(name: str) -> Resource | None:
    """Return the resource with this URL or application id."""
    return _BY_NAME.get(name.lower().rstrip("/"))


def split_scope(scope: str) -> tuple[str, str]:
    """Split a scope into the resource's name and the permission; a bare permission is one of Microsoft Graph."""
    resource, _, permission = scope.rpartition("/")
    return (resource.rstrip("/") or GRAPH.names[0], permission)
