"""How single values stand in the database: times, states, addresses, and the JSON documents of message and journal.

Shape: times are integer microseconds since 1970 UTC; states are small integers, below `FIRST_FINAL` while a copy is
open; addresses are ``domain@local``, so that one index answers for the full address and for the domain.
Documents are JSON arrays by position: new fields go to the end, with a default.
Failures: ``ValueError`` for a time without zone.
Leaves to others: whole rows (``encode``, ``decode``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from posthouse.mail.address import Address
from posthouse.mail.message import RecipientState

STATE_NUMBERS = {
    RecipientState.PENDING: 1,
    RecipientState.LEASED: 2,
    RecipientState.HELD: 3,
    RecipientState.UNKNOWN: 4,
    RecipientState.DELIVERED: 11,
    RecipientState.FAILED: 12,
    RecipientState.EXPIRED: 13,
    RecipientState.CANCELLED: 14,
    RecipientState.DISCARDED: 15,
}
"""The SQL files use these numbers; a number is never given a new meaning."""
FIRST_FINAL = 10
STATES = {number: state for state, number in STATE_NUMBERS.items()}

LATEST = (1 << 63) - 1
"""Above every id and every time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID_RANDOM_BITS = 22
_ID_SLACK = timedelta(hours=1)
"""How far the time inside a message id may be from the time of acceptance."""


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970.

    Raises:
        ValueError: The time has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError("times in the store need a zone")
    return round(moment.timestamp() * 1_000_000)


def to_datetime(micros: int) -> datetime:
    """The aware UTC time of `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def lowest_id(accepted: datetime | None) -> int:
    """An id that no message accepted at or after this time is below."""
    if accepted is None:
        return 0
    return max(0, int((accepted - _ID_SLACK).timestamp() * 1000)) << _ID_RANDOM_BITS


def highest_id(accepted: datetime | None) -> int:
    """An id that no message accepted at or before this time is above."""
    if accepted is None:
        return LATEST
    return min(LATEST, int((accepted + _ID_SLACK).timestamp() * 1000 + 1) << _ID_RANDOM_BITS)


def to_key(address: Address | None) -> str:
    """``domain@local``; empty for the null sender."""
    return "" if address is None else f"{address.domain}@{address.local}"


def from_key(key: str) -> Address | None:
    """The address of `to_key`."""
    if not key:
        return None
    domain, _, local = key.partition("@")
    return Address(local, domain)


def key_text(key: str) -> str:
    """The address of `to_key` as people write it; empty for the null sender."""
    address = from_key(key)
    return "" if address is None else str(address)


class SessionDocument(msgspec.Struct, array_like=True, frozen=True):
    """`SessionFacts` in the message row. ``$[7][2]`` of the facts (the peer's address) is read by SQL."""

    id: str
    listener: str
    peer_ip: str
    peer_port: int
    helo: str
    protocol: str
    tls: tuple[str, str, list[str]] | None
    principal: tuple[str, str, str] | None
    started_at: int


class FactsDocument(msgspec.Struct, array_like=True, frozen=True):
    """What a message row knows besides its columns. Recipients are local part, domain, NOTIFY, ORCPT."""

    origin: str
    body: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    declared_octets: int | None
    recipients: list[tuple[str, str, int, str | None]]
    session: SessionDocument
    from_address: str
    received_count: int
    repairs: list[str]


EventDocument = tuple[int, str, int | None, dict[str, str | int | float | bool | list[str] | None]]
"""Time, kind, recipient, detail."""

encode_json = msgspec.json.Encoder(enc_hook=dict).encode
decode_facts = msgspec.json.Decoder(FactsDocument).decode
decode_events = msgspec.json.Decoder(list[EventDocument]).decode
decode_json: Any = msgspec.json.Decoder().decode
