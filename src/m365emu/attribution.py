"""Whose mail is it: the tenant and connector that anonymous mail is attributed to.

Purpose: the order in which Exchange Online looks: the name in the client's certificate, then the domain of MAIL FROM
with the client's address, then the domain of RCPT. Source: MC1226222 (attribution of OnPremises connectors);
"Set up connectors to route mail" (relaying out needs a certificate name or a sender in an accepted domain);
New-InboundConnector (Partner connectors restrict, they never relay).
Shape: pure functions over the directory; an `Attribution` without a connector is ordinary mail for a tenant.
Failures: none, absence is `None`. Leaves to others: the refusals that follow (`exchanger`).
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from m365emu.connectors import InboundConnector
from m365emu.directory import Directory
from m365emu.tenant import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The tenant, and the OnPremises connector that recognised the client, if one did."""

    tenant: Tenant
    connector: InboundConnector | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What is known of a client: its address, and the names in a certificate that verifies."""

    address: str
    names: tuple[str, ...] = ()


def attribute(directory: Directory, client: Client, sender: str, recipient: str) -> Attribution | None:
    """Return whose mail this is.

    Args:
        directory: the tenants.
        client: who delivers it.
        sender: MAIL FROM, empty for the null sender.
        recipient: the first RCPT of the transaction.

    Returns:
        `None` when no connector matches and no tenant here owns the recipient's domain.
    """
    return (
        _by_certificate(directory, client, sender)
        or _by_address(directory, client, sender)
        or _by_recipient(directory, recipient)
    )


def _by_certificate(directory: Directory, client: Client, sender: str) -> Attribution | None:
    for tenant in directory.tenants:
        for name, connector in _on_premises(tenant):
            wanted = connector.tls_sender_certificate_name
            if wanted and has_name(client.names, wanted) and _may_relay(tenant, wanted, sender):
                return Attribution(tenant=tenant, connector=connector, name=name)
    return None


def _by_address(directory: Directory, client: Client, sender: str) -> Attribution | None:
    tenant = directory.tenant_of(sender)
    if tenant is None:
        return None
    for name, connector in _on_premises(tenant):
        if in_networks(client.address, connector.sender_ip_addresses):
            return Attribution(tenant=tenant, connector=connector, name=name)
    return None


def _by_recipient(directory: Directory, recipient: str) -> Attribution | None:
    tenant = directory.tenant_of(recipient)
    return None if tenant is None else Attribution(tenant=tenant)


def partner_connectors(tenant: Tenant, sender: str) -> list[InboundConnector]:
    """Return the Partner connectors whose sender domains cover MAIL FROM."""
    domain = domain_of(sender)
    return [
        connector
        for connector in tenant.connectors.values()
        if connector.enabled
        and connector.connector_type == "Partner"
        and any(_covers(pattern, domain) for pattern in connector.sender_domains)
    ]


def matches_partner(connector: InboundConnector, client: Client) -> bool:
    """Say whether a Partner connector recognises the client by address or certificate."""
    by_address = in_networks(client.address, connector.sender_ip_addresses)
    wanted = connector.tls_sender_certificate_name
    return by_address or bool(wanted and has_name(client.names, wanted))


def restricts(connector: InboundConnector, client: Client) -> bool:
    """Say whether a Partner connector turns this client away."""
    if connector.restrict_domains_to_ip_addresses and not in_networks(client.address, connector.sender_ip_addresses):
        return True
    wanted = connector.tls_sender_certificate_name
    return connector.restrict_domains_to_certificate and not has_name(client.names, wanted)


def has_name(names: Iterable[str], wanted: str) -> bool:
    """Say whether a certificate with these names fits a name or `*.domain` of a connector."""
    wanted = wanted.lower()
    names = [name for name in names if name != "*"]
    return any(_covers(wanted, name) or _covers(name, wanted) for name in names)


def in_networks(address: str, networks: Iterable[str]) -> bool:
    """Say whether an address lies in one of the networks; what is no network has no addresses."""
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(network is not None and client in network for network in map(_network, networks))


def domain_of(address: str) -> str:
    """Return the domain of an address, in lower case; empty for the null sender."""
    return address.rpartition("@")[2].lower()


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _on_premises(tenant: Tenant) -> Iterator[tuple[str, InboundConnector]]:
    for name, connector in tenant.connectors.items():
        if connector.enabled and connector.connector_type == "OnPremises":
            yield name, connector


def _may_relay(tenant: Tenant, certificate_name: str, sender: str) -> bool:
    """Relaying needs a certificate name, or a sender, in an accepted domain."""
    host = certificate_name.lower().removeprefix("*.")
    if any(host == domain or host.endswith(f".{domain}") for domain in tenant.domains):
        return True
    return domain_of(sender) in tenant.domains


def _covers(pattern: str, domain: str) -> bool:
    """Say whether `*`, `*.domain` or a plain domain covers a domain."""
    pattern = pattern.lower()
    if pattern.startswith("*."):
        return domain.endswith(pattern[1:]) and domain != pattern
    return pattern in ("*", domain)
