"""Notices to the sender: failed, delayed, handed on.

Source: RFC 3461 4.1 (NOTIFY), 4.3 (RET), 5.2 and 6 (who is told what), RFC 5321 6.1 (no notice about a notice),
RFC 3834 2 (no delay notices to programs).
Shape: `NoticeWriter` gives a `Notice`: a new message with the null sender, or none, and for each recipient that the
sender is not told of the reason, for the trace. Reading the original may touch the disk: `read_excerpt` is a plain
function to be called in a thread where the content is spooled.
Failures: an original that cannot be read is left out; the notice is sent all the same.
Leaves to others: when something failed for good (``deliver.classify``, ``queue``), octets (``wire.dsn``), states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Notify, Recipient
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import SessionId, make_message_id, show_message_id
from posthouse.mail.message import InlineContent, Message, Origin, SpooledContent
from posthouse.mail.reply import Reply
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts
from posthouse.wire.dsn import MAX_RETURNED_OCTETS, Action, Original, RecipientReport, Report, compose
from posthouse.wire.header import MAX_HEADER_OCTETS, HeaderIndex, facts
from posthouse.wire.notice_words import describe

_NOTICE_ORIGINS = (Origin.BOUNCE, Origin.DELAY_NOTICE, Origin.SUCCESS_NOTICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientFailure:
    """A recipient that failed or is late.

    Attributes:
        index: Position in the envelope.
        status: Enhanced status code, or empty.
        reply: Words of the remote server, if it spoke.
        reason: Our own sentence.
        remote: ``mx.example.net [192.0.2.1]:25`` or empty.
    """

    index: int
    status: str
    reason: str
    reply: Reply | None = None
    remote: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientDelivery:
    """A recipient whose copy was handed on.

    Attributes:
        relayed_dsn: The next server promised to send notices itself.
        is_final: The copy is in the mailbox, not merely at another server.
    """

    index: int
    reply: Reply
    remote: str = ""
    relayed_dsn: bool = False
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The original, or the part of it that a notice may show."""

    data: bytes
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """Why the sender is not told of a recipient."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is sent, and what is not.

    Attributes:
        message: The new message, or None.
        told: Positions in the envelope that it speaks of.
        silent: The others, each with its reason.
    """

    message: Message | None
    told: tuple[int, ...] = ()
    silent: tuple[Silence, ...] = ()


def events_of(notice: Notice, parent: Message, at: datetime) -> tuple[Event, ...]:
    """What the trace of the original says of a notice: who was told, and who was not and why."""
    events: list[Event] = []
    if notice.message is not None:
        kind = EventKind.DELAY_NOTICED if notice.message.origin is Origin.DELAY_NOTICE else EventKind.BOUNCED
        detail = {"notice": show_message_id(notice.message.id), "origin": str(notice.message.origin)}
        events += [Event(at, kind, parent.id, index, detail) for index in notice.told]
    events += [
        Event(at, EventKind.NOT_BOUNCED, parent.id, each.index, {"reason": each.reason}) for each in notice.silent
    ]
    return tuple(events)


def read_excerpt(message: Message, *, header_only: bool = False) -> Excerpt:
    """Read as much of the original as a notice may return. Blocks on the disk for spooled content.

    Args:
        message: The original.
        header_only: For delays and confirmations, which never return the text (RFC 3461 4.3).
    """
    content = message.content
    whole = not header_only and message.envelope.ret != "HDRS" and content.size_octets <= MAX_RETURNED_OCTETS
    limit = MAX_RETURNED_OCTETS if whole else MAX_HEADER_OCTETS
    match content:
        case InlineContent(data):
            return Excerpt(data if whole else data[:limit], whole)
        case SpooledContent(path=path, prefix=prefix):
            try:
                with path.open("rb") as file:
                    return Excerpt(prefix + file.read(limit), whole)
            except OSError:
                return Excerpt(prefix, False)


