"""A message on its way from the host that accepted it to the transport.

Purpose: one value between submission, MX, Graph and `post`. Shape: `Parcel`. Failures: none.
Leaves to others: who fills it, and what becomes of it.
"""

from dataclasses import dataclass, field

from m365emu.headers import Head
from m365emu.smtp.content import Content
from m365emu.tenant import Tenant
from m365emu.transcript import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message that was accepted, with all that is known of how it came.

    Attributes:
        tenant: whose mail it is: the sender's for submission, Graph and relay, the recipients' for anonymous mail.
        mailbox: the mailbox that submitted it, empty for mail that nobody logged on for.
        way: `LOGIN`, `XOAUTH2`, `Graph`, `connector:<name>` or `anonymous`.
        is_internal: counts as sent from inside the organisation.
        save_copy: a copy goes to the mailbox's Sent Items.
        recipient_limit: beyond so many recipients nobody gets it, and the sender a report; 0 for no such limit.
    """

    tenant: Tenant
    mailbox: str
    way: str
    sender: str
    recipients: tuple[str, ...]
    content: Content
    head: Head
    server: str
    client: str = ""
    tls_version: str = ""
    session_id: str = ""
    transcript: Transcript = field(default_factory=Transcript)
    mail_parameters: dict[str, str] = field(default_factory=dict)
    recipient_parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    is_internal: bool = True
    save_copy: bool = False
    recipient_limit: int = 0

    def parameter(self, recipient: str, keyword: str) -> str:
        """Return a recipient's parameter of RCPT, empty when it has none."""
        return self.recipient_parameters.get(recipient, {}).get(keyword, "")
