"""What the MX says of relay, reputation and authentication.

Purpose: the literal texts in one place. Source: recorded refusals of `*.mail.protection.outlook.com`, the list of
non-delivery reports of Exchange Online, "Introducing more control over Direct Send". Shape: functions that give a
`Reply`, as in `replies`; most end in the server, the time and the session. Where the source shows only an enhanced
code, the basic code is 550 or 451.
Failures: none. Leaves to others: when each is said (`exchanger`).
"""

from datetime import datetime, timedelta

from m365emu.hosts import FrontEnd
from m365emu.replies import Reason, Reply, one_line

# ○ the stage: the sentence is documented, no transcript shows when it comes.
BAD_HELLO = one_line(550, "5.7.506 Access Denied, Bad HELO", "bad_hello")
DOMAIN_NOT_ACCEPTED = one_line(550, "5.4.1 Relay Access Denied", "domain_not_accepted")
SEVERAL_TENANTS = one_line(452, "4.5.3 Too many recipients", "several_tenants")
TLS_REQUIRED = one_line(454, "4.7.0 Failed to establish appropriate TLS channel: Access Denied", "tls_required")


def message_queued(front: FrontEnd, message_id: str, number: int, octets: int, taken: timedelta) -> Reply:
    """Return the success reply at the end of DATA."""
    seconds = max(taken.total_seconds(), 0.001)
    where = f"[InternalId={10_000_000_000_000 + number}, Hostname={front.mailbox_server}]"
    speed = f"{octets} bytes in {seconds:.3f}, {octets / 1024 / seconds:.3f} KB/sec"
    return one_line(250, f"2.6.0 {message_id} {where} {speed} Queued mail for delivery -> 250 2.1.5")


def tenant_attribution(front: FrontEnd, now: datetime) -> Reply:
    """No connector matched, and the recipient is not the tenant's own."""
    return _ended(front, now, 550, "5.7.64 TenantAttribution; Relay Access Denied", "tenant_attribution")


def partner_restriction(front: FrontEnd, now: datetime) -> Reply:
    """A partner connector names addresses or a certificate, and this client has neither."""
    text = (
        "5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the message's recipient "
        "domain. The connector had either the RestrictDomainsToIPAddresses or RestrictDomainsToCertificate set"
    )
    return _ended(front, now, 550, text, "partner_restriction")


def direct_send_refused(front: FrontEnd, now: datetime) -> Reply:
    """RejectDirectSend is on, and the sender claims one of the tenant's own domains."""
    text = "5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources"
    return _ended(front, now, 550, text, "direct_send")


def unknown_recipient(front: FrontEnd, now: datetime) -> Reply:
    """Directory-based edge blocking: an authoritative domain has no such address."""
    text = "5.4.1 Recipient address rejected: Access denied. AS(201806281)"
    return _ended(front, now, 550, text, "unknown_recipient")


def wrong_region(front: FrontEnd, now: datetime) -> Reply:
    """The tenant lives behind another region's servers."""
    return _ended(front, now, 451, "4.4.62 Mail sent to the wrong Office 365 region.", "region")


def blocked_connector(front: FrontEnd, now: datetime) -> Reply:
    """The connector was blocked as compromised."""
    # ◐ the sentence; the cmdlets to lift the block are documented.
    return _ended(front, now, 550, "5.7.711 Access denied, bad inbound connector. AS(2204)", "blocked_connector")


def banned_address(front: FrontEnd, now: datetime, address: str) -> Reply:
    """The client's address is on the block list; said at RCPT, with two blanks before the second link."""
    text = (
        f"5.7.606 Access denied, banned sending IP [{address}]. To request removal from this list please visit "
        "https://sender.office.com/ and follow the directions. For more information please go to  "
        "http://go.microsoft.com/fwlink/?LinkID=526655 (AS16012609)"
    )
    return _ended(front, now, 550, text, "banned_address")


def busy(front: FrontEnd, now: datetime, address: str) -> Reply:
    """More mail from one address than it is trusted with."""
    text = f"4.7.500 Server busy. Please try again later from [{address}]. (AS761)"
    return _ended(front, now, 451, text, "busy")


def ipv6_without_name(address: str) -> Reply:
    """IPv6 without a reverse name."""
    text = f"5.7.25 Access denied, the sending IPv6 address [{address}] must have a reverse DNS record"
    return one_line(550, text, "ipv6_without_name")


def ipv6_not_accepted(domain: str) -> Reply:
    """The recipient's domain was not opened for IPv6."""
    return one_line(550, f"5.7.510 Access denied, [{domain}] does not accept email over IPv6", "ipv6_not_accepted")


def ipv6_unauthenticated(address: str) -> Reply:
    """IPv6, and neither SPF nor DKIM passes."""
    text = (
        f"4.7.26 Access denied, a message sent over IPv6 [{address}] must pass either SPF or DKIM validation, "
        "this message is not signed"
    )
    return one_line(450, text, "ipv6_unauthenticated")


def dmarc_refused(front: FrontEnd, now: datetime, domain: str) -> Reply:
    """The author's domain wants to be protected, and the message proves nothing. Real samples print it in capitals."""
    text = (
        f"5.7.509 Access denied, sending domain [{domain.upper()}] does not pass DMARC verification "
        "and has a DMARC policy of reject."
    )
    return _ended(front, now, 550, text, "dmarc")


def too_many_hops(front: FrontEnd, now: datetime) -> Reply:
    """The message has come through so many servers that it must be going in circles."""
    return _ended(front, now, 554, "5.4.14 Hop count exceeded - possible mail loop ATTR34", "hops")


def _ended(front: FrontEnd, now: datetime, code: int, text: str, reason: Reason) -> Reply:
    return one_line(code, f"{text} {front.suffix(now)}", reason)
