"""What a server offers in its answer to EHLO.

Source: RFC 5321 4.1.1.1; RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING, BINARYMIME), RFC 3207 (STARTTLS),
RFC 3461 (DSN), RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
Shape: `read_extensions` turns a reply into `Extensions`. Keywords that nobody here uses are kept in `keywords`.
Failures: none; a line that is no keyword is passed over.

The form ``AUTH=LOGIN PLAIN`` was sent by servers for the sake of old Outlooks, some send nothing else: it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from posthouse.mail.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What a server offers just now; what it offered before STARTTLS does not count any more.

    Attributes:
        keywords: All keywords, upper case, with their parameters.
        mechanisms: SASL mechanisms, upper case, in the server's order.
        max_octets: Largest message, or None where the server names no limit.
    """

    keywords: tuple[tuple[str, str], ...] = ()
    pipelining: bool = False
    starttls: bool = False
    dsn: bool = False
    chunking: bool = False
    binary_mime: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    size: bool = False
    max_octets: int | None = None
    mechanisms: tuple[str, ...] = ()


NO_EXTENSIONS = Extensions()


@lru_cache(maxsize=256)
def read_extensions(reply: Reply) -> Extensions:
    """Read the answer to EHLO. Its first line is the server's name and is passed over."""
    found: dict[str, str] = {}
    mechanisms: list[str] = []
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        keyword = keyword.upper()
        if keyword.startswith("AUTH="):
            mechanisms += (keyword[5:], *parameters.upper().split())
            keyword, parameters = "AUTH", ""
        elif keyword == "AUTH":
            mechanisms += parameters.upper().split()
        if keyword:
            found.setdefault(keyword, parameters.strip())
    limit = found.get("SIZE", "")
    return Extensions(
        keywords=tuple(found.items()),
        pipelining="PIPELINING" in found,
        starttls="STARTTLS" in found,
        dsn="DSN" in found,
        chunking="CHUNKING" in found,
        binary_mime="BINARYMIME" in found and "CHUNKING" in found,
        eight_bit_mime="8BITMIME" in found,
        smtputf8="SMTPUTF8" in found,
        size="SIZE" in found,
        # RFC 1870 4: zero means that there is no fixed limit.
        max_octets=(int(limit) or None) if limit.isascii() and limit.isdigit() else None,
        mechanisms=tuple(dict.fromkeys(m for m in mechanisms if m)),
    )