class NoticeWriter:
    """Writes notices in the name of this node."""

    def __init__(self, hostname: str, postmaster: Address, expiry: timedelta) -> None:
        """Keep what is the same in every notice.

        Args:
            hostname: Our name.
            postmaster: Sender in the header; the envelope sender is always empty.
            expiry: How long a notice itself is tried.
        """
        self._hostname = hostname
        self._postmaster = postmaster
        self._expiry = expiry

    def failure(
        self, message: Message, failures: Sequence[RecipientFailure], *, excerpt: Excerpt, now: datetime, seed: int
    ) -> Notice:
        """Tell the sender that recipients failed for good.

        Args:
            message: The original.
            failures: Recipients of this settlement.
            excerpt: From `read_excerpt`.
            now: Aware UTC.
            seed: At least 64 random bits: id and boundaries are made of it.
        """
        reports = [_failed(message, each, Action.FAILED, now) for each in failures]
        return self._write(message, reports, Notify.FAILURE, Origin.BOUNCE, excerpt, now, seed)

    def delay(
        self, message: Message, delays: Sequence[RecipientFailure], *, excerpt: Excerpt, now: datetime, seed: int
    ) -> Notice:
        """Tell the sender that recipients wait; what is known of the last attempt stands in `delays`."""
        if _is_automatic(excerpt.data):
            return _all_silent([each.index for each in delays], "the message was sent by a program")
        reports = [_failed(message, each, Action.DELAYED, now) for each in delays]
        return self._write(message, reports, Notify.DELAY, Origin.DELAY_NOTICE, excerpt, now, seed)

    def success(
        self, message: Message, deliveries: Sequence[RecipientDelivery], *, excerpt: Excerpt, now: datetime, seed: int
    ) -> Notice:
        """Tell the sender, who asked for it, that copies were handed on to servers that will not tell."""
        passed_on = [Silence(d.index, "the next server sends the notice itself") for d in deliveries if d.relayed_dsn]
        action = Action.DELIVERED if all(d.is_final for d in deliveries) else Action.RELAYED
        reports = [
            (
                each.index,
                RecipientReport(
                    recipient=message.envelope.recipients[each.index],
                    action=action,
                    status="2.0.0" if not each.reply.enhanced.startswith("2.") else each.reply.enhanced,
                    said=str(each.reply),
                    remote=each.remote,
                    attempted_at=now,
                ),
            )
            for each in deliveries
            if not each.relayed_dsn
        ]
        notice = self._write(message, reports, Notify.SUCCESS, Origin.SUCCESS_NOTICE, excerpt, now, seed)
        return Notice(message=notice.message, told=notice.told, silent=(*passed_on, *notice.silent))

    def _write(
        self,
        message: Message,
        reports: list[tuple[int, RecipientReport]],
        wanted: Notify,
        origin: Origin,
        excerpt: Excerpt,
        now: datetime,
        seed: int,
    ) -> Notice:
        sender = message.envelope.sender
        if sender is None:
            return _all_silent([index for index, _ in reports], "the message has no sender to tell (null sender)")
        if message.origin in _NOTICE_ORIGINS:
            return _all_silent([index for index, _ in reports], "the message is itself a notice")
        told, silent = _sort_by_wish(reports, wanted)
        if not told:
            return Notice(message=None, silent=silent)
        notice_id = make_message_id(round(now.timestamp() * 1000), seed)
        report = Report(
            hostname=self._hostname,
            postmaster=self._postmaster,
            at=now,
            message_id=f"<{show_message_id(notice_id)}@{self._hostname}>",
            boundary=f"{seed:032x}"[-32:],
            original=_original(message, sender, excerpt),
            recipients=tuple(each for _, each in told),
        )
        data = compose(report, describe(report))
        written = Message(
            id=notice_id,
            received_at=now,
            expires_at=now + self._expiry,
            origin=origin,
            envelope=Envelope(
                sender=None,
                recipients=(Recipient(sender, notify=Notify.NEVER),),
                body=Body.SEVEN_BIT if data.isascii() else Body.EIGHT_BIT_MIME,
                smtputf8=not data.isascii(),
            ),
            session=self._session(SessionId(f"{int(notice_id):016X}"), now),
            content=InlineContent(data),
            header=facts(data),
            parent=message.id,
        )
        return Notice(message=written, told=tuple(index for index, _ in told), silent=silent)

    def _session(self, session_id: SessionId, now: datetime) -> SessionFacts:
        return SessionFacts(
            id=session_id,
            listener="node",
            peer_ip="",
            peer_port=0,
            helo=self._hostname,
            protocol="",
            tls=None,
            principal=Principal(PrincipalKind.LOCAL, "node"),
            started_at=now,
        )


def _failed(message: Message, each: RecipientFailure, action: Action, now: datetime) -> tuple[int, RecipientReport]:
    report = RecipientReport(
        recipient=message.envelope.recipients[each.index],
        action=action,
        status=each.status,
        said=str(each.reply) if each.reply is not None else "",
        reason=each.reason,
        remote=each.remote,
        attempted_at=now,
        retry_until=message.expires_at if action is Action.DELAYED else None,
    )
    return each.index, report


def _original(message: Message, sender: Address, excerpt: Excerpt) -> Original:
    is_local = not message.session.peer_ip
    return Original(
        data=excerpt.data,
        is_whole=excerpt.is_whole,
        size_octets=message.content.size_octets,
        received_at=message.received_at,
        received_from="" if is_local else message.session.helo,
        sender=sender,
        subject=message.header.subject,
        message_id=message.header.message_id,
        shown_id=show_message_id(message.id),
        envid=message.envelope.envid,
        smtputf8=message.envelope.smtputf8,
    )


def _sort_by_wish(
    reports: list[tuple[int, RecipientReport]], wanted: Notify
) -> tuple[list[tuple[int, RecipientReport]], tuple[Silence, ...]]:
    """NOTIFY of each recipient decides; without it, failures and delays are told and successes are not."""
    told: list[tuple[int, RecipientReport]] = []
    silent: list[Silence] = []
    for index, report in reports:
        notify = report.recipient.notify
        if Notify.NEVER in notify:
            silent.append(Silence(index, "the sender wants no notices (NOTIFY=NEVER)"))
        elif wanted in notify or (notify is Notify.DEFAULT and wanted is not Notify.SUCCESS):
            told.append((index, report))
        else:
            silent.append(Silence(index, f"the sender did not ask for it (NOTIFY without {wanted.name})"))
    return told, tuple(silent)


def _all_silent(indexes: list[int], reason: str) -> Notice:
    return Notice(message=None, silent=tuple(Silence(index, reason) for index in indexes))


def _is_automatic(header: bytes) -> bool:
    """Auto-Submitted of RFC 3834 5, and the Precedence of older programs and lists."""
    index = HeaderIndex.scan(header)
    submitted = (index.unfolded("auto-submitted") or b"no").lower()
    precedence = (index.unfolded("precedence") or b"").lower()
    return not submitted.startswith(b"no") or precedence in (b"bulk", b"list", b"junk")
