"""Users, the organisation, and applications with their credentials.

Purpose: the handlers of `/users/{id}`, `/organization` and `/applications`. Source: "user resource type",
"application resource type" (passwordCredentials, keyCredentials with their dates, never with secrets).
Shape: `Organization` has one method for each request. Failures: `GraphError`.
Leaves to others: changing credentials (`rotation`).
"""

import base64
import hashlib
import uuid
from collections.abc import Collection
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from m365emu.applications import Application
from m365emu.graph import errors
from m365emu.graph.access import Access, Caller, object_id
from m365emu.graph.call import Answer, Call
from m365emu.tenant import Tenant

READ_APPLICATIONS = (
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Directory.Read.All",
)
READ_USERS = ("User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All", "Directory.Read.All")
READ_ONESELF = ("User.Read", "User.ReadWrite")
_NO_END = datetime(2299, 12, 31, tzinfo=UTC)
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
_USER = (
    *("id", "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation"),
    *("preferredLanguage", "surname", "userPrincipalName"),
)
_MORE_OF_USER = ("accountEnabled", "proxyAddresses", "userType")


class Organization:
    """Answers requests about the directory."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def user(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /users/{id} and /me."""
        name = call.params["user"]
        address = self._access.user(caller, name)
        own = bool(caller.user) and address == caller.user and self._access.holds(caller, READ_ONESELF)
        if not own and not self._access.holds(caller, READ_USERS):
            raise errors.request_denied()
        if address is None:
            raise errors.no_such_object(name[:320])
        shown = _user(caller.tenant, address)
        wanted = _selected(call, shown, "microsoft.graph.user") or _USER
        context = f"{call.root}/$metadata#users/$entity"
        return Answer(json={"@odata.context": context, **{name: shown[name] for name in wanted}})

    async def organization(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /organization."""
        tenant = caller.tenant
        domains = [
            {
                "name": domain,
                "isDefault": place == 0,
                "isInitial": domain == tenant.initial_domain,
                "capabilities": "Email, OfficeCommunicationsOnline",
                "type": "Managed",
            }
            for place, domain in enumerate(dict.fromkeys((*tenant.domains, *filter(None, (tenant.initial_domain,)))))
        ]
        shown = {"id": tenant.id, "displayName": tenant.name, "verifiedDomains": domains, "assignedPlans": []}
        return Answer(json={"@odata.context": f"{call.root}/$metadata#organization", "value": [shown]})

    async def application(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET /applications/{id} and /applications(appId='…')."""
        client_id, application = self.wanted(call, caller)
        own = caller.tenant.assumptions.graph_own_application and client_id == caller.client_id
        if not own and not self._access.holds(caller, READ_APPLICATIONS):
            raise errors.request_denied()
        shown = application_shown(caller.tenant, client_id, application)
        wanted = _selected(call, shown, "microsoft.graph.application") or tuple(shown)
        context = f"{call.root}/$metadata#applications/$entity"
        return Answer(json={"@odata.context": context, **{name: shown[name] for name in wanted}})

    def wanted(self, call: Call, caller: Caller) -> tuple[str, Application]:
        """Return the application that a path means, with its client id; raises `GraphError`."""
        given = call.params["application"]
        key, equals, value = given.partition("=")
        for client_id, application in caller.tenant.applications.items():
            by_app_id = bool(equals) and key.lower() == "appid" and value.lower() == client_id
            if by_app_id or given.lower() == object_id(caller.tenant, client_id):
                return client_id, application
        raise errors.no_such_object((value or given)[:100])


def application_shown(tenant: Tenant, client_id: str, application: Application) -> dict[str, object]:
    """Return an application registration's properties."""
    return {
        "id": object_id(tenant, client_id),
        "appId": client_id,
        "displayName": application.name,
        "signInAudience": "AzureADMyOrg",
        "createdDateTime": _BEGINNING,
        "passwordCredentials": [
            {
                "keyId": key_id(client_id, secret.value.encode()),
                "displayName": None,
                "hint": secret.value[:3],
                "secretText": None,
                "customKeyIdentifier": None,
                "startDateTime": _BEGINNING,
                "endDateTime": secret.expires or _NO_END,
            }
            for secret in application.secrets
        ],
        "keyCredentials": [_key(client_id, certificate.pem) for certificate in application.certificates],
    }


def key_id(client_id: str, octets: bytes) -> str:
    """Return the id of a credential; it tells nothing of the credential."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{client_id}/{hashlib.sha256(octets).hexdigest()}"))


def _key(client_id: str, pem: str) -> dict[str, object]:
    shown: dict[str, object] = {
        "keyId": key_id(client_id, pem.encode()),
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": None,
    }
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return {**shown, "displayName": None, "customKeyIdentifier": None}
    return {
        **shown,
        "displayName": certificate.subject.rfc4514_string(),
        "customKeyIdentifier": base64.b64encode(certificate.fingerprint(SHA1())).decode(),
        "startDateTime": certificate.not_valid_before_utc,
        "endDateTime": certificate.not_valid_after_utc,
    }


def _user(tenant: Tenant, address: str) -> dict[str, object]:
    mailbox = tenant.mailboxes[address]
    nothing = dict.fromkeys((*_USER, *_MORE_OF_USER))
    return {
        **nothing,
        "id": object_id(tenant, address),
        "businessPhones": [],
        "displayName": mailbox.name or address.partition("@")[0],
        "mail": address,
        "userPrincipalName": address,
        "accountEnabled": mailbox.account != "disabled" and mailbox.kind != "shared",
        "proxyAddresses": [f"SMTP:{address}", *(f"smtp:{alias}" for alias in mailbox.aliases)],
        "userType": "Member",
    }


def _selected(call: Call, shown: Collection[str], type_name: str) -> tuple[str, ...]:
    known = {name.lower(): name for name in shown}
    names = [name.strip() for name in call.query.get("$select", "")[:2_000].split(",") if name.strip()]
    for name in names:
        if name.lower() not in known:
            raise errors.invalid_query(f"Could not find a property named '{name[:100]}' on type '{type_name}'.")
    return tuple(dict.fromkeys(known[name.lower()] for name in names))
