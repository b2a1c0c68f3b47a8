"""What Microsoft did with a message that it took: its half of the story.

Source: "List messageTraces", "exchangeMessageTrace: getDetailsByRecipient" of Microsoft Graph (permission
ExchangeMessageTrace.Read.All, worldwide cloud; rows appear after five to ten minutes).
Shape: `microsoft_half` gives one `TracedRecipient` for each row, with its events, or a sentence that says why there is
none.
Failures: the sentence.
Leaves to others: showing it (``operate``), our half (``trace.timeline``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from posthouse.decide.identities import Entra
from posthouse.decide.ways import Way
from posthouse.deliver.graph.client import GraphClient
from posthouse.deliver.graph.listing import Row, Rows, ask_for, literal, read_moment
from posthouse.deliver.graph.verify import GraphClients, header_id, message_traces
from posthouse.mail.message import Message
from posthouse.microsoft.clouds import CLOUDS

MOST_DETAILED = 20
"""Recipients whose events are asked for: the trace takes 100 requests in five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedEvent:
    """One thing that Microsoft did."""

    at: datetime | None
    event: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedRecipient:
    """One recipient in the message trace.

    Attributes:
        status: ``delivered``, ``failed``, ``pending``, ``quarantined``, ``filteredAsSpam``, ``expanded``.
    """

    recipient: str
    received_at: datetime | None
    status: str
    from_ip: str
    to_ip: str
    events: tuple[TracedEvent, ...]


async def microsoft_half(
    clients: GraphClients, way: Way, message: Message, now: datetime
) -> tuple[TracedRecipient, ...] | str:
    """Ask the message trace about a message.

    Args:
        way: That the message left by.
        message: Its content is not needed.
    """
    message_id = header_id(message.header.message_id)
    if not message_id:
        return "the message has no Message-ID to ask for"
    if not isinstance(way.identity, Entra):
        return f"{way.name} has no identity of Entra that could ask for the message trace"
    if not CLOUDS[way.identity.cloud].has_message_trace:
        return f"the cloud {way.identity.cloud} offers no message trace"
    client = clients.of(way)
    listing = await message_traces(client, message_id, message.received_at, now)
    if not isinstance(listing, Rows):
        return f"{listing.reason}; the application needs ExchangeMessageTrace.Read.All"
    if not listing.rows:
        return "the message trace has no row for it; rows appear after five to ten minutes"
    found = []
    for number, row in enumerate(listing.rows):
        events = await _events(client, row) if number < MOST_DETAILED else ()
        found.append(_traced(row, events))
    return tuple(found)


async def _events(client: GraphClient, row: Row) -> tuple[TracedEvent, ...]:
    name, recipient = str(row.get("id", "")), str(row.get("recipientAddress", ""))
    argument = quote(literal(recipient), safe="'@")
    path = f"/admin/exchange/tracing/messageTraces/{quote(name, safe='')}/getDetailsByRecipient"
    listing = await ask_for(client, f"{path}(recipientAddress={argument})")
    if not isinstance(listing, Rows):
        return ()
    return tuple(
        TracedEvent(
            at=read_moment(event.get("dateTime")),
            event=_text(event, "event"),
            description=_text(event, "description"),
        )
        for event in listing.rows
    )


def _traced(row: Row, events: tuple[TracedEvent, ...]) -> TracedRecipient:
    return TracedRecipient(
        recipient=_text(row, "recipientAddress"),
        received_at=read_moment(row.get("receivedDateTime")),
        status=_text(row, "status"),
        from_ip=_text(row, "fromIP"),
        to_ip=_text(row, "toIP"),
        events=events,
    )


def _text(row: Row, name: str) -> str:
    return str(row.get(name) or "")[:1000]
