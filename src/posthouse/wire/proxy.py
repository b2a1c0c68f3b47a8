"""The PROXY header that a load balancer puts in front of a connection.

Source: HAProxy's proxy-protocol.txt, 2.1 (version 1, text) and 2.2 (version 2, binary).
Shape: ``parse_proxy(octets so far)`` gives a `ProxyHeader`, `Local`, `Incomplete` or `Invalid`; the first two say how
many octets the header took, so the rest goes to TLS or SMTP untouched.
Failures: `Invalid` as soon as the octets cannot become a header any more.
Leaves to others: which sources are believed (``receive.listener``). What version 2 adds about TLS is skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

MAX_V1_OCTETS = 107
"""Longest version 1 header with its CRLF."""
MAX_V2_OCTETS = 16 + 4096
"""Longest version 2 header taken; addresses need 36 octets, the rest is additions."""

_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_SIGNATURE = b"PROXY "
_V1 = re.compile(
    rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """The connection as the balancer saw it.

    Attributes:
        octets: Length of the header.
    """

    source_ip: str
    source_port: int
    destination_ip: str
    destination_port: int
    octets: int


@dataclass(frozen=True, slots=True)
class Local:
    """The balancer speaks for itself (health check) or does not know: the connection's own address counts."""

    octets: int


@dataclass(frozen=True, slots=True)
class Incomplete:
    """So far it may become a header."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """Not a header: close without a word, as the protocol says."""

    reason: str


ProxyResult = ProxyHeader | Local | Incomplete | Invalid


def parse_proxy(data: bytes) -> ProxyResult:
    """Read the header at the beginning of a connection.

    Args:
        data: All octets of the connection so far; those behind the header do not matter.
    """
    if data.startswith(_V1_SIGNATURE):
        return _parse_v1(data)
    if data.startswith(_V2_SIGNATURE):
        return _parse_v2(data)
    if _V1_SIGNATURE.startswith(data) or _V2_SIGNATURE.startswith(data):
        return Incomplete()
    return Invalid("no PROXY header")


def _parse_v1(data: bytes) -> ProxyResult:
    end = data.find(b"\r\n", 0, MAX_V1_OCTETS)
    if end < 0:
        return Invalid("PROXY line is too long") if len(data) >= MAX_V1_OCTETS else Incomplete()
    line = data[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Local(end + 2)
    match = _V1.fullmatch(line)
    if match is None:
        return Invalid("PROXY line is malformed")
    family, source, destination, source_port, destination_port = (part.decode() for part in match.groups())
    try:
        addresses = [ip_address(source), ip_address(destination)]
    except ValueError:
        return Invalid("PROXY line holds a bad address")
    version = 4 if family == "TCP4" else 6
    if any(address.version != version for address in addresses) or max(int(source_port), int(destination_port)) > 65535:
        return Invalid("PROXY line contradicts itself")
    return ProxyHeader(
        source_ip=str(addresses[0]),
        source_port=int(source_port),
        destination_ip=str(addresses[1]),
        destination_port=int(destination_port),
        octets=end + 2,
    )


def _parse_v2(data: bytes) -> ProxyResult:
    if len(data) < 16:
        return Invalid("PROXY version is unknown") if data[12:13] not in (b"", b"\x20", b"\x21") else Incomplete()
    version_and_command, family = data[12], data[13]
    octets = 16 + int.from_bytes(data[14:16])
    if version_and_command not in (0x20, 0x21):
        return Invalid("PROXY version or command is unknown")
    if octets > MAX_V2_OCTETS:
        return Invalid("PROXY header is too long")
    if len(data) < octets:
        return Incomplete()
    if version_and_command == 0x20 or family not in (0x11, 0x21):
        # LOCAL, or a family that is not TCP over IP: the protocol says to take the connection as it is.
        return Local(octets)
    width = 4 if family == 0x11 else 16
    if octets < 16 + 2 * width + 4:
        return Invalid("PROXY header is too short for its addresses")
    source, destination = data[16 : 16 + width], data[16 + width : 16 + 2 * width]
    ports = data[16 + 2 * width : 20 + 2 * width]
    return ProxyHeader(
        source_ip=_show(source),
        source_port=int.from_bytes(ports[:2]),
        destination_ip=_show(destination),
        destination_port=int.from_bytes(ports[2:]),
        octets=octets,
    )


def _show(packed: bytes) -> str:
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))
