"""Finds out by Graph what became of a message whose answer was lost.

Source: "List messages" with ``$filter`` on internetMessageId, "List messageTraces" (rows appear after five to ten
minutes, worldwide cloud only), permissions Mail.Read and ExchangeMessageTrace.Read.All.
Shape: `GraphVerifier` implements ``queue.port.Verifier``: it looks into Sent Items of the mailboxes that may have sent
the message, and into the message trace, and weighs what it saw.
Failures: `NotFound` that is not final where Graph does not answer; `CannotLook` with the right to grant where it may
not be asked, or where nothing that can be seen would prove anything.
Leaves to others: when to look, and what follows (``queue.verify``).

What proves what. A row of the message trace, whatever its status, says that Microsoft took responsibility for this
recipient. An item in Sent Items says so for the recipients that it names; one that names none of ours counts only if no
other copy of the message went the same way. That nothing is found proves that nothing arrived only after the trace had
a quarter of an hour; or, without the trace, after two minutes if this way of sending is seen to leave copies. And only
if an earlier message that did arrive this way, where there is one, is found in the same place by its Message-ID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from posthouse.decide.identities import Entra
from posthouse.decide.outbound import Graph, Submission
from posthouse.decide.ways import Way
from posthouse.deliver.graph.client import GraphClient, user_path
from posthouse.deliver.graph.listing import (
    Denied,
    Listing,
    Row,
    Rows,
    Trouble,
    address_of,
    ask_for,
    literal,
    moment,
    read_moment,
)
from posthouse.deliver.patience import Patience
from posthouse.deliver.tokens import TokenSource
from posthouse.microsoft.clouds import CLOUDS
from posthouse.queue.port import CannotLook, Found, Looked, Lost, NotFound

SENT_ITEMS_DELAY = timedelta(minutes=2)
TRACE_DELAY = timedelta(minutes=15)
COPIES_KEPT_LATELY = timedelta(days=30)
_SKEW = timedelta(minutes=5)
_LONGEST_SPAN = timedelta(days=10) - timedelta(minutes=1)
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,990}>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one message.

    Attributes:
        copies: Items in Sent Items by mailbox; None where nobody could look.
        rows: Of the message trace; None where nobody could look.
        denied: What was refused.
        troubles: What did not answer.
    """

    copies: Mapping[str, tuple[Row, ...]] | None
    rows: tuple[Row, ...] | None
    denied: tuple[str, ...]
    troubles: tuple[str, ...]


class Proof(Enum):
    """Whether it means anything that a place does not show a message."""

    NONE = "none"
    """It shows an earlier message neither, or nothing of late."""
    LIKELY = "likely"
    """There is no earlier message, but it shows what is sent this way."""
    FULL = "full"
    """It shows an earlier message."""


class GraphClients:
    """One client for each way out, for those that only look."""

    def __init__(self, tokens: TokenSource, patience: Patience | None = None) -> None:
        self._tokens, self._patience = tokens, patience or Patience(final=60.0)
        self._clients: dict[str, tuple[Way, GraphClient]] = {}

    def of(self, way: Way) -> GraphClient:
        """The client of a way out; a new one where its settings changed."""
        known = self._clients.get(way.name)
        if known is not None and known[0] == way:
            return known[1]
        if known is not None:
            known[1].close_soon()
        client = GraphClient(way, self._tokens, self._patience)
        self._clients[way.name] = (way, client)
        return client

    async def close(self) -> None:
        """Close all of them."""
        for _, client in self._clients.values():
            await client.close()
        self._clients.clear()


