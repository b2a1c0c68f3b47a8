"""The path of MAIL and RCPT: what stands between the colon and the parameters.

Source: RFC 5321 4.1.2 (Path, Mailbox), 4.5.1 (postmaster), 4.5.3.1 (lengths), appendix C (source routes are ignored);
RFC 6531 3.3 (internationalised mailbox).
Shape: ``read_path(text)`` gives a `Path`: the address, where the parameters start and what was mended. Plain addresses
take one regular expression; everything odd goes through small steps. Recent results are remembered, because senders
and recipients repeat.
Failures: ``PathError`` with a kind; the caller knows whether that is a sender or a recipient and picks the reply.
Leaves to others: whether non-ASCII addresses are welcome (``wire.smtp.commands``), whether the domain is ours.

Mended, because devices in the field do it: a blank behind the colon, missing angle brackets, a dot behind the domain.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from posthouse.mail.address import MAX_DOMAIN_OCTETS, MAX_LOCAL_OCTETS, Address

_PLAIN = re.compile(
    r"<([a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64})@((?=[^>]{1,255}>)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*)>",
    re.ASCII | re.IGNORECASE,
)
_SOURCE_ROUTE = re.compile(r"(?:@[^\s@,:<>\"]+,)*@[^\s@,:<>\"]+:")
_LOCAL = re.compile(r"[^\x00-\x20\x7f\"(),:;<>@\[\\\]]+|\"(?:[^\x00-\x1f\x7f\"\\]|\\[\x20-\x7e])*\"")
_DOMAIN = re.compile(r"[^\x00-,/:-@\[-^`{-\x7f.-](?:[^\x00-,/:-@\[-^`{-\x7f.]*[^\x00-,/:-@\[-^`{-\x7f.-])?")
_LITERAL = re.compile(r"\[([0-9A-Za-z:.-]{2,64})\]")


class PathFault(Enum):
    """Why a path was not understood."""

    MALFORMED = auto()
    TOO_LONG = auto()


class PathError(ValueError):
    """The text is not a path. `fault` says whether it is merely too long."""

    def __init__(self, fault: PathFault) -> None:
        super().__init__(fault.name.lower())
        self.fault = fault


class Path(NamedTuple):
    """A path that was understood.

    Attributes:
        address: None is the null path ``<>``.
        parameters: What follows the path, without leading blanks; empty for none.
        repairs: What had to be mended, in words for the operator.
    """

    address: Address | None
    parameters: str = ""
    repairs: tuple[str, ...] = ()


@lru_cache(maxsize=2048)
def _read_plain(text: str) -> Address | None:
    match = _PLAIN.fullmatch(text)
    return None if match is None else Address(match[1], match[2].lower())


def read_path(text: str) -> Path:
    """Read the path and find where the parameters start.

    Args:
        text: Everything behind ``FROM:`` or ``TO:``.

    Raises:
        PathError: Not a path.
    """
    end = text.find(">") + 1
    address = _read_plain(text[:end])
    if address is not None and text[end : end + 1] in ("", " "):
        return Path(address, text[end:].lstrip())
    return _read_odd_path(text)


def _read_odd_path(text: str) -> Path:
    repairs: list[str] = []
    if text.startswith((" ", "\t")):
        repairs.append("blank before the address removed")
        text = text.lstrip()
    if text.startswith("<"):
        inside, rest = _split_brackets(text)
    else:
        inside, _, rest = text.partition(" ")
        repairs.append("missing angle brackets added")
        if not inside or inside.endswith(">"):
            raise PathError(PathFault.MALFORMED)
    route = _SOURCE_ROUTE.match(inside)
    if route is not None:
        inside = inside[route.end() :]
        repairs.append("source route ignored")
    if not inside and route is None and "missing angle brackets added" not in repairs:
        return Path(None, rest, tuple(repairs))
    if inside.endswith(".") and "@" in inside:
        inside = inside[:-1]
        repairs.append("dot behind the domain removed")
    return Path(_read_mailbox(inside), rest, tuple(repairs))


def _split_brackets(text: str) -> tuple[str, str]:
    """Find the closing bracket that is not part of a quoted local part."""
    start = 1
    route = _SOURCE_ROUTE.match(text, 1)
    if route is not None:
        start = route.end()
    quoted = _LOCAL.match(text, start) if text.startswith('"', start) else None
    end = text.find(">", quoted.end() if quoted else start)
    if end < 0:
        raise PathError(PathFault.MALFORMED)
    rest = text[end + 1 :]
    if rest and not rest.startswith(" "):
        raise PathError(PathFault.MALFORMED)
    return text[1:end].strip(), rest.lstrip()


def _read_mailbox(text: str) -> Address:
    if text.lower() == "postmaster":
        return Address(text, "")
    local = _LOCAL.match(text)
    if local is None or not text.startswith("@", local.end()):
        raise PathError(PathFault.MALFORMED)
    domain = text[local.end() + 1 :]
    if len(local[0].encode()) > MAX_LOCAL_OCTETS or len(domain.encode()) > MAX_DOMAIN_OCTETS:
        raise PathError(PathFault.TOO_LONG)
    literal = _LITERAL.fullmatch(domain)
    if literal is not None:
        _check_literal(literal[1])
    elif not all(_DOMAIN.fullmatch(label) for label in domain.split(".")):
        raise PathError(PathFault.MALFORMED)
    return Address(local[0], domain.lower())


def _check_literal(text: str) -> None:
    """RFC 5321 4.1.3: an IPv4 address, or ``IPv6:`` and an IPv6 address."""
    try:
        if text[:5].lower() == "ipv6:":
            IPv6Address(text[5:])
        else:
            IPv4Address(text)
    except ValueError as error:
        raise PathError(PathFault.MALFORMED) from error
