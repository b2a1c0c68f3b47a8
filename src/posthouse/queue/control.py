"""The operator's hand on the queue: hold, release, retry, cancel; one copy or many by filter.

Shape: each action names who did it, is written with its event in one transaction a message, and answers how much it
changed. Copies that are being attempted at this moment are left alone: the attempt's result stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from posthouse.mail.event import EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import RecipientState, RecipientUpdate, Settlement
from posthouse.queue.schedule import operator_event
from posthouse.store.port import QueueEntry, QueueFilter, Queueing

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Changed:
    """How much an action changed.

    Attributes:
        messages: Messages of which at least one copy changed.
        copies: Recipients' copies.
    """

    messages: int
    copies: int


async def _nothing() -> None:
    return None


class QueueLevers:
    """Hold, release, retry, cancel. Works on the store alone while no node runs.

    Args:
        surrender: Makes a running dispatcher give back what it has not begun, so that the action reaches it.
        resume: Makes a running dispatcher go on, and look again.
        unblock: Makes it forget back-off, where copies shall be tried now.
        on_final: Told how many copies became final.
    """

    def __init__(
        self,
        store: Queueing,
        *,
        clock: Callable[[], datetime],
        surrender: Callable[[], Awaitable[None]] = _nothing,
        resume: Callable[[], None] = lambda: None,
        unblock: Callable[[], None] = lambda: None,
        on_final: Callable[[int], None] = lambda copies: None,
    ) -> None:
        self._store, self._clock = store, clock
        self._surrender, self._resume, self._unblock, self._on_final = surrender, resume, unblock, on_final

    async def hold(self, query: QueueFilter, *, by: str) -> Changed:
        """PENDING to HELD."""
        return await self._change(query, (RecipientState.PENDING,), RecipientState.HELD, EventKind.HELD, by)

    async def release(self, query: QueueFilter, *, by: str) -> Changed:
        """HELD or UNKNOWN to PENDING, due at once."""
        states = (RecipientState.HELD, RecipientState.UNKNOWN)
        return await self._change(query, states, RecipientState.PENDING, EventKind.RELEASED, by)

    async def retry(self, query: QueueFilter, *, by: str) -> Changed:
        """PENDING copies are due at once; waiting lines that were backing off try again."""
        return await self._change(query, (RecipientState.PENDING,), RecipientState.PENDING, EventKind.RETRIED, by)

    async def cancel(self, query: QueueFilter, *, by: str) -> Changed:
        """PENDING, HELD or UNKNOWN to CANCELLED, without a notice to the sender."""
        states = (RecipientState.PENDING, RecipientState.HELD, RecipientState.UNKNOWN)
        return await self._change(query, states, RecipientState.CANCELLED, EventKind.CANCELLED, by)

    async def _change(
        self,
        query: QueueFilter,
        states: tuple[RecipientState, ...],
        to: RecipientState,
        kind: EventKind,
        by: str,
    ) -> Changed:
        wanted = tuple(s for s in query.states if s in states)
        if not wanted:
            return Changed(0, 0)
        try:
            await self._surrender()
            return await self._write(query, wanted, to, kind, by)
        finally:
            if to is RecipientState.PENDING:
                self._unblock()
            self._resume()

    async def _write(
        self,
        query: QueueFilter,
        wanted: tuple[RecipientState, ...],
        to: RecipientState,
        kind: EventKind,
        by: str,
    ) -> Changed:
        entries = await self._store.entries(replace(query, states=wanted))
        groups: dict[MessageId, list[QueueEntry]] = {}
        for entry in entries:
            groups.setdefault(entry.message_id, []).append(entry)
        now = self._clock()
        settlements = [_settlement(m, copies, wanted, to, kind, now, by) for m, copies in groups.items()]
        for start in range(0, len(settlements), PAGE):
            await asyncio.gather(*(self._store.settle(s) for s in settlements[start : start + PAGE]))
        if to.is_final:
            self._on_final(len(entries))
        return Changed(len(groups), len(entries))


def _settlement(
    message_id: MessageId,
    copies: Sequence[QueueEntry],
    wanted: tuple[RecipientState, ...],
    to: RecipientState,
    kind: EventKind,
    now: datetime,
    by: str,
) -> Settlement:
    updates = tuple(
        RecipientUpdate(
            index=copy.index,
            state=to,
            next_at=now if to is RecipientState.PENDING else None,
            status="",
            last_reply=copy.last_reply,
            counts_as_attempt=False,
            only_from=wanted,
        )
        for copy in copies
    )
    events = tuple(operator_event(kind, message_id, copy.index, now, by) for copy in copies)
    return Settlement(message_id=message_id, updates=updates, events=events)
