"""After a crash: copies whose attempt was under way may have arrived, and are looked for before they are sent again.

Source: ``docs/states.md`` (crash state C).
Shape: `note_start` writes down, before an attempt into Microsoft 365 begins, which copies it carries; `recover` runs
before a node takes its leases back, and makes unknown what was begun and never ended.
Failures: `StoreUnavailable` from `recover`. A start that cannot be noted is logged, and the attempt goes on.
Leaves to others: looking for them (``verify``), all other leases (``service.node``).

Connectors with ``on_unknown = "retry"`` need none of this: what may have arrived is sent again there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from posthouse.decide.ways import Way
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId
from posthouse.mail.message import RecipientState, RecipientUpdate, Settlement
from posthouse.queue.port import Job
from posthouse.queue.schedule import VERIFY_AFTER
from posthouse.store.port import QueueFilter, Queueing, Store, StoreUnavailable, Story

log = structlog.get_logger()

MOST_COPIES = 100_000
_LEASED = (RecipientState.LEASED,)
_REASON = "the node ended during the attempt"


async def note_start(job: Job, store: Queueing, now: datetime) -> None:
    """Write down that an attempt begins."""
    if not job.ways or not job.ways[0].is_microsoft or job.ways[0].connector.on_unknown == "retry":
        return
    copies = [str(waiting.index) for waiting in job.lease.waiting]
    mailbox = job.permit.mailbox if job.permit is not None else ""
    detail: dict[str, str | list[str]] = {"connector": job.ways[0].name, "copies": copies}
    if mailbox:
        detail["mailbox"] = mailbox
    event = Event(now, EventKind.ATTEMPTED, job.lease.message.id, None, {**detail})
    try:
        await store.record([event])
    except StoreUnavailable as error:
        log.error("queue.start_not_noted", message_id=job.lease.message.id, reason=str(error))


async def recover(store: Store, ways: Mapping[str, Way], now: datetime) -> int:
    """Make unknown what an attempt of an earlier run may have delivered.

    Args:
        ways: The ways out of the present flow, by name.

    Returns:
        Number of copies.
    """
    if not any(way.is_microsoft for way in ways.values()):
        return 0
    leased: dict[MessageId, list[int]] = {}
    for entry in await store.entries(QueueFilter(states=_LEASED, limit=MOST_COPIES)):
        leased.setdefault(entry.message_id, []).append(entry.index)
    count = 0
    for message_id, copies in leased.items():
        story = await store.story(message_id)
        settlement = _settlement(story, copies, ways, now) if story is not None else None
        if settlement is not None:
            await store.settle(settlement)
            count += len(settlement.updates)
    return count


def _settlement(story: Story, copies: list[int], ways: Mapping[str, Way], now: datetime) -> Settlement | None:
    settlement = Settlement(message_id=story.message.id, updates=(), events=())
    for index in copies:
        start = _unfinished(story, index)
        way = ways.get(str(start.detail.get("connector", ""))) if start is not None else None
        if start is None or way is None or way.connector.on_unknown == "retry":
            continue
        is_looked_for = way.connector.on_unknown == "verify"
        update = RecipientUpdate(
            index=index,
            state=RecipientState.UNKNOWN,
            next_at=now + VERIFY_AFTER if is_looked_for else None,
            last_reply=_REASON,
            connector=way.name,
            only_from=_LEASED,
        )
        mailbox = str(start.detail.get("mailbox", ""))
        detail = {"connector": way.name, "reason": _REASON, **({"then": "look"} if is_looked_for else {})}
        detail |= {"mailbox": mailbox} if mailbox else {}
        # It was lost when it was sent, not when somebody noticed.
        event = Event(start.at, EventKind.UNKNOWN, story.message.id, index, detail)
        settlement = replace(settlement, updates=(*settlement.updates, update), events=(*settlement.events, event))
    return settlement if settlement.updates else None


def _unfinished(story: Story, index: int) -> Event | None:
    """The last start of an attempt with this copy, unless something was written about the copy since."""
    for event in reversed(story.events):
        copies = event.detail.get("copies")
        if event.kind is EventKind.ATTEMPTED and isinstance(copies, list) and str(index) in copies:
            return event
        if event.recipient == index or event.kind is EventKind.LEASE_RETURNED:
            return None
    return None
