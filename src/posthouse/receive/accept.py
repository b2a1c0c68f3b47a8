"""The one place that says 250 to a message.

Source: RFC 5321 4.2.5 and 6.1 (a positive reply takes responsibility), 4.4 (Received), 6.3 (loops); RFC 6409 8 (what a
submission server may add).
Shape: `Taking` collects the content of one message, then `finish` hands it to the intake and answers. Small content
stays in memory; larger content goes to the spool as it comes, with back-pressure. The answer is 250 only after the
intake's awaitable is done, which means: after the commit is on disk.
Failures: `StoreUnavailable` becomes 452 (disk full) or 451, at whatever point it happens; what the client still sends
is swallowed, because the reply has its place at the end. Anything unknown is 451 too.
Leaves to others: where the message goes (``queue.intake``), the wire (``receive.connection``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import structlog

from posthouse.decide.loops import MAX_OWN_VISITS, judge_hops
from posthouse.decide.policy import Rights
from posthouse.mail.envelope import Envelope
from posthouse.mail.ids import MessageId, show_message_id
from posthouse.mail.message import Content, HeaderFacts, InlineContent, Message, Origin, SpooledContent
from posthouse.mail.reply import Reply
from posthouse.mail.session import PrincipalKind, SessionFacts
from posthouse.mail.verdict import Refuse
from posthouse.receive.port import NotTaken
from posthouse.receive.reception import Reception
from posthouse.store.port import SpoolFile, StoreUnavailable
from posthouse.wire.header import HeaderIndex, facts, header_end
from posthouse.wire.received import hops, our_trace, received_field
from posthouse.wire.repair import Repairs, repairs

log = structlog.get_logger(__name__)

DISK_FULL = Reply.of(452, "4.3.1", "Insufficient system storage")
NOT_STORED = Reply.of(451, "4.3.0", "The message could not be stored, try again later")

HEAD_OCTETS = 256 * 1024
"""Beginning of a large message in which its header is looked for."""


class Handover(NamedTuple):
    """All that is known of a message beside its content.

    Attributes:
        repairs: Sentences of the wire machine about commands and line ends.
    """

    envelope: Envelope
    session: SessionFacts
    rights: Rights
    repairs: tuple[str, ...]


Waiting = Coroutine[None, None, None]

Answered = Callable[[Reply, str], None]
"""Called once with the reply, and for a refusal with the reason."""


class _Head(NamedTuple):
    """What the header of a message says, and what is added to it."""

    id: MessageId
    facts: HeaderFacts
    repairs: Repairs
    refusal: Refuse | None


class Taking:
    """The content of one message on its way in.

    Attributes:
        is_finished: `finish` was called: the message is no longer the session's to throw away.
        message_id: Set when the message was kept.
    """

    __slots__ = (
        "_failure",
        "_head",
        "_octets",
        "_pieces",
        "_reception",
        "_rights",
        "_sender",
        "_spool",
        "is_finished",
        "message_id",
    )

    def __init__(self, reception: Reception, rights: Rights, envelope: Envelope) -> None:
        self._reception, self._rights, self._sender = reception, rights, envelope.sender
        self._pieces: list[bytes] = []
        self._octets = 0
        self._spool: SpoolFile | None = None
        self._head: _Head | None = None
        self._failure: StoreUnavailable | None = None
        self.is_finished = False
        self.message_id: MessageId | None = None

    def add(self, data: bytes) -> Waiting | None:
        """Take octets; None, or something to await before the next call. Neither ever raises."""
        self._octets += len(data)
        if self._failure is not None:
            return None
        if self._spool is not None:
            return self._write(data)
        self._pieces.append(data)
        if self._octets <= self._reception.intake.inline_octets:
            return None
        return self._begin_spool()

    def finish(self, handover: Handover, answered: Answered) -> None:
        """All octets are in: check, keep, answer."""
        self.is_finished = True
        if self._failure is not None:
            answered(*_refusal_of(self._reception, self._failure))
        elif self._spool is not None:
            self._reception.start_task(self._finish_spooled(self._spool, handover, answered))
        else:
            self._finish_inline(handover, answered)

    def discard(self) -> None:
        """The message will not be finished."""
        self._pieces.clear()
        if self._spool is not None:
            self._spool.discard()
            self._spool = None

    # Small content

    def _finish_inline(self, handover: Handover, answered: Answered) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        head = self._read_head(data)
        if head.refusal is not None:
            answered(head.refusal.reply, head.refusal.reason)
            return
        now = self._reception.clock()
        content = InlineContent(b"".join((self._received(handover, head, now), head.repairs.prefix, data)))
        message = self._message(handover, head, content, now)
        try:
            kept = self._reception.intake.enqueue(message)
        except (StoreUnavailable, NotTaken) as error:
            answered(*_refusal_of(self._reception, error))
            return
        future = kept if isinstance(kept, asyncio.Future) else asyncio.ensure_future(kept)
        future.add_done_callback(partial(self._kept, message, handover, answered))

    def _kept(self, message: Message, handover: Handover, answered: Answered, kept: asyncio.Future[None]) -> None:
        error = asyncio.CancelledError() if kept.cancelled() else kept.exception()
        if error is None:
            self._accepted(message, handover, answered)
        else:
            answered(*_refusal_of(self._reception, error))

    # Large content

    def _begin_spool(self) -> Waiting | None:
        head = b"".join(self._pieces)
        if self._octets < HEAD_OCTETS and header_end(head) == len(head):
            return None
        self._pieces.clear()
        self._head = self._read_head(head[:HEAD_OCTETS])
        try:
            self._spool = self._reception.intake.open_spool()
        except StoreUnavailable as error:
            self._failure = error
            return None
        return self._write(head)

    def _write(self, data: bytes) -> Waiting | None:
        assert self._spool is not None
        try:
            written = self._spool.write(data)
        except StoreUnavailable as error:
            self._fail(error)
            return None
        return self._wait_for(written) if written is not None else None

    async def _wait_for(self, written: Awaitable[None]) -> None:
        try:
            await written
        except StoreUnavailable as error:
            self._fail(error)

    def _fail(self, error: StoreUnavailable) -> None:
        self._failure = error
        self.discard()

    async def _finish_spooled(self, spool: SpoolFile, handover: Handover, answered: Answered) -> None:
        head = self._head
        assert head is not None
        if head.refusal is not None:
            self.discard()
            answered(head.refusal.reply, head.refusal.reason)
            return
        try:
            path, octets, digest = await spool.finish()
            now = self._reception.clock()
            prefix = self._received(handover, head, now) + head.repairs.prefix
            content = SpooledContent(path=path, size_octets=octets, sha256=digest, prefix=prefix)
            message = self._message(handover, head, content, now)
            self._spool = None
            await self._reception.intake.enqueue(message)
        except (StoreUnavailable, NotTaken) as error:
            spool.discard()
            answered(*_refusal_of(self._reception, error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear that we do not have it
            # Once the store was asked nobody knows how far it came: what it does not know it removes at its start.
            self.discard()
            answered(*_refusal_of(self._reception, error))
        else:
            self._accepted(message, handover, answered)

    # Both

    def _read_head(self, data: bytes) -> _Head:
        reception, now = self._reception, self._reception.clock()
        message_id = reception.intake.new_id(now)
        found = facts(data)
        added = repairs(
            data,
            at=now,
            message_id=message_id,
            hostname=reception.hostname,
            sender=self._sender,
            add_from=self._rights.add_from,
        )
        if added.message_id or added.from_address:
            found = replace(
                found,
                message_id=found.message_id or added.message_id,
                from_address=found.from_address or added.from_address,
            )
        return _Head(message_id, found, added, self._judge_loop(data, found))

    def _judge_loop(self, data: bytes, found: HeaderFacts) -> Refuse | None:
        if found.received_count <= MAX_OWN_VISITS:
            return None
        index = HeaderIndex.scan(data)
        way = [hop.by_host or hop.from_host or "?" for hop in reversed(hops(index))]
        # Past what is read hop by hop, the count alone tells.
        way += ["..."] * (found.received_count - len(way))
        own_visits = len(our_trace(index, self._reception.hostname))
        verdict = judge_hops(way, own_visits, self._reception.max_received)
        return verdict if isinstance(verdict, Refuse) else None

    def _received(self, handover: Handover, head: _Head, now: datetime) -> bytes:
        recipients = handover.envelope.recipients
        return received_field(
            handover.session,
            self._reception.hostname,
            head.id,
            recipients[0].address if len(recipients) == 1 else None,
            now,
            smtputf8=handover.envelope.smtputf8,
        )

    def _message(self, handover: Handover, head: _Head, content: Content, now: datetime) -> Message:
        return Message(
            id=head.id,
            received_at=now,
            expires_at=self._reception.intake.expires_at(now),
            origin=Origin.LOCAL if handover.rights.principal.kind is PrincipalKind.LOCAL else Origin.SMTP,
            envelope=handover.envelope,
            session=handover.session,
            content=content,
            header=head.facts,
            repairs=handover.repairs + head.repairs.sentences,
        )

    def _accepted(self, message: Message, handover: Handover, answered: Answered) -> None:
        self.message_id = message.id
        count = len(message.envelope.recipients)
        self._reception.sending.count_recipients(handover.rights, count, self._reception.wheel.now)
        statistics = self._reception.statistics
        statistics.messages += 1
        statistics.recipients += count
        statistics.octets += self._octets
        answered(Reply(250, "2.0.0", (f"OK queued as {show_message_id(message.id)}",)), "")


def _refusal_of(reception: Reception, error: BaseException) -> tuple[Reply, str]:
    """The reply to a message that was not kept, and the reason."""
    match error:
        case NotTaken():
            return error.reply, str(error)
        case StoreUnavailable():
            reception.note_store_trouble(error)
            return (DISK_FULL if error.disk_full else NOT_STORED), str(error)
        case asyncio.CancelledError():
            return NOT_STORED, "the node is stopping"
        case _:
            log.error("message_not_kept", error=repr(error), exc_info=error)
            return NOT_STORED, f"unexpected: {type(error).__name__}"
