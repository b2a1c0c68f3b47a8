"""The transport behind every way in: where a message that was accepted goes.

Purpose: submission, the MX and Graph hand their messages over here, so that delivery, Sent Items, reports and the
message trace are decided once. Source: "How mail flow works in Exchange Online"; Set-Mailbox
-MessageCopyForSMTPClientSubmissionEnabled; Get-MessageTraceV2; Set-TransportConfig -MessageExpiration.
Shape: `Post.accept` takes a `Parcel`, puts the message into folders and writes one `TraceRow` for each recipient.
The envelope alone says who gets a message. Who does not get it is told to the sender by a report (`ndr`), when the
sender has a mailbox here; the message itself then also lies in the folder `undeliverable`. What waits for another
domain's servers is tried again until it expires.
Failures: `OSError` from a full disk, and then nothing was accepted. Leaves to others: refusals during the session,
each recipient's fate (`categorizer`).
"""

import logging
import secrets
import uuid
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from m365emu.categorizer import Categorizer, Delivered, Failed, Fate, Waiting
from m365emu.clock import Clock
from m365emu.delivery_failures import DELAYED
from m365emu.directory import Directory
from m365emu.headers import read_head
from m365emu.mailbox import UNDELIVERABLE, MessageStore, Record, sent_items
from m365emu.ndr import notice, report
from m365emu.parcel import Parcel as Parcel
from m365emu.smtp.content import Content
from m365emu.statistics import Statistics
from m365emu.tenant import Tenant

Status = Literal["Delivered", "Failed", "Pending", "Quarantined", "FilteredAsSpam", "Expanded"]
"""Message trace statuses that the emulator gives."""

