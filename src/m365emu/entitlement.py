"""What a token entitles its bearer to at the submission host.

Purpose: the rights behind AUTH XOAUTH2. Source: "Authenticate an IMAP, POP or SMTP connection using OAuth";
New-ServicePrincipal (Exchange knows the service principal by the object id of the enterprise application);
"Role Based Access Control for Applications in Exchange Online" (a scoped role needs no claim, but the claim
SMTP.SendAsApp makes Exchange look at the mailbox permission instead); Add-HVEAppAccess.
Shape: `Entitlement.actor` gives whose rights count, or `NotEntitled` with a sentence for the transcript.
Failures: none. Leaves to others: the token itself (`tokens`), the words on the wire (`logon`).
"""

from dataclasses import dataclass

from m365emu.applications import Application
from m365emu.directory import Directory
from m365emu.tenant import Mailbox, Tenant
from m365emu.tokens import TokenFacts

ROLE = "SMTP.SendAsApp"
SCOPED_ROLE = "Application SMTP.SendAsApp"
SCOPE = "SMTP.Send"
HVE_ROLE = "Mail.Send"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEntitled:
    """Why not. `lacks_mailbox`: the application is in order, but Exchange does not open the mailbox to it."""

    note: str
    lacks_mailbox: bool = False


class Entitlement:
    """Answers for all tenants."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def actor(self, facts: TokenFacts, address: str, mailbox: Mailbox, tenant: Tenant) -> str | NotEntitled:
        """Return the address or client id whose rights count when a token is used for a mailbox."""
        application = self._directory.application(facts.client_id, tenant)
        if application is None:
            return NotEntitled(note="the application is not registered any more")
        if application.disabled:
            return NotEntitled(note="the application is disabled")
        if facts.user:
            return self._user(facts, address)
        if mailbox.kind == "hve":
            return _high_volume(facts, application, mailbox)
        return self._application(facts, application, address)

    def _user(self, facts: TokenFacts, address: str) -> str | NotEntitled:
        if SCOPE not in facts.scopes:
            return NotEntitled(note=f"the token lacks the scope {SCOPE}")
        user = self._directory.resolve(facts.user)
        if user is None:
            return NotEntitled(note="the token's user has no mailbox")
        if not self._directory.has_full_access(user, address):
            return NotEntitled(note="the token's user may not open this mailbox")
        return user

    def _application(self, facts: TokenFacts, application: Application, address: str) -> str | NotEntitled:
        if application.exchange_object_id not in ("", application.object_id):
            return NotEntitled(note="Exchange does not know the application by its object id", lacks_mailbox=True)
        if ROLE in facts.roles:
            if self._directory.has_full_access(facts.client_id, address):
                return facts.client_id
            return NotEntitled(note="the application has no FullAccess to this mailbox", lacks_mailbox=True)
        scopes = [role.mailboxes for role in application.rbac if role.role == SCOPED_ROLE]
        if any(not mailboxes or address in mailboxes for mailboxes in scopes):
            return facts.client_id
        if scopes:
            return NotEntitled(note="the mailbox is outside of the application's scope")
        return NotEntitled(note=f"the token lacks the role {ROLE}")


def _high_volume(facts: TokenFacts, application: Application, mailbox: Mailbox) -> str | NotEntitled:
    if HVE_ROLE not in facts.roles:
        return NotEntitled(note=f"the token lacks the role {HVE_ROLE}")
    if application.object_id not in mailbox.allowed_apps:
        return NotEntitled(note="the application is not on the account's list of allowed apps")
    return facts.client_id
