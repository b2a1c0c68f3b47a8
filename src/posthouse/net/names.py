"""Names in certificates, compared.

Source: RFC 6125 6.4.3 (a wildcard stands for one whole label on the left), RFC 9525 6.3; TlsDomain of Exchange's
connectors, which may itself be a wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable


def certificate_covers(wanted: str, names: Iterable[str]) -> bool:
    """Whether a verified certificate speaks for a name.

    Args:
        wanted: ``mx.example.com``, or ``*.example.com`` for any host of that domain (or a certificate for all of them).
        names: Names in the certificate, lower case.
    """
    wanted = to_ascii(wanted)
    return any(_covers(wanted, name) for name in names)


def _covers(wanted: str, name: str) -> bool:
    if name == wanted:
        return True
    if wanted.startswith("*."):
        return _parent(name) == wanted[2:]
    return name.startswith("*.") and "." in name[2:] and _parent(wanted) == name[2:]


def _parent(name: str) -> str:
    return name.partition(".")[2]


def to_ascii(name: str) -> str:
    """A host name as certificates spell it: lower case, no dot at the end, A-labels."""
    name = name.rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name