class GraphVerifier:
    """Looks."""

    def __init__(self, clients: GraphClients) -> None:
        self._clients = clients

    async def look_up(self, way: Way, lost: Lost, now: datetime) -> Mapping[int, Looked]:
        """Look for a message; see ``queue.port.Verifier``."""
        message_id = header_id(lost.message.header.message_id)
        if not message_id:
            return _all(lost, CannotLook("the message has no Message-ID to look for"))
        if lost.has_twins:
            return _all(lost, CannotLook(f"several messages bear the Message-ID {message_id}: none can be told apart"))
        if not isinstance(way.identity, Entra):
            reason = f"{way.name} has no identity of Entra that could look into Sent Items or the message trace"
            return _all(lost, CannotLook(reason))
        seen = await self._look(way, lost, message_id, lost.message.received_at, now)
        found = {index: _find(lost, str(address), seen) for index, address in lost.recipients.items()}
        if all(isinstance(looked, Found) for looked in found.values()):
            return {index: looked for index, looked in found.items() if isinstance(looked, Found)}
        absence = await self._weigh_absence(way, lost, seen, now)
        return {index: looked if isinstance(looked, Found) else absence for index, looked in found.items()}

    async def _look(self, way: Way, lost: Lost, message_id: str, received_at: datetime, now: datetime) -> Seen:
        client, denied, troubles = self._clients.of(way), list[str](), list[str]()
        copies: dict[str, tuple[Row, ...]] | None = None
        if leaves_copies(way) and lost.mailboxes:
            copies = {}
            for mailbox in lost.mailboxes:
                listing = await sent_items(client, mailbox, message_id)
                if isinstance(listing, Rows):
                    copies[mailbox] = tuple(row for row in listing.rows if not _is_older(row, received_at))
                else:
                    _note(listing, denied, troubles)
            if len(copies) < len(lost.mailboxes) and not any(copies.values()):
                copies = None
        rows = None
        if CLOUDS[way.identity.cloud if way.identity else "worldwide"].has_message_trace:
            listing = await message_traces(client, message_id, received_at, now)
            if isinstance(listing, Rows):
                rows = listing.rows
            else:
                _note(listing, denied, troubles)
        return Seen(copies=copies, rows=rows, denied=tuple(denied), troubles=tuple(troubles))

    async def _weigh_absence(self, way: Way, lost: Lost, seen: Seen, now: datetime) -> NotFound | CannotLook:
        """What it means that at least one recipient was not found."""
        age, where = now - lost.since, ", ".join(f"Sent Items of {mailbox}" for mailbox in lost.mailboxes)
        if seen.troubles:
            return NotFound(False, "; ".join(seen.troubles))
        if seen.rows is None and seen.copies is None:
            return CannotLook(_rights(way, lost, seen))
        delay = TRACE_DELAY if seen.rows is not None else SENT_ITEMS_DELAY
        places = [where] if seen.copies is not None else []
        reason = f"not found in {' and '.join([*places, *(['the message trace'] if seen.rows is not None else [])])}"
        if age < delay:
            return NotFound(False, reason)
        by_copies, by_rows = await self._proofs(way, lost, seen, now)
        if seen.rows is not None and (by_rows is Proof.FULL or (by_rows is Proof.LIKELY and _keeps_ids(way))):
            return NotFound(True, reason)
        is_ambiguous = seen.copies is not None and any(seen.copies.values())
        if seen.copies is not None and by_copies is not Proof.NONE and not is_ambiguous:
            return NotFound(True, reason)
        if is_ambiguous:
            return CannotLook(f"{where} holds copies of the message that do not name this recipient")
        if lost.control is not None:
            return CannotLook(f"{reason}, but neither is {lost.control.message_id}, which arrived: nothing is proven")
        return CannotLook(f"{reason}, which proves nothing because no copies are kept there; {_grant_trace(way)}")

    async def _proofs(self, way: Way, lost: Lost, seen: Seen, now: datetime) -> tuple[Proof, Proof]:
        """What the lack of a copy, and the lack of a row, prove."""
        control = lost.control
        if control is not None and (message_id := header_id(control.message_id)):
            known = await self._look(way, lost, message_id, control.received_at, now)
            by_copies = Proof.FULL if known.copies is not None and any(known.copies.values()) else Proof.NONE
            return by_copies, Proof.FULL if known.rows else Proof.NONE
        if isinstance(way.connector, Graph):
            return (Proof.LIKELY if way.connector.save_to_sent_items else Proof.NONE), Proof.LIKELY
        client = self._clients.of(way)
        keeps = seen.copies is not None and all(
            [await _keeps_copies(client, mailbox, lost.since) for mailbox in lost.mailboxes]
        )
        return (Proof.LIKELY if keeps else Proof.NONE), Proof.LIKELY


def header_id(text: str) -> str:
    """The Message-ID in a header value, with its brackets; empty where there is none."""
    match = _MESSAGE_ID.search(text)
    return match[0] if match is not None else ""


def leaves_copies(way: Way) -> bool:
    """Whether what is sent this way can be found in Sent Items at all."""
    connector = way.connector
    return isinstance(connector, Submission) or (isinstance(connector, Graph) and connector.save_to_sent_items)


