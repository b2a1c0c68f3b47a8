"""The transport behind every way in: where a message that was accepted goes.

Purpose: submission, the MX and Graph hand their messages over here, so that delivery, Sent Items and the message
trace are decided once. Source: "How mail flow works in Exchange Online"; Set-Mailbox
-MessageCopyForSMTPClientSubmissionEnabled; Get-MessageTraceV2.
Shape: `Post.accept` takes a `Parcel`, puts the message into folders and writes one `TraceRow` for each recipient.
The envelope alone says who gets a message.
Failures: `OSError` from a full disk, and then nothing was accepted. Leaves to others: refusals during the session.
"""

import secrets
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.headers import Head
from m365emu.mailbox import EXTERNAL, UNDELIVERABLE, MessageStore, Record, sent_items
from m365emu.smtp.content import Content
from m365emu.statistics import Statistics
from m365emu.tenant import Tenant
from m365emu.transcript import Transcript

Status = Literal["Delivered", "Failed", "Pending", "Quarantined", "FilteredAsSpam", "Expanded"]
"""Message trace statuses that the emulator gives."""

_MOST_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message that was accepted, with all that is known of how it came.

    Attributes:
        tenant: whose mail it is: the sender's for submission, Graph and relay, the recipients' for anonymous mail.
        mailbox: the mailbox that submitted it, empty for mail that nobody logged on for.
        way: `LOGIN`, `XOAUTH2`, `Graph`, `connector:<name>` or `anonymous`.
        is_internal: counts as sent from inside the organisation.
        save_copy: a copy goes to the mailbox's Sent Items.
        recipient_limit: beyond so many recipients nobody gets it, and the sender a report; 0 for no such limit.
    """

    tenant: Tenant
    mailbox: str
    way: str
    sender: str
    recipients: tuple[str, ...]
    content: Content
    head: Head
    server: str
    client: str = ""
    tls_version: str = ""
    session_id: str = ""
    transcript: Transcript = field(default_factory=Transcript)
    mail_parameters: dict[str, str] = field(default_factory=dict)
    recipient_parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    is_internal: bool = True
    save_copy: bool = False
    recipient_limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One recipient of one message in the message trace (exchangeMessageTrace)."""

    id: str
    tenant_id: str
    message_id: str
    received: datetime
    sender: str
    recipient: str
    subject: str
    status: Status
    from_ip: str
    to_ip: str
    size: int
    detail: str = ""


class Post:
    """Delivers.

    Attributes:
        trace: the rows, oldest first, bounded.
    """

    def __init__(self, directory: Directory, store: MessageStore, statistics: Statistics, clock: Clock) -> None:
        self._directory = directory
        self._store = store
        self._statistics = statistics
        self._clock = clock
        self.trace: deque[TraceRow] = deque(maxlen=_MOST_ROWS)

    def accept(self, parcel: Parcel) -> Record:
        """Take a message: folders, Sent Items, trace. Raises `OSError` when it could not be kept."""
        record = self._record(parcel)
        self._store.add(record, parcel.content, parcel.transcript, self._directory.tenant.limits)
        self._statistics.accepted[parcel.mailbox or parcel.way] += 1
        trace_id = str(uuid.uuid4())
        for recipient in parcel.recipients:
            self.trace.append(self._row(parcel, record, trace_id, recipient))
        return record

    def _folders(self, parcel: Parcel) -> list[str]:
        folders: dict[str, None] = {}
        for recipient in parcel.recipients:
            mailbox = self._directory.resolve(recipient)
            internal = self._directory.is_internal(recipient)
            folders[mailbox or (UNDELIVERABLE if internal else EXTERNAL)] = None
        if parcel.save_copy and parcel.mailbox:
            folders[sent_items(parcel.mailbox)] = None
        return list(folders)

    def _record(self, parcel: Parcel) -> Record:
        number = self._store.next_number()
        content, head = parcel.content, parcel.head
        return Record(
            id=f"{number:08d}-{secrets.token_hex(4)}",
            number=number,
            received=self._clock.now(),
            envelope_from=parcel.sender,
            envelope_to=list(parcel.recipients),
            mail_parameters=parcel.mail_parameters,
            recipient_parameters=parcel.recipient_parameters,
            folders=self._folders(parcel),
            subject=head.subject,
            message_id=head.message_id or f"<{uuid.uuid4()}@{parcel.server}>",
            author=head.first("from")[:998],
            size=content.size,
            bare_line_feeds=content.has_bare_line_feeds,
            bare_carriage_returns=content.has_bare_carriage_returns,
            authentication=parcel.way,
            mailbox=parcel.mailbox,
            client_ip=parcel.client,
            tls_version=parcel.tls_version,
            session_id=parcel.session_id,
        )

    def _row(self, parcel: Parcel, record: Record, trace_id: str, recipient: str) -> TraceRow:
        known = self._directory.resolve(recipient) or not self._directory.is_internal(recipient)
        return TraceRow(
            id=trace_id,
            tenant_id=parcel.tenant.id,
            message_id=record.message_id,
            received=record.received,
            sender=parcel.sender,
            recipient=recipient,
            subject=record.subject,
            status="Delivered" if known else "Failed",
            from_ip=parcel.client,
            to_ip="",
            size=record.size,
        )
