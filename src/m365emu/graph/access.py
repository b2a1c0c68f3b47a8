"""Who is calling, for which mailbox, and with what right.

Purpose: judge the bearer token and the permission. Source: "Microsoft Graph permissions reference"; "Role Based
Access Control for Applications in Exchange Online" (a scoped role puts no claim into the token and adds to the
application permissions); "Send Outlook messages from another user" (delegated permissions ending in `.Shared`).
Shape: `Access.caller` reads the token, `mailbox` finds whom a path means, `permits` and `require` judge.
Failures: `GraphError`. Leaves to others: which permission an operation needs (`routes`).
"""

import uuid
from dataclasses import dataclass

from m365emu.directory import Directory, Principal
from m365emu.graph import errors
from m365emu.resources import GRAPH
from m365emu.tenant import Tenant
from m365emu.tokens import TokenFacts, TokenMaker

ME = "me"
_MOST_TOKEN_OCTETS = 65_536
_SENTENCES = {
    "the token has expired": "Lifetime validation failed, the token is expired.",
    "the token is not valid yet": "Lifetime validation failed, the token is not yet valid.",
}
_SCOPED_ROLES = {
    "Mail.Send": ("Application Mail.Send", "Application Mail Full Access", "Application Exchange Full Access"),
    "Mail.ReadWrite": (
        "Application Mail.ReadWrite",
        "Application Mail Full Access",
        "Application Exchange Full Access",
    ),
    "Mail.Read": ("Application Mail.Read",),
    "Mail.ReadBasic": ("Application Mail.ReadBasic",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A request's token, and the tenant it acts in."""

    facts: TokenFacts
    tenant: Tenant

    @property
    def client_id(self) -> str:
        return self.facts.client_id

    @property
    def user(self) -> str:
        """The user's address; empty when the application acts for itself."""
        return self.facts.user


class Access:
    """Answers questions of identity and permission."""

    def __init__(self, directory: Directory, tokens: TokenMaker) -> None:
        self._directory = directory
        self._tokens = tokens

    def caller(self, authorization: str) -> Caller:
        """Read the Authorization header; raises `GraphError`."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise errors.token_refused("Access token is empty.")
        if token.count(".") != 2 or len(token) > _MOST_TOKEN_OCTETS:
            raise errors.token_refused("CompactToken parsing failed with error code: 80049217")
        facts = self._tokens.read(token, GRAPH)
        if isinstance(facts, str):
            if facts.startswith("the token is for another audience"):
                raise errors.token_refused("Access token validation failure. Invalid audience.")
            raise errors.token_refused(_SENTENCES.get(facts, "Access token validation failure."))
        tenant = self._directory.tenant_named(facts.tenant_id)
        if tenant is None or self._directory.application(facts.client_id, tenant) is None:
            raise errors.token_refused("Access token validation failure.")
        return Caller(facts=facts, tenant=tenant)

    def user(self, caller: Caller, name: str) -> str | None:
        """Return the address of the user that a path names: `me`, an address or an object id."""
        if name.lower() == ME:
            if not caller.user:
                raise errors.me_needs_a_user()
            return caller.user
        if "@" in name:
            # Plus addressing is for mail that arrives; it names no user.
            address = name.lower() if "+" in name else self._directory.resolve(name)
            return address if address in caller.tenant.mailboxes else None
        return next((a for a in caller.tenant.mailboxes if object_id(caller.tenant, a) == name.lower()), None)

    def mailbox(self, caller: Caller, name: str) -> str:
        """Return the address of the mailbox that a path names; raises `GraphError` when there is none."""
        address = self.user(caller, name)
        if address is None:
            raise errors.invalid_user(name[:320]) if "@" in name else errors.resource_not_found()
        if caller.tenant.mailboxes[address].kind == "hve":
            raise errors.no_mailbox()
        return address

    def permits(self, caller: Caller, address: str, permissions: tuple[str, ...]) -> bool:
        """Say whether one of the permissions is held for this mailbox."""
        if caller.user:
            return any(self._user_permits(caller, address, permission) for permission in permissions)
        return any(
            permission in caller.facts.roles or self._role_permits(caller, address, permission)
            for permission in permissions
        )

    def may_send_as(self, caller: Caller, mailbox: str, address: str) -> bool:
        """Say whether this caller, at this mailbox, may send with the address in From or Sender."""
        actors = (caller.user or caller.client_id, mailbox)
        return any(
            self._directory.may_send_as(Principal(mailbox=mailbox, actor=actor, method="XOAUTH2"), address)
            for actor in actors
        )

    def holds(self, caller: Caller, permissions: tuple[str, ...]) -> bool:
        """Say whether one of the permissions over the whole tenant is held."""
        held = caller.facts.scopes if caller.user else caller.facts.roles
        return not set(permissions).isdisjoint(held)

    def _user_permits(self, caller: Caller, address: str, permission: str) -> bool:
        if address == caller.user:
            return permission in caller.facts.scopes
        if f"{permission}.Shared" not in caller.facts.scopes:
            return False
        mailbox = self._directory.mailbox(address)
        sends = permission == "Mail.Send" and mailbox is not None and caller.user in mailbox.send_as
        return sends or self._directory.has_full_access(caller.user, address)

    def _role_permits(self, caller: Caller, address: str, permission: str) -> bool:
        application = self._directory.application(caller.client_id, caller.tenant)
        if application is None or application.exchange_object_id not in ("", application.object_id):
            return False
        return any(
            role.role in _SCOPED_ROLES.get(permission, ())
            and (not role.mailboxes or address in map(str.lower, role.mailboxes))
            for role in application.rbac
        )


def object_id(tenant: Tenant, name: str) -> str:
    """Return the directory's id of an object: always the same for the same tenant and name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant.id}/{name}"))