async def sent_items(client: GraphClient, mailbox: str, message_id: str) -> Listing:
    """Items of that Message-ID in Sent Items of a mailbox."""
    return await ask_for(
        client,
        f"{user_path(mailbox)}/mailFolders/sentitems/messages",
        filter=f"internetMessageId eq {literal(message_id)}",
        select="id,internetMessageId,createdDateTime,sentDateTime,toRecipients,ccRecipients,bccRecipients",
        top="50",
    )


async def message_traces(client: GraphClient, message_id: str, received_at: datetime, now: datetime) -> Listing:
    """Rows of the message trace for that Message-ID, one for each recipient."""
    start = max(received_at - _SKEW, now - _LONGEST_SPAN)
    end = min(now, start + _LONGEST_SPAN)
    span = f"receivedDateTime ge {moment(start)} and receivedDateTime le {moment(end)}"
    return await ask_for(
        client,
        "/admin/exchange/tracing/messageTraces",
        filter=f"messageId eq {literal(message_id)} and {span}",
        top="1000",
    )


async def _keeps_copies(client: GraphClient, mailbox: str, since: datetime) -> bool:
    """Sent Items holds something of late, so copies are not switched off for the mailbox."""
    listing = await ask_for(
        client,
        f"{user_path(mailbox)}/mailFolders/sentitems/messages",
        filter=f"sentDateTime ge {moment(since - COPIES_KEPT_LATELY)}",
        select="id",
        top="1",
    )
    return isinstance(listing, Rows) and bool(listing.rows)


def _find(lost: Lost, recipient: str, seen: Seen) -> Found | None:
    """Where the message is for one recipient; None where it was not seen."""
    for row in seen.rows or ():
        if str(row.get("recipientAddress", "")).lower() == recipient.lower():
            status = str(row.get("status", ""))[:30]
            return Found(f"the message trace ({status or 'no status'})", read_moment(row.get("receivedDateTime")))
    for mailbox, items in (seen.copies or {}).items():
        for item in items:
            if recipient.lower() in _named(item) or not lost.has_delivered:
                return Found(f"Sent Items of {mailbox}", read_moment(item.get("sentDateTime")))
    return None


def _is_older(item: Row, received_at: datetime) -> bool:
    """The item was there before we had the message: another one with the same Message-ID."""
    created = read_moment(item.get("createdDateTime"))
    return created is not None and created < received_at - _SKEW


def _keeps_ids(way: Way) -> bool:
    """Whether Microsoft keeps the Message-ID of what is sent this way; of JSON it may not."""
    return not isinstance(way.connector, Graph) or way.connector.save_to_sent_items


def _rights(way: Way, lost: Lost, seen: Seen) -> str:
    wanted = []
    if leaves_copies(way) and lost.mailboxes:
        wanted.append(f"Mail.Read (Sent Items of {', '.join(lost.mailboxes)})")
    if CLOUDS[way.identity.cloud if way.identity else "worldwide"].has_message_trace:
        wanted.append("ExchangeMessageTrace.Read.All (message trace)")
    # What Graph says of a missing right is always the same, and speaks of another one.
    words = [reason for reason in seen.denied if not reason.startswith("Graph 403")]
    said = f" ({'; '.join(words)})" if words else ""
    who = f"the application of the identity {way.identity.name}" if way.identity else "the application"
    return f"grant {who} {' or '.join(wanted) or 'nothing: there is nowhere to look'} in Microsoft Graph{said}"


def _grant_trace(way: Way) -> str:
    name = way.identity.name if way.identity else way.name
    return f"grant ExchangeMessageTrace.Read.All to the application of the identity {name}"


def _named(item: Row) -> set[str]:
    """Addresses that an item was sent to, lower case."""
    found = set()
    for key in ("toRecipients", "ccRecipients", "bccRecipients"):
        people = item.get(key)
        for person in people if isinstance(people, list) else ():
            found.add(address_of(person).lower())
    return found


def _note(listing: Denied | Trouble, denied: list[str], troubles: list[str]) -> None:
    (denied if isinstance(listing, Denied) else troubles).append(listing.reason)


def _all(lost: Lost, looked: Looked) -> dict[int, Looked]:
    return dict.fromkeys(lost.recipients, looked)
