"""The PROXY header, versions 1 and 2."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from posthouse.wire.proxy import MAX_V1_OCTETS, MAX_V2_OCTETS, Incomplete, Invalid, Local, ProxyHeader, parse_proxy

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REST = b"EHLO client\r\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    ports = struct.pack("!HH", source_port, destination_port)
    return ip_address(source).packed + ip_address(destination).packed + ports


V1_IPV4 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"
V1_IPV6 = b"PROXY TCP6 2001:DB8::1 2001:db8::2 1 65535\r\n"
V2_IPV4 = v2(0x21, 0x11, addresses("192.0.2.1", "198.51.100.2", 56324, 25))
V2_IPV6 = v2(0x21, 0x21, addresses("2001:db8::1", "2001:db8::2", 1, 65535))
V2_MORE = v2(0x21, 0x11, addresses("192.0.2.1", "198.51.100.2", 56324, 25) + b"\x04\x00\x03abc")
V4 = ("192.0.2.1", 56324, "198.51.100.2", 25)
V6 = ("2001:db8::1", 1, "2001:db8::2", 65535)


@pytest.mark.parametrize(
    ("header", "expected"),
    [(V1_IPV4, V4), (V1_IPV6, V6), (V2_IPV4, V4), (V2_IPV6, V6), (V2_MORE, V4)],
    ids=["v1 IPv4", "v1 IPv6", "v2 IPv4", "v2 IPv6", "v2 with additions"],
)
def test_a_header_names_both_ends_and_leaves_the_rest(header: bytes, expected: tuple[str, int, str, int]) -> None:
    found = parse_proxy(header + REST)
    assert isinstance(found, ProxyHeader)
    assert (found.source_ip, found.source_port, found.destination_ip, found.destination_port) == expected
    assert found.octets == len(header)
    for length in range(len(header)):
        assert parse_proxy(header[:length]) == Incomplete(), length


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, addresses("192.0.2.1", "198.51.100.2", 1, 2)),
        v2(0x21, 0x00, b""),
        v2(0x21, 0x31, bytes(216)),
    ],
    ids=["v1 unknown", "v1 unknown with more", "v2 local", "v2 local with addresses", "v2 unspecified", "v2 unix"],
)
def test_where_the_balancer_does_not_say_the_connection_itself_counts(header: bytes) -> None:
    assert parse_proxy(header + REST) == Local(len(header))


@pytest.mark.parametrize(
    "octets",
    [
        REST,
        b"\x16\x03\x01",
        b"PROXX",
        b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\nEHLO\r\n",
        b"PROXY " + b"x" * MAX_V1_OCTETS,
        SIGNATURE + b"\x31",
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
        v2(0x21, 0x11, bytes(11)),
        v2(0x21, 0x21, bytes(12)),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_V2_OCTETS),
    ],
)
def test_what_cannot_become_a_header_is_invalid_at_once(octets: bytes) -> None:
    assert isinstance(parse_proxy(octets), Invalid)


def test_the_longest_line_of_version_1_is_still_taken() -> None:
    line = b"PROXY UNKNOWN " + b"x" * (MAX_V1_OCTETS - 16) + b"\r\n"
    assert len(line) == MAX_V1_OCTETS
    assert parse_proxy(line) == Local(MAX_V1_OCTETS)
    assert isinstance(parse_proxy(b"PROXY UNKNOWN  " + line[14:]), Invalid)
