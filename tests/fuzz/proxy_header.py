"""Any octets at the PROXY parser: no exception, and a verdict is final however many octets follow."""

from __future__ import annotations

from posthouse.wire.proxy import MAX_V2_OCTETS, Incomplete, Invalid, Local, ProxyHeader, parse_proxy


def one_input(data: bytes) -> None:
    """Grow the input octet by octet; the first verdict must stay."""
    verdict = parse_proxy(data)
    early = next((found for found in map(parse_proxy, prefixes(data)) if not isinstance(found, Incomplete)), verdict)
    if isinstance(early, Invalid):
        assert isinstance(verdict, Invalid)
    else:
        assert early == verdict
    if isinstance(verdict, ProxyHeader | Local):
        assert verdict.octets <= min(len(data), MAX_V2_OCTETS)
        assert parse_proxy(data[: verdict.octets]) == verdict


def prefixes(data: bytes) -> list[bytes]:
    """Beginnings of `data`, all short ones and some long ones."""
    return [data[:length] for length in (*range(min(len(data), 150)), *range(150, len(data), 97))]
