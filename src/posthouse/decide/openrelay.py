"""The proof that a configuration does not let the world relay.

Shape: `open_relay_problems` lists what is wrong with a flow; an empty list is the proof. Checked by ``posthouse check``
and again when the node starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from posthouse.decide.flow import Flow
from posthouse.decide.patterns import Network

MAX_PUBLIC_IPV4 = 1 << 16
"""Public IPv4 addresses that may relay to anywhere without a log-in, over all connectors: a /16 in all."""
MIN_IPV6_PREFIX = 32
"""Widest IPv6 network that may: what a registry gives to one provider."""


def open_relay_problems(flow: Flow) -> list[str]:
    """Sentences about connectors that let strangers relay to anywhere; empty when there are none."""
    open_ones = [i for i in flow.inbound if i.recipients == "any"]
    networks = [n for i in open_ones for n in i.networks]
    names = ", ".join(repr(i.name) for i in open_ones)
    problems = [
        f"inbound {i.name!r} lets everybody in {n} relay to any recipient: that is an open relay"
        for i in open_ones
        for n in i.networks
        if isinstance(n, IPv6Network) and n.prefixlen < MIN_IPV6_PREFIX and not _is_private(n)
    ]
    public = _public_ipv4(networks)
    if public > MAX_PUBLIC_IPV4:
        problems.append(
            f'inbound {names}: recipients = "any" for {public:,} public IPv4 addresses is an open relay; '
            f'at most {MAX_PUBLIC_IPV4:,} are allowed: name smaller networks, use recipients = "internal" or accounts'
        )
    return problems


def _public_ipv4(networks: Iterable[Network]) -> int:
    """Public addresses covered, each counted once however the networks are cut."""
    merged = collapse_addresses([n for n in networks if isinstance(n, IPv4Network)])
    return sum(n.num_addresses for n in merged if not _is_private(n))


def _is_private(network: Network) -> bool:
    return network.is_private or network.is_loopback or network.is_link_local
