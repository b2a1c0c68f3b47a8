"""Notices to the sender: failed, delayed, handed on.

Source: RFC 3461 4.1 (NOTIFY), 4.3 (RET), 5.2 and 6 (who is told what), RFC 5321 6.1 (no notice about a notice),
RFC 3834 2 (no delay notices to programs).
Shape: `NoticeWriter` fills ``queue.port.NoticeWriter``: each method gives a new message with the null sender, or the
sentence that says why none is sent. Reading the original may touch the disk where the content is spooled.
Failures: an original that cannot be read is left out; the notice is sent all the same.
Leaves to others: when something failed for good (``deliver.classify``, ``queue``), octets (``wire.dsn``), states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from posthouse.deliver.content import read_spooled
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Notify, Recipient
from posthouse.mail.ids import MessageId, SessionId, make_message_id, show_message_id
from posthouse.mail.message import InlineContent, Message, Origin, SpooledContent
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts
from posthouse.microsoft.replies import find
from posthouse.queue.port import RecipientFailure
from posthouse.wire.dsn import MAX_RETURNED_OCTETS, Action, Original, RecipientReport, Report, compose
from posthouse.wire.header import MAX_HEADER_OCTETS, HeaderIndex, facts
from posthouse.wire.notice_words import describe

_ORIGINS = {
    Action.FAILED: Origin.BOUNCE,
    Action.DELAYED: Origin.DELAY_NOTICE,
    Action.RELAYED: Origin.SUCCESS_NOTICE,
}
_NOTICE_ORIGINS = frozenset(_ORIGINS.values())
_WISHES = {Action.FAILED: Notify.FAILURE, Action.DELAYED: Notify.DELAY, Action.RELAYED: Notify.SUCCESS}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The original, or the part of it that a notice may show."""

    data: bytes
    is_whole: bool


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
        case SpooledContent(prefix=prefix):
            try:
                return Excerpt(read_spooled(content, limit), whole)
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
        self, message: Message, failures: Sequence[RecipientFailure], now: datetime, seed: int
    ) -> Message | str:
        """Tell the sender that recipients failed for good.

        Args:
            message: The original.
            failures: Recipients of one settlement.
            now: Aware UTC.
            seed: 64 or more random bits: id and boundaries are made of it.

        Returns:
            The notice, or a sentence that says why nobody is told.
        """
        return self._write(message, failures, Action.FAILED, now, seed)

    def delay(self, message: Message, delays: Sequence[RecipientFailure], now: datetime, seed: int) -> Message | str:
        """Tell the sender that recipients wait; arguments and result as in `failure`."""
        return self._write(message, delays, Action.DELAYED, now, seed)

    def success(
        self, message: Message, successes: Sequence[RecipientFailure], now: datetime, seed: int
    ) -> Message | str:
        """Tell the sender, who asked for it, that copies were handed to servers that send no notices themselves.

        Arguments and result as in `failure`; `successes` holds only copies whose next server does not offer DSN.
        """
        return self._write(message, successes, Action.RELAYED, now, seed)

    def _write(
        self, message: Message, about: Sequence[RecipientFailure], action: Action, now: datetime, seed: int
    ) -> Message | str:
        sender = message.envelope.sender
        if sender is None:
            return "the message has no sender to tell (null sender)"
        if message.origin in _NOTICE_ORIGINS:
            return "the message is itself a notice"
        told = [each for each in about if _wants(message.envelope.recipients[each.index].notify, action)]
        if not told:
            return "the sender did not ask for this notice (NOTIFY)"
        excerpt = read_excerpt(message, header_only=action is not Action.FAILED)
        if action is Action.DELAYED and _is_automatic(excerpt.data):
            return "the message was sent by a program, which is not told of delays"
        notice_id = make_message_id(round(now.timestamp() * 1000), seed)
        report = Report(
            hostname=self._hostname,
            postmaster=self._postmaster,
            at=now,
            message_id=f"<{show_message_id(notice_id)}@{self._hostname}>",
            boundary=f"{seed:032x}"[-32:],
            original=_original(message, sender, excerpt),
            recipients=tuple(_report(message, each, action, now) for each in told),
        )
        return self._message(notice_id, message, sender, _ORIGINS[action], compose(report, describe(report)), now)

    def _message(
        self, notice_id: MessageId, parent: Message, sender: Address, origin: Origin, data: bytes, now: datetime
    ) -> Message:
        return Message(
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
            parent=parent.id,
        )

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


def _report(message: Message, each: RecipientFailure, action: Action, now: datetime) -> RecipientReport:
    match = find(str(each.reply) if each.reply is not None else each.reason)
    entry = match.entry if match is not None else None
    return RecipientReport(
        recipient=message.envelope.recipients[each.index],
        action=action,
        status=each.status,
        said=str(each.reply) if each.reply is not None else "",
        reason=each.reason,
        remote=each.remote,
        attempted_at=None if action is Action.DELAYED else now,
        retry_until=message.expires_at if action is Action.DELAYED else None,
        meaning=f"{entry.title}. {entry.meaning}" if entry is not None else "",
        who_can_help=f"{entry.who.words[0].upper()}{entry.who.words[1:]}. {entry.remedy}" if entry is not None else "",
    )


def _wants(notify: Notify, action: Action) -> bool:
    """NOTIFY decides; without it, failures and delays are told and successes are not (RFC 3461 4.1)."""
    if Notify.NEVER in notify:
        return False
    return _WISHES[action] in notify or (notify is Notify.DEFAULT and action is not Action.RELAYED)


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


def _is_automatic(header: bytes) -> bool:
    """Auto-Submitted of RFC 3834 5, and the Precedence of older programs and lists."""
    index = HeaderIndex.scan(header)
    submitted = (index.unfolded("auto-submitted") or b"no").lower()
    precedence = (index.unfolded("precedence") or b"").lower()
    return not submitted.startswith(b"no") or precedence in (b"bulk", b"list", b"junk")