_MOST_ROWS = 200_000
_MOST_WAITING = 1_000
_RETRY = timedelta(minutes=15)
_TOLD_AFTER = timedelta(hours=4)

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A recipient who waits for another domain's servers, until the message expires.

    `is_told`: the sender knows of the delay.
    """

    parcel: Parcel
    record: Record
    trace_id: str
    expires: datetime
    fate: Waiting
    is_told: bool = False


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
        self._categorizer = Categorizer(directory)
        self._waiting = 0
        self.trace: deque[TraceRow] = deque(maxlen=_MOST_ROWS)

    def accept(self, parcel: Parcel) -> Record:
        """Take a message: folders, Sent Items, trace, reports. Raises `OSError` when it could not be kept."""
        now = self._clock.now()
        fates = self._categorizer.sort(parcel, now)
        if self._waiting >= _MOST_WAITING:
            fates = [fate.final if isinstance(fate, Waiting) else fate for fate in fates]
        record = self._keep(parcel, _folders(parcel, fates))
        self._categorizer.count(parcel, fates, now)
        self._statistics.accepted[parcel.mailbox or parcel.way] += 1
        trace_id = str(uuid.uuid4())
        for fate in fates:
            self.trace.append(_row(parcel, record, trace_id, fate))
        self._fail(parcel, record, [fate for fate in fates if isinstance(fate, Failed)])
        expires = now + timedelta(seconds=parcel.tenant.limits.expiration_seconds)
        for fate in fates:
            if isinstance(fate, Waiting):
                self._waiting += 1
                self._wait(Attempt(parcel=parcel, record=record, trace_id=trace_id, expires=expires, fate=fate))
        return record

    def external_recipients_used(self, tenant: Tenant) -> int:
        """Return how many external recipients of the last 24 hours count for the tenant now."""
        return self._categorizer.externals.used(tenant.id, self._clock.now())

    def reset_counters(self) -> None:
        """Forget what was used of the limits on delivery."""
        self._categorizer.clear()

    def _keep(self, parcel: Parcel, folders: list[str]) -> Record:
        record = _record(parcel, folders, self._store.next_number(), self._clock.now())
        self._store.add(record, parcel.content, parcel.transcript, self._directory.tenant.limits)
        return record

    def _fail(self, parcel: Parcel, record: Record, failures: list[Failed]) -> None:
        self._statistics.failed.update(failure.status for failure in failures)
        wanted = tuple(failure for failure in failures if _is_wanted(parcel, failure.recipient, "FAILURE"))
        self._tell(parcel, record, wanted)

    def _tell(
        self, parcel: Parcel, record: Record, wanted: tuple[Failed, ...], retry_until: datetime | None = None
    ) -> None:
        """Tell the sender; nobody is told when the sender is nobody, lives elsewhere, or does not want to know."""
        sender = self._directory.resolve(parcel.sender) if parcel.sender else None
        mailbox = self._directory.mailbox(sender) if sender else None
        if not wanted or sender is None or mailbox is None or mailbox.full:
            return
        domain = (self._directory.tenant_of(sender) or parcel.tenant).domains[0]
        now = self._clock.now()
        octets = report(notice(parcel, record, wanted, domain=domain, now=now, retry_until=retry_until))
        told = replace(
            parcel,
            mailbox="",
            way="report",
            sender="",
            recipients=(parcel.sender,),
            content=_content(octets, self._store),
            head=read_head(octets),
            save_copy=False,
            mail_parameters={},
            recipient_parameters={},
        )
        try:
            kept = self._keep(told, [sender])
        except OSError as error:
            _log.error("a report could not be kept: %s", error.strerror)
            return
        self.trace.append(_row(told, kept, str(uuid.uuid4()), Delivered(recipient=parcel.sender, folder=sender)))

    def _wait(self, attempt: Attempt) -> None:
        moment = min(self._clock.now() + _RETRY, attempt.expires)
        self._clock.call_at(moment, lambda: self._retry(attempt))

    def _retry(self, attempt: Attempt) -> None:
        """Try again: deliver, wait for another try, or give up."""
        parcel, recipient = attempt.parcel, attempt.fate.recipient
        fate = self._categorizer.retry(parcel.tenant.id, recipient)
        if isinstance(fate, Waiting):
            if self._clock.now() < attempt.expires:
                self._wait(self._told_of_delay(attempt))
                return
            fate = fate.final
        self._waiting -= 1
        if isinstance(fate, Delivered):
            copy = replace(parcel, recipients=(recipient,), content=self._copy(attempt), save_copy=False)
            try:
                self._keep(copy, [fate.folder])
            except OSError as error:
                _log.error("a message could not be kept: %s", error.strerror)
                return
        else:
            self._fail(parcel, attempt.record, [fate])
        self._settle(attempt, fate)

    def _told_of_delay(self, attempt: Attempt) -> Attempt:
        """Tell the sender, once, that a message is late."""
        recipient = attempt.fate.recipient
        if attempt.is_told or self._clock.now() - attempt.record.received < _TOLD_AFTER:
            return attempt
        if _is_wanted(attempt.parcel, recipient, "DELAY"):
            late = Failed(recipient=recipient, diagnostic=DELAYED)
            self._tell(attempt.parcel, attempt.record, (late,), attempt.expires)
        return replace(attempt, is_told=True)

    def _settle(self, attempt: Attempt, fate: Fate) -> None:
        """Replace the pending row of the trace."""
        row = _row(attempt.parcel, attempt.record, attempt.trace_id, fate)
        for place, old in enumerate(self.trace):
            if old.id == row.id and old.recipient == row.recipient:
                self.trace[place] = row
                return

    def _copy(self, attempt: Attempt) -> Content:
        path = self._store.content_file(attempt.record.id)
        return _content(path.read_bytes() if path is not None else attempt.parcel.content.head, self._store)


def _content(octets: bytes, store: MessageStore) -> Content:
    content = Content(limit=len(octets), directory=store.directory)
    content.append(octets)
    return content


def _folders(parcel: Parcel, fates: list[Fate]) -> list[str]:
    folders: dict[str, None] = {}
    for fate in fates:
        if not isinstance(fate, Waiting):
            folders[fate.folder if isinstance(fate, Delivered) else UNDELIVERABLE] = None
    if parcel.save_copy and parcel.mailbox:
        folders[sent_items(parcel.mailbox)] = None
    return list(folders)


def _is_wanted(parcel: Parcel, recipient: str, report: Literal["FAILURE", "DELAY"]) -> bool:
    wanted = parcel.parameter(recipient, "NOTIFY").upper()
    return not wanted or report in wanted.split(",")


def _record(parcel: Parcel, folders: list[str], number: int, now: datetime) -> Record:
    content, head = parcel.content, parcel.head
    return Record(
        id=f"{number:08d}-{secrets.token_hex(4)}",
        number=number,
        received=now,
        envelope_from=parcel.sender,
        envelope_to=list(parcel.recipients),
        mail_parameters=parcel.mail_parameters,
        recipient_parameters=parcel.recipient_parameters,
        folders=folders,
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


def _row(parcel: Parcel, record: Record, trace_id: str, fate: Fate) -> TraceRow:
    status, detail = _told(fate)
    return TraceRow(
        id=trace_id,
        tenant_id=parcel.tenant.id,
        message_id=record.message_id,
        received=record.received,
        sender=parcel.sender,
        recipient=fate.recipient,
        subject=record.subject,
        status=status,
        from_ip=parcel.client,
        to_ip="",
        size=record.size,
        detail=detail,
    )


def _told(fate: Fate) -> tuple[Status, str]:
    match fate:
        case Delivered():
            return "Delivered", ""
        case Failed(diagnostic=diagnostic):
            return "Failed", diagnostic
        case Waiting(detail=detail):
            return "Pending", detail
        case _:
            assert_never(fate)
