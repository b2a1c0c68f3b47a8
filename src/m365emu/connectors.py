"""Inbound connectors and what the service knows of the outside world, as data.

Purpose: how mail that nobody logged on for is attributed and judged. Source: New-InboundConnector; "Set up
connectors to route mail"; "How to set up a multifunction device or application to send email". Shape: frozen
structs, part of `tenant.Tenant`. Failures: none. Leaves to others: matching (`attribution`).
"""

import ipaddress
from typing import Literal

from msgspec import Struct


class InboundConnector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One inbound connector, in the words of New-InboundConnector.

    `sender_ip_addresses` are IPv4 addresses or ranges from /24 to /32. `blocked` plays a connector that Microsoft
    blocked as compromised.
    """

    connector_type: Literal["Partner", "OnPremises"] = "OnPremises"
    enabled: bool = True
    sender_domains: tuple[str, ...] = ("*",)
    sender_ip_addresses: tuple[str, ...] = ()
    tls_sender_certificate_name: str = ""
    require_tls: bool = False
    restrict_domains_to_ip_addresses: bool = False
    restrict_domains_to_certificate: bool = False
    treat_messages_as_internal: bool = False
    blocked: bool = False


Unreachable = Literal["", "dns", "timeout", "refused", "untrusted-root", "reset", "mta-sts", "starttls"]
"""Why another domain's servers cannot be delivered to."""


def network_problem(network: str) -> str:
    """Say what is wrong with an entry of `sender_ip_addresses`; empty when it can stand."""
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return f"`{network}` is not an IP address or range"
    if parsed.version == 6:
        return f"`{network}` is IPv6, which connectors do not take"
    return "" if parsed.prefixlen >= 24 else f"`{network}` is wider than /24"


class OutsideDomain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What DNS would say of a domain: who may send for it, and its DMARC policy.

    `spf` lists networks that pass; `dkim` lists selectors whose signatures verify (`*` for any signature).
    `exists` false plays a domain that DNS does not know; `accepts` false plays one that refuses every recipient.
    `unreachable` plays one whose servers cannot be talked to: mail for it is tried until it expires.
    """

    spf: tuple[str, ...] = ()
    dkim: tuple[str, ...] = ()
    dmarc: Literal["", "none", "quarantine", "reject"] = ""
    exists: bool = True
    accepts: bool = True
    unreachable: Unreachable = ""
