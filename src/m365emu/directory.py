"""Who is who in the tenant, and who may do what.

Purpose: look addresses up and answer questions of rights, always against the tenant as it is now.
Source: Exchange resolves addresses without regard to case, and `user+tag@` to `user@` (plus addressing).
For an application the right must be held by its service principal, also when it acts on a mailbox it has
FullAccess to ("Authenticate an IMAP, POP or SMTP connection using OAuth").
Shape: `Directory` holds the present `Tenant`; `replace` swaps it. Failures: none, absence is `None`.
"""

from dataclasses import dataclass
from typing import Literal

from m365emu.tenant import Application, Mailbox, Tenant

Method = Literal["LOGIN", "XOAUTH2"]
"""The SASL mechanisms of the submission host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is logged on: the mailbox in use, and the actor whose rights count (its address or a client id)."""

    mailbox: str
    actor: str
    method: Method


class Directory:
    """The tenant as it is now, with its addresses indexed."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._owner: dict[str, str] = {}
        self.replace(tenant)

    def replace(self, tenant: Tenant) -> None:
        """Put another state of the tenant in place; it counts from the next question on."""
        self.tenant = tenant
        self._owner = {
            name: address for address, mailbox in tenant.mailboxes.items() for name in (address, *mailbox.aliases)
        }

    def resolve(self, address: str) -> str | None:
        """Return the primary address of the mailbox that gets mail for `address`, if there is one."""
        address = address.lower()
        if address in self._owner:
            return self._owner[address]
        local, _, domain = address.rpartition("@")
        return self._owner.get(f"{local.partition('+')[0]}@{domain}")

    def is_internal(self, address: str) -> bool:
        """Say whether the address lies in an accepted domain."""
        return address.rpartition("@")[2].lower() in self.tenant.domains

    def mailbox(self, address: str) -> Mailbox | None:
        """Return the mailbox with this primary address."""
        return self.tenant.mailboxes.get(address.lower())

    def application(self, client_id: str) -> Application | None:
        """Return the app registration with this client id."""
        return self.tenant.applications.get(client_id.lower())

    def has_full_access(self, actor: str, address: str) -> bool:
        """Say whether the actor may open the mailbox."""
        mailbox = self.mailbox(address)
        return mailbox is not None and (actor == address.lower() or actor in mailbox.full_access)

    def may_send_as(self, principal: Principal, address: str) -> bool:
        """Say whether this session may send with the address in From, Sender or MAIL FROM."""
        owner = self._owner.get(address.lower())
        if owner is None:
            return False
        return owner == principal.mailbox or principal.actor in self.tenant.mailboxes[owner].send_as

    def smtp_authentication_blocked_by(self, address: str) -> Literal["Tenant", "Mailbox"] | None:
        """Say which setting, if any, keeps the mailbox from authenticated submission."""
        mailbox = self.mailbox(address)
        own = mailbox.smtp_client_authentication_disabled if mailbox is not None else None
        if own is None:
            return "Tenant" if self.tenant.switches.smtp_client_authentication_disabled else None
        return "Mailbox" if own else None
