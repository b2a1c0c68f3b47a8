"""Reports that came back to the mailboxes that send, tied to the messages that they speak of.

Source: "List messages" and "Get MIME content of a message" of Microsoft Graph; the shape of Exchange Online's reports
(RFC 3464 in multipart/report, In-Reply-To with the original Message-ID). Needs Mail.Read.
Shape: `Returns.look` is a duty of some minutes. What a report says of a recipient becomes an event of that copy; its
state stays, because the mail was delivered to Microsoft, and what Microsoft made of it is another story.
Failures: a mailbox that cannot be read is logged, once until it can be read again; the others go on. An event that was
written before is not written again.
Leaves to others: reading a report (``wire.report``), what its words mean (``microsoft.replies``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

import structlog

from posthouse.decide.identities import Entra
from posthouse.decide.outbound import FromMailboxes
from posthouse.decide.ways import Way
from posthouse.deliver.graph.client import Answer, GraphClient, Request, user_path
from posthouse.deliver.graph.listing import Row, Rows, address_of, ask_for, moment
from posthouse.deliver.graph.verify import GraphClients, header_id
from posthouse.mail.event import Event, EventKind
from posthouse.mail.message import RecipientState
from posthouse.microsoft.replies import find
from posthouse.store.port import Store, TraceQuery, TraceRow
from posthouse.wire.header import HeaderIndex
from posthouse.wire.mime import children, walk
from posthouse.wire.report import ReportedRecipient, StatusReport, read_report

log = structlog.get_logger()

LOOK_EVERY = 300.0
LOOK_BACK = timedelta(days=1)
"""After a start."""
OVERLAP = timedelta(minutes=10)
MOST_REPORTS = 50
MOST_ROWS = 1000
MOST_MAILBOXES = 100
_MAX_WORDS = 1000
_REPORTERS = ("postmaster", "mailer-daemon", "microsoftexchange329e71ec88ae4615bbc36ab6ce41109e")
_SUBJECTS = re.compile(
    r"\s*(undeliver|delivery (status|failure|has failed)|mail delivery failed|returned mail|failure notice"
    r"|unzustellbar|nicht zustellbar|non remis|no se puede entregar|non recapitabile|onbestelbaar)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A report that came back.

    Attributes:
        report_id: Its own Message-ID.
        original_id: Message-ID of the message it speaks of.
        report: What it says.
    """

    report_id: str
    original_id: str
    report: StatusReport


