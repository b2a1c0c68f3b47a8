"""Housekeeping of the queue: room, expiry, delay notices, lost leases, retention.

Shape: `Sweep.run` works until cancelled; each duty has its own interval and its own failures: one that fails is logged
and tried again at its next turn, and never stops the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta

import structlog

from posthouse.decide.policy import Policy
from posthouse.mail.ids import MessageId
from posthouse.mail.route import NoRoute
from posthouse.queue.guard import Guard
from posthouse.queue.lines import NO_ROUTE_HOP
from posthouse.queue.settings import Cadence, QueueSettings
from posthouse.queue.settle import Settler
from posthouse.store.port import Store, StoreUnavailable

log = structlog.get_logger()

BITE = 200
OVERDUE_WAIT = timedelta(seconds=30)
"""The last attempt is due at the expiry itself; only what nobody attempted then is expired here."""


class Sweep:
    """The duties."""

    def __init__(
        self,
        store: Store,
        settler: Settler,
        guard: Guard,
        settings: QueueSettings,
        *,
        clock: Callable[[], datetime],
        wake: Callable[[], None],
        in_hand: Callable[[], Collection[MessageId]],
        keep_content: timedelta,
        keep_trace: timedelta,
        cadence: Cadence = Cadence(),  # noqa: B008 - a frozen value
        duties: Sequence[tuple[float, Callable[[], Awaitable[None]]]] = (),
    ) -> None:
        """Prepare.

        Args:
            duties: Further duties with their interval in seconds.
        """
        self._cadence, self._duties = cadence, duties
        self._store, self._settler, self._guard, self._settings = store, settler, guard, settings
        self._clock, self._wake, self._in_hand = clock, wake, in_hand
        self._keep_content, self._keep_trace = keep_content, keep_trace
        self._no_room_announced = False

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(self._cadence.room, self.look))
            group.create_task(self._every(self._cadence.expire, self.expire))
            group.create_task(self._every(self._cadence.expire, self.notice_delays))
            group.create_task(self._every(self._cadence.retire, self.retire))
            for seconds, duty in self._duties:
                group.create_task(self._every(seconds, duty))

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
            except StoreUnavailable as error:
                log.error("queue.sweep_failed", duty=duty.__name__, reason=str(error))
            except Exception:  # a fault in one duty must not stop the others
                log.exception("queue.sweep_crashed", duty=duty.__name__)
            await asyncio.sleep(seconds)

    async def look(self) -> None:
        """Measure room."""
        self._guard.look(await self._store.open_count())
        refusal = self._guard.refusal()
        if refusal is not None and not self._no_room_announced:
            log.warning("queue.no_room", reply=str(refusal[0]), reason=refusal[1])
        elif refusal is None and self._no_room_announced:
            log.info("queue.room_again")
        self._no_room_announced = refusal is not None

    async def expire(self) -> None:
        """End copies whose time ran out, and take back leases that were never settled.

        What this node has in hand is kept first, however long its attempt takes: it must not be made twice. What it
        has not, because loading failed or a fault of ours dropped it, goes back when its lease is over.
        """
        now, lease_for = self._clock(), self._settings.lease_for
        await self._store.renew_leases(self._in_hand(), below=now + lease_for / 2, until=now + lease_for)
        if returned := await self._store.return_leases(owner=None, now=now):
            log.warning("queue.leases_ran_out", copies=returned)
            self._wake()
        while leases := await self._store.overdue(now - OVERDUE_WAIT, limit=BITE):
            for lease in leases:
                await self._settler.expire(lease)

    async def notice_delays(self) -> None:
        """Tell senders whose mail waits for too long, once."""
        now = self._clock()
        before = now - self._settings.delay_notice_after
        while leases := await self._store.undelayed(before, now, limit=BITE):
            for lease in leases:
                await self._settler.notice_delay(lease)

    async def retire(self) -> None:
        """Remove what retention no longer keeps, in small bites."""
        now = self._clock()
        while True:
            gone = await self._store.retire(
                content_before=now - self._keep_content, trace_before=now - self._keep_trace, limit=BITE
            )
            if max(gone.messages, gone.contents, gone.door_events) < BITE:
                return


async def reroute(store: Store, policy: Policy) -> int:
    """Move waiting copies to the lines that the present flow gives them.

    Returns:
        Number of copies moved.
    """
    moved, after = 0, None
    while page := await store.pending_copies(after, BITE):
        changes: list[tuple[MessageId, int, str]] = []
        for lease in page:
            message = lease.message
            for waiting in lease.waiting:
                route = policy.route(
                    message.envelope.sender,
                    waiting.recipient.address,
                    message.session.principal,
                    message.content.size_octets,
                )
                hop = NO_ROUTE_HOP if isinstance(route, NoRoute) else route.hop
                if hop != lease.hop:
                    changes.append((message.id, waiting.index, hop))
        if changes:
            await store.rename_hops(changes)
            moved += len(changes)
        last = page[-1]
        after = (last.message.id, last.waiting[-1].index)
    return moved
