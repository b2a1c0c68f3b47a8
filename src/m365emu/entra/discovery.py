"""Where everything is: the documents that clients read before they ask.

Purpose: OpenID Connect discovery, instance discovery and user realm discovery. Source: OpenID Connect Discovery 1.0 4;
what Microsoft's libraries ask for (`/common/discovery/instance` in its versions 1.0 and 1.1, `/common/userrealm/`).
Shape: functions that make the JSON objects from the host that was asked. Failures: absence is `None`.
Leaves to others: whether a tenant exists.
"""

from urllib.parse import urlsplit

from m365emu.certificates import ADDRESSES, HOSTS

_NETWORKS = (
    ("login.microsoftonline.com", "login.windows.net", ("login.microsoft.com", "sts.windows.net")),
    ("login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn", ("login.chinacloudapi.cn",)),
    ("login.microsoftonline.us", "login.microsoftonline.us", ("login.usgovcloudapi.net",)),
)
"""For each cloud: the host to ask, the name to keep tokens under, further names. ○ beyond the first names."""

HOST_NAMES = frozenset(
    {*HOSTS, *ADDRESSES, *(name for first, second, more in _NETWORKS for name in (first, second, *more))}
)


def openid_configuration(host: str, tenant: str, issuer_tenant: str) -> dict[str, object]:
    """Return the description of a tenant's endpoints.

    Args:
        host: the host that was asked, with its port.
        tenant: the name in the endpoints' paths.
        issuer_tenant: the tenant in the issuer; `{tenantid}` where the user decides it.
    """
    base = f"https://{host}/{tenant}"
    return {
        "issuer": f"https://{host}/{issuer_tenant}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "name", "oid", "preferred_username", "tid"],
        "request_uri_parameter_supported": False,
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
    }


def instance(host: str, endpoint: str) -> dict[str, object] | None:
    """Return what is known of the host of an authorization endpoint, or `None` when it is not one of Entra's.

    Args:
        host: the host that was asked, with its port; it counts as one of Entra's.
        endpoint: the authorization endpoint whose host the client wants to trust.
    """
    try:
        url = urlsplit(endpoint)
    except ValueError:
        return None
    tenant = url.path.lstrip("/").partition("/")[0]
    if url.scheme != "https" or not tenant or (url.netloc != host and url.hostname not in HOST_NAMES):
        return None
    return {
        "tenant_discovery_endpoint": f"https://{url.netloc}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [
            {"preferred_network": network, "preferred_cache": cache, "aliases": sorted({network, cache, *more})}
            for network, cache, more in _NETWORKS
        ],
    }


def user_realm(user: str, *, managed: bool) -> dict[str, object]:
    """Return how a user signs in: with a password here, or unknown."""
    realm: dict[str, object] = {"ver": "1.0", "account_type": "Managed" if managed else "Unknown"}
    if managed:
        realm["domain_name"] = user.rpartition("@")[2]
        realm["cloud_instance_name"] = "microsoftonline.com"
        realm["cloud_audience_urn"] = "urn:federation:MicrosoftOnline"
    return realm
