"""Writes what an attempt led to: states, events and the notices that follow from them, in one transaction.

Shape: `Settler.settle` turns results into a `Settlement`; `Settler.write` commits one and does not give up while the
store is unavailable, because a delivered message whose result is forgotten would be sent twice.
Leaves to others: the next state (``schedule``), the words of a notice (``deliver.bounce``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Protocol

import structlog

from posthouse.mail.envelope import Notify
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId, show_message_id
from posthouse.mail.message import (
    Lease,
    Message,
    NewMessage,
    RecipientState,
    RecipientUpdate,
    Settlement,
    SpooledContent,
    Waiting,
)
from posthouse.mail.outcome import AttemptResult
from posthouse.queue.port import NoticeWriter, RecipientFailure
from posthouse.queue.schedule import RetryPlan, Step, expire, follow
from posthouse.queue.settings import QueueSettings
from posthouse.store.port import Queueing, StoreUnavailable

log = structlog.get_logger()
Notice = Callable[[Message, Sequence[RecipientFailure], datetime, int], Message | str]


class NoticeDesk(Protocol):
    """Takes our own notices into the queue. Implemented by `Intake`."""

    def new_id(self, now: datetime) -> MessageId:
        """A fresh id."""

    def place_notice(self, message: Message) -> NewMessage:
        """Route a notice; nothing is written yet."""

    def notice_written(self, new: NewMessage) -> None:
        """The notice was committed with the settlement that caused it."""


class Settler:
    """Ends attempts."""

    def __init__(
        self,
        store: Queueing,
        notices: NoticeWriter,
        settings: QueueSettings,
        *,
        clock: Callable[[], datetime],
        random: Random,
        on_final: Callable[[int], None],
    ) -> None:
        self._store, self._notices, self._plan = store, notices, RetryPlan(settings)
        self._clock, self._random, self._on_final = clock, random, on_final
        self._desk: NoticeDesk | None = None

    def connect(self, desk: NoticeDesk) -> None:
        """Say where notices enter the queue: the intake, which itself needs what this settler serves."""
        self._desk = desk

    async def settle(self, lease: Lease, results: Sequence[AttemptResult]) -> None:
        """Write the results of one attempt."""
        now = self._clock()
        by_index = {waiting.index: waiting for waiting in lease.waiting}
        steps = [follow(lease.message, by_index[r.index], r, self._plan, now, self._random.random()) for r in results]
        await self.finish(lease.message, steps, now, by_index)

    async def expire(self, lease: Lease, last_reply: str = "") -> None:
        """End copies whose time ran out while they waited."""
        now = self._clock()
        steps = [expire(lease.message, waiting, now, last_reply) for waiting in lease.waiting]
        await self.finish(lease.message, steps, now, {w.index: w for w in lease.waiting})

    async def notice_delay(self, lease: Lease) -> None:
        """Tell the sender that copies still wait; they stay due as they were."""
        now = self._clock()
        delays = [RecipientFailure(index=w.index, status="4.4.7", reason="Delivery is delayed") for w in lease.waiting]
        events: list[Event] = []
        notices = await self._compose(self._notices.delay, EventKind.DELAY_NOTICED, lease.message, delays, now, events)
        updates = tuple(
            RecipientUpdate(index=w.index, state=RecipientState.PENDING, counts_as_attempt=False, delay_noticed=True)
            for w in lease.waiting
        )
        await self._commit(
            Settlement(message_id=lease.message.id, updates=updates, events=tuple(events), notices=notices)
        )

    async def finish(self, message: Message, steps: Sequence[Step], now: datetime, copies: dict[int, Waiting]) -> None:
        """Write steps with the notices that they call for."""
        events = [step.event for step in steps]
        notices: tuple[NewMessage, ...] = ()
        if failures := [step.failure for step in steps if step.failure]:
            notices += await self._compose(self._notices.failure, EventKind.BOUNCED, message, failures, now, events)
        if successes := [step.success for step in steps if step.success and _wants_success(copies[step.update.index])]:
            notices += await self._compose(self._notices.success, EventKind.BOUNCED, message, successes, now, events)
        updates = tuple(step.update for step in steps)
        await self._commit(Settlement(message_id=message.id, updates=updates, events=tuple(events), notices=notices))
        self._on_final(sum(update.state.is_final for update in updates))

    async def _compose(
        self,
        write: Notice,
        kind: EventKind,
        message: Message,
        about: Sequence[RecipientFailure],
        now: datetime,
        events: list[Event],
    ) -> tuple[NewMessage, ...]:
        seed = self._random.getrandbits(64)
        try:
            if isinstance(message.content, SpooledContent):
                notice = await asyncio.to_thread(write, message, about, now, seed)
            else:
                notice = write(message, about, now, seed)
        except Exception as error:  # a notice that cannot be written must not undo what was delivered
            log.exception("queue.notice_failed", message_id=message.id)
            notice = f"internal fault while the notice was written: {type(error).__name__}"
        if isinstance(notice, str):
            if kind is EventKind.BOUNCED:
                events.append(Event(now, EventKind.NOT_BOUNCED, message.id, None, {"reason": notice}))
            return ()
        if self._desk is None:
            raise RuntimeError("the settler was used before the intake was connected")
        # One counter names all messages of a node, so that two names never meet.
        notice = replace(notice, id=self._desk.new_id(now))
        new = self._desk.place_notice(notice)
        indices = [str(f.index) for f in about]
        events.append(Event(now, kind, message.id, None, {"notice": show_message_id(notice.id), "recipients": indices}))
        return (new,)

    async def _commit(self, settlement: Settlement) -> None:
        await self.write(settlement)
        for new in settlement.notices:
            if self._desk is not None:
                self._desk.notice_written(new)

    async def write(self, settlement: Settlement) -> None:
        """Commit, however long the store takes to come back."""
        wait = 0.5
        while True:
            try:
                await self._store.settle(settlement)
                return
            except StoreUnavailable as error:
                log.error(
                    "queue.result_not_written", message_id=settlement.message_id, reason=str(error), again_in=wait
                )
                await asyncio.sleep(wait)
                wait = min(wait * 2, 30.0)


def _wants_success(waiting: Waiting) -> bool:
    return Notify.SUCCESS in waiting.recipient.notify
