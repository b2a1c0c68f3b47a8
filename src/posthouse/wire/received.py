"""Received fields: the one that this node writes, and what those of others tell.

Source: RFC 5321 4.4 (trace information), RFC 3848 and RFC 6531 4.3 (values of ``with``), RFC 8314 7.4 (TLS facts).
Shape: `received_field` makes one field of five lines; `hops` reads all of a header, oldest first; `our_trace` finds the
ones that this node wrote, which is how a loop through it shows.
Failures: none; what cannot be read is left empty. Names given by a stranger lose every sign that has a meaning here.
Leaves to others: what counts as a loop (``decide``), the count for the trace (``wire.header.facts``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from posthouse.mail.address import Address
from posthouse.mail.ids import MessageId, read_message_id, show_message_id
from posthouse.mail.session import SessionFacts
from posthouse.wire.header import HeaderIndex, decode_text, unfold

MAX_HOPS = 100
"""Received fields that are read."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SAFE_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_SAFE_PATH = re.compile(r"[^\s\x00-\x1f\x7f<>()\\;]{1,320}")
_INNERMOST_COMMENT = re.compile(r"\([^()\\]*+(?:\\.[^()\\]*+)*\)")
_CLAUSE = re.compile(r"(?:^|\s)(from|by|with|id)\s+(Microsoft SMTP Server|[^\s;]+)", re.IGNORECASE)
_IP_IN_COMMENT = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One Received field.

    Attributes:
        from_host: Name that the client gave, or its address; empty for the first hop of some programs.
        from_ip: Address of the client as the server saw it, where it is told.
        by_host: Server that wrote the field.
        protocol: Value of ``with``.
        id: Value of ``id``.
        at: Aware UTC; None where the date cannot be read.
        delay: Time since the hop before; None where it cannot be told. Negative where clocks differ.
    """

    from_host: str = ""
    from_ip: str = ""
    by_host: str = ""
    protocol: str = ""
    id: str = ""
    at: datetime | None = None
    delay: timedelta | None = None


def show_date(at: datetime) -> str:
    """RFC 5322 3.3 date-time in UTC. `at` is aware UTC."""
    return f"{_show_day(at.year, at.month, at.day)} {at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"


@lru_cache(maxsize=8)
def _show_day(year: int, month: int, day: int) -> str:
    return f"{_DAYS[date(year, month, day).weekday()]}, {day:02d} {_MONTHS[month]} {year:04d}"


def safe_name(name: str) -> str:
    """A host name from a stranger, fit for a structured field: foreign signs become ``?``, at most 255 octets."""
    if _SAFE_NAME.fullmatch(name) is not None:
        return name
    return _UNSAFE.sub("?", name[:255]) or "unknown"


def show_ip(address: str) -> str:
    """An address literal of RFC 5321 4.1.3."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def received_field(
    session: SessionFacts,
    hostname: str,
    message_id: MessageId,
    recipient: Address | None,
    at: datetime,
    *,
    smtputf8: bool = False,
) -> bytes:
    """The field that this node puts in front of a message.

    Args:
        session: Who brought the message; its HELO argument may hold anything.
        hostname: Our name.
        message_id: Our name for the message.
        recipient: Named in ``for`` where the message has exactly one; several would tell each of the others.
        at: When the message came in, aware UTC.
        smtputf8: The message may hold UTF-8 in its header; else a recipient outside ASCII is not named.

    Returns:
        Lines with CRLF, each below 78 columns unless a name alone is longer.
    """
    tls = session.tls
    how = f"with {session.protocol}" if session.protocol else "with local"
    if tls is not None:
        how += f" ({tls.version} {tls.cipher})"
    if session.peer_ip:
        origin = f"from {safe_name(session.helo)} ({show_ip(session.peer_ip)})"
        by = f"\r\n by {hostname} (Posthouse)"
    else:
        origin, by = f"by {hostname} (Posthouse)", ""
    target = ""
    if recipient is not None and recipient.domain:
        path = f"{recipient.local}@{recipient.domain}"
        if (path.isascii() or smtputf8) and _SAFE_PATH.fullmatch(path) is not None:
            target = f"\r\n for <{path}>"
    return (
        f"Received: {origin}{by}\r\n {how}\r\n id {show_message_id(message_id)}{target};\r\n {show_date(at)}\r\n"
    ).encode()


def count_received(index: HeaderIndex) -> int:
    """Number of Received fields."""
    return len(index.all("received"))


def hops(index: HeaderIndex) -> tuple[Hop, ...]:
    """All Received fields as hops, the first server first. At most the newest 100 fields are read."""
    found: list[Hop] = []
    before: datetime | None = None
    for field in reversed(index.all("received")[:MAX_HOPS]):
        hop = read_hop(index.data[field.value_start : field.end])
        if hop.at is not None:
            hop, before = replace(hop, delay=hop.at - before if before is not None else None), hop.at
        found.append(hop)
    return tuple(found)


def read_hop(value: bytes) -> Hop:
    """Read one Received value as well as it can be read."""
    text = decode_text(unfold(value))
    clauses, _, when = text.rpartition(";")
    clauses = clauses or text
    address = _IP_IN_COMMENT.search(clauses.partition(" by ")[0])
    words = {match[1].lower(): match[2] for match in reversed(list(_CLAUSE.finditer(_without_comments(clauses))))}
    return Hop(
        from_host=words.get("from", ""),
        from_ip=address[1] if address is not None else "",
        by_host=words.get("by", "").lower(),
        protocol=words.get("with", ""),
        id=words.get("id", ""),
        at=_read_date(when),
    )


def _without_comments(text: str) -> str:
    for _ in range(10):
        text, found = _INNERMOST_COMMENT.subn(" ", text)
        if not found:
            break
    return text


def _read_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(_without_comments(text).strip())
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def our_trace(index: HeaderIndex, hostname: str) -> tuple[Hop, ...]:
    """Hops that this node wrote, first to last: our name in ``by`` and an id of our form. Two of them are a loop."""
    return tuple(hop for hop in hops(index) if hop.by_host == hostname.lower() and _is_our_id(hop.id))


def _is_our_id(text: str) -> bool:
    try:
        read_message_id(text)
    except ValueError:
        return False
    return True
