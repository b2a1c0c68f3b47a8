"""Finds out what became of copies whose answer was lost: delivered after all, or to be sent again.

Source: ``docs/states.md`` (unknown).
Shape: `Verification.look` is a duty of some seconds. It asks the verifier about every copy that is due and whose
connector says ``on_unknown = "verify"``, and writes what follows. All that it writes applies only while the copy is
still unknown, so an operator or another node may act at the same time, and doing it twice changes nothing.
Failures: `StoreUnavailable` ends a turn; the next one begins anew. Where nobody can look, the copy stays unknown for
the operator, with the reason.
Leaves to others: looking (``deliver.graph.verify``), copies that wait for an operator (``queue.control``).

The time between two looks is the time that the copy has been unknown, at least half a minute and at most ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

import structlog

from posthouse.decide.ways import Way
from posthouse.mail.envelope import Notify
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId, show_message_id
from posthouse.mail.message import RecipientState, RecipientUpdate, Waiting
from posthouse.mail.reply import Reply
from posthouse.queue.port import CannotLook, Control, Found, Looked, Lost, NotFound, RecipientFailure, Verifier
from posthouse.queue.schedule import MAX_REPLY_CHARACTERS, VERIFY_AFTER, Step
from posthouse.queue.settle import Settler
from posthouse.store.port import QueueEntry, QueueFilter, Store, Story, TraceQuery

log = structlog.get_logger()

MOST_COPIES = 10_000
LONGEST_WAIT = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)
CONTROL_BACK = timedelta(days=2)
MOST_CONTROLS = 20
MOST_TWINS = 1001
"""More rows than one message can have recipients."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""Due time of an unknown copy that nobody looks for any more."""
_UNKNOWN = (RecipientState.UNKNOWN,)
_MAY_HAVE_ARRIVED = (RecipientState.DELIVERED, RecipientState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt of a message that ended without an answer, and its copies that are due."""

    way: Way
    story: Story
    lost: Lost


class Verification:
    """The duty."""

    def __init__(
        self,
        store: Store,
        settler: Settler,
        verifier: Verifier,
        *,
        way_named: Callable[[str], Way | None],
        clock: Callable[[], datetime],
        wake: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            way_named: The way out of that name in the present flow, or None.
            clock: Aware UTC.
            wake: Told when copies are due again.
        """
        self._store, self._settler, self._verifier = store, settler, verifier
        self._way_named, self._clock, self._wake = way_named, clock, wake
        self._left: dict[tuple[MessageId, int], tuple[str, Way | None]] = {}

    async def look(self) -> None:
        """Look for every copy that is due, once."""
        now = self._clock()
        entries = await self._store.entries(QueueFilter(states=_UNKNOWN, limit=MOST_COPIES))
        unknown = {(entry.message_id, entry.index) for entry in entries}
        self._left = {key: left for key, left in self._left.items() if key in unknown and self._is_same(*left)}
        due: dict[MessageId, list[QueueEntry]] = {}
        for entry in entries:
            if entry.next_at <= now and (entry.message_id, entry.index) not in self._left:
                due.setdefault(entry.message_id, []).append(entry)
        for message_id, copies in due.items():
            story = await self._store.story(message_id)
            if story is not None:
                for attempt in self._attempts(story, {copy.index for copy in copies}):
                    control, has_twins = await self._control(attempt), await self._has_twins(story)
                    lost = replace(attempt.lost, control=control, has_twins=has_twins)
                    await self._settle(attempt, await self._verifier.look_up(attempt.way, lost, now))

    def _is_same(self, connector: str, way: Way | None) -> bool:
        """The flow says what it said when the copy was left to an operator."""
        return self._way_named(connector) == way

    def _attempts(self, story: Story, indices: set[int]) -> Iterator[_Attempt]:
        """The copies by the attempt that lost them; those that nobody is to look for are remembered."""
        groups: dict[tuple[str, str, datetime], list[int]] = {}
        for index in sorted(indices):
            event = _loss(story, index)
            connector = str(event.detail.get("connector", "")) if event is not None else ""
            way = self._way_named(connector)
            if event is None or way is None or way.connector.on_unknown != "verify":
                self._left[story.message.id, index] = connector, way
                continue
            key = (connector, str(event.detail.get("mailbox", "")), event.at)
            groups.setdefault(key, []).append(index)
        for (connector, mailbox, since), found in groups.items():
            way = self._way_named(connector)
            assert way is not None
            yield _Attempt(way, story, _lost(way, story, found, mailbox, since))

    async def _control(self, attempt: _Attempt) -> Control | None:
        """The last message before it that went the same way, from the same mailbox, and arrived."""
        since = attempt.lost.since
        query = TraceQuery(
            connector=attempt.way.name,
            states=(RecipientState.DELIVERED,),
            since=since - CONTROL_BACK,
            until=since,
            limit=MOST_CONTROLS,
        )
        for row in await self._store.search(query):
            if row.header_message_id and row.message_id != attempt.story.message.id:
                story = await self._store.story(row.message_id)
                if story is not None and _is_from(story, row.index, attempt.lost.mailboxes):
                    return Control(row.header_message_id, row.received_at)
        return None

    async def _has_twins(self, story: Story) -> bool:
        message = story.message
        if not message.header.message_id:
            return False
        rows = await self._store.search(TraceQuery(message_id=message.header.message_id, limit=MOST_TWINS))
        return any(row.message_id != message.id for row in rows)

    async def _settle(self, attempt: _Attempt, answers: Mapping[int, Looked]) -> None:
        now, message = self._clock(), attempt.story.message
        steps = [_step(attempt, index, looked, now) for index, looked in answers.items()]
        waiting = {index: Waiting(index, message.envelope.recipients[index], delay_noticed=True) for index in answers}
        if any(step.success and Notify.SUCCESS in waiting[step.update.index].recipient.notify for step in steps):
            content = await self._store.content(message.id)
            if content is not None:
                message = replace(message, content=content)
        await self._settler.finish(message, steps, now, waiting)
        if any(step.update.state is RecipientState.PENDING for step in steps):
            self._wake()


def _is_from(story: Story, index: int, mailboxes: tuple[str, ...]) -> bool:
    """Whether a delivered copy was sent from one of these mailboxes."""
    if not mailboxes:
        return True
    delivered = [e for e in story.events if e.kind is EventKind.DELIVERED and e.recipient == index]
    return any(event.detail.get("mailbox") in mailboxes for event in delivered)


def _loss(story: Story, index: int) -> Event | None:
    """The event of the attempt whose answer was lost: the last one that names a connector and no look."""
    return next(
        (
            event
            for event in reversed(story.events)
            if event.kind is EventKind.UNKNOWN and event.recipient == index and "looked" not in event.detail
        ),
        None,
    )


def _lost(way: Way, story: Story, indices: list[int], mailbox: str, since: datetime) -> Lost:
    envelope = story.message.envelope
    mailboxes = (mailbox,) if mailbox else tuple(name for name in way.mailboxes_for(envelope.sender) if name)
    return Lost(
        message=story.message,
        recipients={index: envelope.recipients[index].address for index in indices},
        mailboxes=mailboxes,
        since=since,
        has_delivered=any(
            row.state in _MAY_HAVE_ARRIVED and row.connector == way.name and row.index not in indices
            for row in story.rows
        ),
    )


def _step(attempt: _Attempt, index: int, looked: Looked, now: datetime) -> Step:
    message_id, since = attempt.story.message.id, attempt.lost.since
    match looked:
        case Found(where=where):
            reply = Reply.of(250, "2.0.0", f"found in {where}")
            update = _update(index, RecipientState.DELIVERED, str(reply), None)
            success = RecipientFailure(index=index, status="2.0.0", reason="", reply=reply)
            detail = {"verified_by": where, "reason": "the answer was lost, and the message is there"}
            return Step(update, _event(attempt, now, EventKind.DELIVERED, index, detail), None, success)
        case NotFound(is_final=True, reason=reason):
            update = _update(index, RecipientState.PENDING, reason, now)
            detail = {"verified_by": reason, "reason": "the message did not arrive and is sent again"}
            return Step(update, _event(attempt, now, EventKind.RETRIED, index, detail))
        case NotFound(reason=reason) if now - since < GIVE_UP_AFTER:
            wait = max(VERIFY_AFTER, min(now - since, LONGEST_WAIT))
            update = _update(index, RecipientState.UNKNOWN, reason, now + wait)
            detail = {"looked": reason, "next_at": (now + wait).isoformat(timespec="seconds")}
            return Step(update, _event(attempt, now, EventKind.UNKNOWN, index, detail))
        case NotFound(reason=reason) | CannotLook(reason=reason):
            log.warning("verify.needs_operator", message_id=show_message_id(message_id), recipient=index, reason=reason)
            update = _update(index, RecipientState.UNKNOWN, reason, NEVER)
            detail = {"looked": reason, "reason": "nobody can find out; release or cancel the copy"}
            return Step(update, _event(attempt, now, EventKind.UNKNOWN, index, detail))
        case never:
            assert_never(never)


def _update(index: int, state: RecipientState, reply: str, next_at: datetime | None) -> RecipientUpdate:
    return RecipientUpdate(
        index=index,
        state=state,
        next_at=next_at,
        status="2.0.0" if state is RecipientState.DELIVERED else "",
        last_reply=reply[:MAX_REPLY_CHARACTERS],
        counts_as_attempt=False,
        only_from=_UNKNOWN,
    )


def _event(attempt: _Attempt, now: datetime, kind: EventKind, index: int, detail: dict[str, str]) -> Event:
    mailboxes = attempt.lost.mailboxes
    known = {"mailbox": mailboxes[0]} if len(mailboxes) == 1 else {}
    return Event(now, kind, attempt.story.message.id, index, {"connector": attempt.way.name, **known, **detail})
