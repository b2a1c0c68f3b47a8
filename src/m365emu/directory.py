"""Who is who in the tenants, and who may do what.

Purpose: look addresses up and answer questions of rights, always against the tenants as they are now.
Source: Exchange resolves addresses without regard to case, and `user+tag@` to `user@` (plus addressing).
For an application the right must be held by its service principal, also when it acts on a mailbox it has
FullAccess to ("Authenticate an IMAP, POP or SMTP connection using OAuth").
Shape: `Directory` holds the present state; `replace` swaps it. Most emulators play one tenant, `tenant`; further ones
stand in its `others`. Failures: none, absence is `None`.
"""

from dataclasses import dataclass
from typing import Literal

from m365emu.applications import Application
from m365emu.tenant import Limits, Mailbox, Tenant

Method = Literal["LOGIN", "XOAUTH2"]
"""The SASL mechanisms of the submission host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is logged on: the mailbox in use, and the actor whose rights count (its address or a client id).

    `opens_mailbox` is false for an application that was let in although it cannot open the mailbox.
    """

    mailbox: str
    actor: str
    method: Method
    opens_mailbox: bool = True


class Directory:
    """The tenants as they are now, with their addresses indexed."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.tenants: tuple[Tenant, ...] = ()
        self._owner: dict[str, str] = {}
        self._mailbox: dict[str, Mailbox] = {}
        self._of_domain: dict[str, Tenant] = {}
        self.replace(tenant)

    def replace(self, tenant: Tenant) -> None:
        """Put another state of the tenants in place; it counts from the next question on."""
        self.tenant = tenant
        self.tenants = (tenant, *tenant.others.values())
        self._mailbox = {address: mailbox for t in self.tenants for address, mailbox in t.mailboxes.items()}
        self._owner = {
            name: address for address, mailbox in self._mailbox.items() for name in (address, *mailbox.aliases)
        }
        self._of_domain = {
            domain: t for t in self.tenants for domain in (*t.domains, *filter(None, (t.initial_domain,)))
        }

    def tenant_named(self, name: str) -> Tenant | None:
        """Return the tenant with this id or accepted domain."""
        name = name.lower()
        return next((t for t in self.tenants if t.id == name), None) or self._of_domain.get(name)

    def tenant_of(self, address: str) -> Tenant | None:
        """Return the tenant in whose accepted domains the address lies."""
        return self._of_domain.get(address.rpartition("@")[2].lower())

    def limits_of(self, address: str) -> Limits:
        """Return the limits that count for a mailbox: those of its tenant."""
        return (self.tenant_of(address) or self.tenant).limits

    def resolve(self, address: str) -> str | None:
        """Return the primary address of the mailbox that gets mail for `address`, if there is one."""
        address = address.lower()
        if address in self._owner:
            return self._owner[address]
        local, _, domain = address.rpartition("@")
        return self._owner.get(f"{local.partition('+')[0]}@{domain}")

    def is_internal(self, address: str) -> bool:
        """Say whether the address lies in an accepted domain of any tenant here."""
        return self.tenant_of(address) is not None

    def mailbox(self, address: str) -> Mailbox | None:
        """Return the mailbox with this primary address."""
        return self._mailbox.get(address.lower())

    def application(self, client_id: str, tenant: Tenant | None = None) -> Application | None:
        """Return the app registration with this client id, of one tenant or of any."""
        tenants = (tenant,) if tenant is not None else self.tenants
        return next((a for t in tenants if (a := t.applications.get(client_id.lower())) is not None), None)

    def has_full_access(self, actor: str, address: str) -> bool:
        """Say whether the actor may open the mailbox."""
        mailbox = self.mailbox(address)
        return mailbox is not None and (actor == address.lower() or actor in mailbox.full_access)

    def may_send_as(self, principal: Principal, address: str) -> bool:
        """Say whether this session may send with the address in From, Sender or MAIL FROM."""
        owner = self._owner.get(address.lower())
        if owner is None:
            return False
        return owner == principal.mailbox or principal.actor in self._mailbox[owner].send_as

    def smtp_authentication_blocked_by(self, address: str) -> Literal["Tenant", "Mailbox"] | None:
        """Say which setting, if any, keeps the mailbox from authenticated submission."""
        mailbox, tenant = self.mailbox(address), self.tenant_of(address) or self.tenant
        own = mailbox.smtp_client_authentication_disabled if mailbox is not None else None
        if own is None:
            return "Tenant" if tenant.switches.smtp_client_authentication_disabled else None
        return "Mailbox" if own else None