class Returns:
    """The duty."""

    def __init__(
        self,
        store: Store,
        clients: GraphClients,
        *,
        ways: Callable[[], Iterable[Way]],
        clock: Callable[[], datetime],
    ) -> None:
        """Prepare.

        Args:
            ways: All ways out of the present flow.
            clock: Aware UTC.
        """
        self._store, self._clients, self._ways, self._clock = store, clients, ways, clock
        self._looked: dict[str, datetime] = {}
        self._troubled: set[str] = set()

    async def look(self) -> None:
        """Read what is new in every mailbox, once."""
        readers: dict[str, Way] = {}
        for way in self._ways():
            connector = way.connector
            if isinstance(connector, FromMailboxes) and connector.read_returns and isinstance(way.identity, Entra):
                for mailbox in await self._mailboxes(way, connector):
                    readers.setdefault(mailbox, way)
        for mailbox, way in readers.items():
            await self._look_into(way, mailbox)

    async def _mailboxes(self, way: Way, connector: FromMailboxes) -> tuple[str, ...]:
        """The mailboxes that reports come back to; where each sender has its own, those that sent of late."""
        if connector.sender_handling != "mailbox_per_sender":
            return connector.mailboxes
        query = TraceQuery(
            connector=way.name,
            states=(RecipientState.DELIVERED,),
            since=self._clock() - LOOK_BACK,
            limit=MOST_ROWS,
        )
        senders = dict.fromkeys(row.sender.lower() for row in await self._store.search(query) if "@" in row.sender)
        return (*connector.mailboxes, *senders)[:MOST_MAILBOXES]

    async def _look_into(self, way: Way, mailbox: str) -> None:
        now = self._clock()
        since = self._looked.get(mailbox, now - LOOK_BACK)
        client = self._clients.of(way)
        listing = await ask_for(
            client,
            f"{user_path(mailbox)}/mailFolders/inbox/messages",
            filter=f"receivedDateTime ge {moment(since)}",
            select="id,subject,from,receivedDateTime,internetMessageId",
            orderby="receivedDateTime desc",
            top=str(MOST_REPORTS),
        )
        if not isinstance(listing, Rows):
            if mailbox not in self._troubled:
                log.warning("returns.cannot_read", mailbox=mailbox, reason=listing.reason)
            self._troubled.add(mailbox)
            return
        self._troubled.discard(mailbox)
        for row in listing.rows:
            if _may_be_report(row):
                await self._take(mailbox, await _fetch(client, mailbox, row))
        # What was received while we looked may be listed late.
        self._looked[mailbox] = now - OVERLAP

    async def _take(self, mailbox: str, returned: Return | None) -> None:
        if returned is None:
            return
        # A report may speak of mail that left the same mailbox by another connector.
        senders = {w.name for w in self._ways() if _may_send_from(w, mailbox)}
        rows = await self._store.search(TraceQuery(message_id=returned.original_id, limit=1000))
        rows = [row for row in rows if row.connector in senders]
        for reported in returned.report.recipients:
            if reported.action == "failed":
                for row in _rows_of(rows, reported.address):
                    await self._note(row, mailbox, returned, reported)

    async def _note(self, row: TraceRow, mailbox: str, returned: Return, reported: ReportedRecipient) -> None:
        story = await self._store.story(row.message_id)
        known = story.events if story is not None else ()
        if any(
            e.kind is EventKind.RETURNED and e.recipient == row.index and e.detail.get("report") == returned.report_id
            for e in known
        ):
            return
        words = reported.diagnostic or reported.supplement
        match = find(f"{words} {reported.status}" if words else returned.report.human[:_MAX_WORDS])
        detail = {
            "status": reported.status,
            "reply": words[:_MAX_WORDS],
            "source": mailbox,
            "report": returned.report_id,
            "remote": reported.remote[:255],
            "explanation": match.entry.id if match is not None else "",
            "reason": match.entry.title if match is not None else "",
        }
        kept = {key: value for key, value in detail.items() if value}
        await self._store.record([Event(self._clock(), EventKind.RETURNED, row.message_id, row.index, kept)])


def read_return(data: bytes) -> Return | None:
    """Read a message that may be a report; None where it is none, or does not say what it speaks of."""
    report = read_report(data)
    if report is None:
        return None
    index = HeaderIndex.scan(data)
    original = header_id(index.get("in-reply-to") or "") or header_id(index.get("references") or "")
    original = original or _attached_id(data)
    if not original:
        return None
    return Return(report_id=header_id(index.get("message-id") or ""), original_id=original, report=report)


def _attached_id(data: bytes) -> str:
    for part in walk(data):
        if part.is_message:
            return next((header_id(child.header.get("message-id") or "") for child in children(part)), "")
        if part.content_type.media_type == "text/rfc822-headers":
            return header_id(HeaderIndex.scan(part.body).get("message-id") or "")
    return ""


def _may_send_from(way: Way, mailbox: str) -> bool:
    connector = way.connector
    if not isinstance(connector, FromMailboxes):
        return False
    return connector.sender_handling == "mailbox_per_sender" or mailbox in connector.mailboxes


def _rows_of(rows: list[TraceRow], address: str) -> list[TraceRow]:
    named = [row for row in rows if row.recipient.lower() == address.lower()]
    # The recipient of a forward is unknown here, but with one recipient it can only be that one.
    return named or (rows if len(rows) == 1 else [])


def _may_be_report(row: Row) -> bool:
    return address_of(row.get("from")).lower().startswith(_REPORTERS) or bool(
        _SUBJECTS.match(str(row.get("subject") or ""))
    )


async def _fetch(client: GraphClient, mailbox: str, row: Row) -> Return | None:
    name = row.get("id")
    if not isinstance(name, str):
        return None
    path = f"{user_path(mailbox)}/messages/{quote(name, safe='')}/$value"
    answered = await client.ask(Request(method="GET", path=path, headers={"Accept": "*/*"}))
    if not isinstance(answered, Answer) or answered.status != 200:
        return None
    return await asyncio.to_thread(read_return, answered.body)
