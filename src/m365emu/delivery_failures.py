"""What a report says of a recipient who did not get a message.

Purpose: the literal texts of failures after acceptance. Source: the list of non-delivery reports of Exchange Online;
reports seen in the wild; blog posts on the tenant's external recipient limit. Shape: constants and functions that give
the diagnostic text: basic code, enhanced code, sentence. Failures: none. Leaves to others: when each applies
(`categorizer`), the report around it (`ndr`).
"""

from collections.abc import Iterable

from m365emu.connectors import Unreachable

NOT_FOUND = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
TOO_LARGE = "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient"
RECEIVED_TOO_OFTEN = "550 5.2.122 Recipient's per hour message receive limit exceeded"
RECEIVED_TOO_OFTEN_FROM_ONE = "550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded"
# ○ the words between the class and the exception, which are confirmed.
MAILBOX_FULL = (
    "550 5.2.2 STOREDRV.Deliver: mailbox full. The following local error occurred: "
    "STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded"
)
# ○ the text; the code is documented.
MEMBERS_ONLY = (
    "550 5.7.134 RESOLVER.RST.SenderNotAuthenticatedForMailbox; authentication required; "
    "Delivery restriction check failed because the sender was not authenticated when sending to this mailbox"
)
# ○ Exchange Server's text; what Exchange Online does with too many recipients is open.
TOO_MANY_RECIPIENTS = "550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients"
TENANT_LIMIT = (
    "550 5.7.233 - Your message can't be sent because your tenant has exceeded its daily limit for sending email to "
    "external recipients (tenant external recipient rate limit). For more information see https://aka.ms/EXONdrs."
)
# ○ the sentence, which follows that of 5.7.233; ◐ the code.
TRIAL_TENANT_LIMIT = TENANT_LIMIT.replace("5.7.233", "5.7.232").replace("your tenant", "your trial tenant")
# ○ the sentence; ◐ the code.
INITIAL_DOMAIN_LIMIT = (
    "550 5.7.236 - Your message can't be sent because your organization has exceeded its daily limit for sending "
    "email to external recipients from its onmicrosoft.com domain."
)

TENANT_BLOCKED = "550 5.7.705 Access denied, tenant has exceeded threshold"
DELAYED = "400 4.4.7 Message delayed"

_QUEUED = {
    "dns": "450 4.4.312 DNS query failed",
    "timeout": "450 4.4.315 Connection timed out",
    "refused": "450 4.4.316 Connection refused [Message=Socket error code 10061]",
    "untrusted-root": "450 4.4.317 Cannot connect to remote server [Message=UntrustedRoot]",
    "reset": "450 4.4.318 Connection was closed abruptly (SuspiciousRemoteServerError)",
    "mta-sts": "450 4.4.8 MX hosts of {domain} failed MTA-STS validation",
    "starttls": "450 4.7.321 starttls-not-supported: Destination mail server must support TLS to receive mail.",
}
_EXPIRED = {
    "dns": "550 5.4.312 Message expired, DNS query failed",
    # ○ the wording.
    "timeout": "550 5.4.315 Message expired, connection timed out",
    "refused": "550 5.4.316 Message expired, connection refused",
    "untrusted-root": "550 5.4.317 Message expired, cannot connect to remote server",
    "reset": "550 5.4.318 Message expired, connection reset (SuspiciousRemoteServerError)",
    "mta-sts": "550 5.4.8 MX hosts of {domain} failed MTA-STS validation",
    "starttls": "550 5.7.321 starttls-not-supported: Destination mail server must support TLS to receive mail.",
}


def on_block_list(recipients: Iterable[str]) -> str:
    """The organisation's own list blocks these recipients, and with them the whole message."""
    return (
        f"550 5.7.703 Your message can't be delivered because messages to {', '.join(recipients)} are blocked by your "
        "organization using Tenant Allow Block List."
    )


def no_such_domain(domain: str) -> str:
    """DNS does not know the domain."""
    return f"550 5.4.310 DNS domain {domain} does not exist"


def refused_by_remote(recipient: str) -> str:
    """Another domain's server refused the recipient; its own reply stands behind the arrow."""
    return (
        "550 5.1.351 Remote server returned unknown recipient or mailbox unavailable "
        f"-> 550 5.1.1 <{recipient}>... User Unknown"
    )


def while_queued(why: Unreachable, domain: str) -> str:
    """What the trace says while another domain's servers are tried again."""
    return _QUEUED[why].format(domain=domain)


def expired(why: Unreachable, domain: str) -> str:
    """What the report says in the end."""
    return _EXPIRED[why].format(domain=domain)
