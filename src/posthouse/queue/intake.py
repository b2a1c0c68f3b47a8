"""Places a new message and commits it: the door between taking in and everything that follows.

Shape: `Intake.enqueue` routes each recipient by the flow of this moment, decides whether the message stays in memory or
waits in the store, and returns a future that is done when the commit is on disk. Only then may anybody say 250.
Failures: `StoreUnavailable` from the future; nothing was kept then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from random import Random
from typing import Protocol

from posthouse.decide.policy import Policy
from posthouse.mail.event import Detail, Event, EventKind
from posthouse.mail.ids import MessageId, make_message_id, show_message_id
from posthouse.mail.message import Lease, Message, NewMessage, Placement, RecipientState, Waiting
from posthouse.mail.reply import Reply
from posthouse.mail.route import NoRoute
from posthouse.queue.guard import Guard
from posthouse.queue.lines import NO_ROUTE_HOP
from posthouse.queue.settings import QueueSettings
from posthouse.store.port import Queueing, SpoolFile

DOOR_EVENTS_PER_MINUTE = 600
"""Refusals beyond this many a minute are counted, not written: a stranger must not fill the disk with our own notes."""


class Memory(Protocol):
    """Where fresh messages wait for their first attempt without a way over the disk. Implemented by `Dispatcher`."""

    def has_room(self, hop: str, octets: int) -> bool:
        """Whether a fresh message of this size may be born leased."""

    def push(self, lease: Lease) -> None:
        """Take a fresh, committed message."""

    def stored(self, hop: str) -> None:
        """A message of this waiting line was left to the store."""

    def wake(self) -> None:
        """Look into the store now."""


class NoMemory:
    """For commands that work while no node runs: every message waits in the store."""

    def has_room(self, hop: str, octets: int) -> bool:
        """Never."""
        return False

    def push(self, lease: Lease) -> None:
        """Not called, because there is never room."""
        raise RuntimeError("a message was born leased where nobody delivers")

    def stored(self, hop: str) -> None:
        """The node will find it."""

    def wake(self) -> None:
        """There is nobody to wake."""


class Intake:
    """New mail."""

    def __init__(
        self,
        store: Queueing,
        memory: Memory,
        guard: Guard,
        policy: Policy,
        settings: QueueSettings,
        *,
        clock: Callable[[], datetime],
        random: Random,
    ) -> None:
        self._store, self._memory, self._guard = store, memory, guard
        self._policy, self._settings = policy, settings
        self._clock, self._random = clock, random
        self.inline_octets = store.inline_octets
        self._newest_id = MessageId(0)
        self._door_minute, self._door_count = 0, 0
        self._recording: set[asyncio.Future[None]] = set()

    def set_policy(self, policy: Policy) -> None:
        """Use a new revision of the flow from now on."""
        self._policy = policy

    def refusal(self) -> tuple[Reply, str] | None:
        """What to answer instead of taking mail, and why; None when there is room."""
        return self._guard.refusal()

    def new_id(self, now: datetime) -> MessageId:
        """A fresh id, above all that this node gave before: two of one millisecond never meet."""
        fresh = make_message_id(int(now.timestamp() * 1000), self._random.getrandbits(22))
        self._newest_id = fresh if fresh > self._newest_id else MessageId(self._newest_id + 1)
        return self._newest_id

    def expires_at(self, received_at: datetime) -> datetime:
        """When attempts for a message received then will end."""
        return received_at + self._settings.expire_after

    def open_spool(self) -> SpoolFile:
        """Begin a large content."""
        return self._store.open_spool()

    def enqueue(self, message: Message) -> asyncio.Future[None]:
        """Place and commit one message.

        Returns:
            A future, done when the message is on disk.
        """
        leases: list[Lease] = []
        stored: list[str] = []
        new = self._place(message, leases, stored)
        copies = len(new.placements)
        self._guard.open_copies += copies
        future = asyncio.ensure_future(self._store.accept(new))
        future.add_done_callback(partial(self._accepted, leases, stored, copies))
        return future

    def place_notice(self, message: Message) -> NewMessage:
        """Place one of our own notices; it waits in the store and is committed by the caller's settlement."""
        return self._place(message, None, [])

    def notice_written(self, new: NewMessage) -> None:
        """A notice was committed: count it and have it attempted."""
        self._guard.open_copies += len(new.placements)
        self._memory.wake()

    def _place(self, message: Message, leases: list[Lease] | None, stored: list[str]) -> NewMessage:
        envelope, now = message.envelope, message.received_at
        principal, size = message.session.principal, message.content.size_octets
        groups: dict[str, list[Waiting]] = {}
        said: list[str] = []
        for index, recipient in enumerate(envelope.recipients):
            route = self._policy.route(envelope.sender, recipient.address, principal, size)
            hop = NO_ROUTE_HOP if isinstance(route, NoRoute) else route.hop
            if hop not in groups:
                groups[hop] = []
                said.append(route.reason if isinstance(route, NoRoute) else f"{route.name} -> {hop} ({route.reason})")
            groups[hop].append(Waiting(index, recipient))
        until = now + self._settings.lease_for
        placements: list[Placement] = []
        born_leased = False
        for hop, waiting in groups.items():
            state = RecipientState.PENDING
            if leases is not None and self._memory.has_room(hop, size):
                state, born_leased = RecipientState.LEASED, True
                leases.append(Lease(message=message, hop=hop, waiting=tuple(waiting), until=until))
            else:
                stored.append(hop)
            placements.extend(Placement(w.index, state, hop, now) for w in waiting)
        return NewMessage(
            message=message,
            placements=tuple(placements),
            events=(Event(now, EventKind.ACCEPTED, message.id, None, _accepted_detail(message, said)),),
            lease_until=until if born_leased else None,
        )

    def _accepted(self, leases: list[Lease], stored: list[str], copies: int, future: asyncio.Future[None]) -> None:
        if future.cancelled() or future.exception() is not None:
            self._guard.open_copies -= copies
            return
        for lease in leases:
            self._memory.push(lease)
        for hop in stored:
            self._memory.stored(hop)

    def refused(self, event: Event) -> None:
        """Write down what happened at the door, within bounds."""
        minute = int(event.at.timestamp() // 60)
        if minute != self._door_minute:
            self._door_minute, self._door_count = minute, 0
        if event.detail.get("result") != "accepted":
            # Log-ins that succeed are not a stranger's to multiply, and must not drown in refusals.
            self._door_count += 1
            if self._door_count > DOOR_EVENTS_PER_MINUTE:
                return
        future = asyncio.ensure_future(self._store.record((event,)))
        self._recording.add(future)
        future.add_done_callback(self._recorded)

    def _recorded(self, future: asyncio.Future[None]) -> None:
        self._recording.discard(future)
        if not future.cancelled():
            # A door event that could not be written is the least of a broken store's troubles.
            future.exception()


def _accepted_detail(message: Message, routes: list[str]) -> Detail:
    session = message.session
    detail: dict[str, str | int | float | bool | list[str] | None] = {
        "session": session.id,
        "listener": session.listener,
        "peer": session.peer_ip,
        "helo": session.helo,
        "protocol": session.protocol,
        "principal": str(session.principal) if session.principal else "",
        "size": message.content.size_octets,
        "routes": routes,
    }
    if session.tls is not None:
        detail["tls"], detail["cipher"] = session.tls.version, session.tls.cipher
    if message.repairs:
        detail["repairs"] = list(message.repairs)
    if message.parent is not None:
        detail["about"] = show_message_id(message.parent)
    return detail
