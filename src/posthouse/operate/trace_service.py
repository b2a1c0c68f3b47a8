"""The message trace in the shapes of the control API: search, the story of one message, following.

Shape: filters are read from text, rows and events are turned into shapes; the words of a timeline are ``trace``'s.
Failures: `Refusal` where a filter cannot be read or nothing is known of a message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId, read_message_id, show_message_id
from posthouse.mail.message import RecipientState
from posthouse.operate.explanation import explanation_named, explanation_of
from posthouse.operate.explanation_shapes import ReplyExplanation
from posthouse.operate.shapes import (
    DoorEvent,
    DoorEvents,
    DoorSelection,
    FollowedEvent,
    FollowedEvents,
    FollowRequest,
    Named,
    Refusal,
    StoryStep,
    StoryView,
    TraceLine,
    TraceLines,
    TraceSelection,
)
from posthouse.store.port import Store, Story, TraceQuery, TraceRow
from posthouse.trace.status import STATUSES, states_of, status_word
from posthouse.trace.timeline import Line, describe_event, timeline

MAX_ROWS = 10_000
DOOR_WINDOW = timedelta(days=1)
_REFUSALS = frozenset((EventKind.DEFERRED, EventKind.FAILED, EventKind.EXPIRED, EventKind.UNKNOWN))


class TraceService:
    """What happened."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock

    async def search(self, selection: TraceSelection, by: str) -> TraceLines | Refusal:
        """Rows, newest first."""
        query = _read_selection(selection)
        if isinstance(query, Refusal):
            return query
        rows = await self._store.search(replace(query, limit=query.limit + 1))
        shown = tuple(_line(row) for row in rows[: query.limit])
        more = f"{shown[-1].id}-{shown[-1].recipient_index}" if len(rows) > query.limit else None
        return TraceLines(shown, more)

    async def show(self, request: Named, by: str) -> StoryView | Refusal:
        """The story of one message, by our own id or by its Message-ID."""
        message_id = await self._find(request.name)
        if isinstance(message_id, Refusal):
            return message_id
        story = await self._store.story(message_id)
        if story is None:
            return Refusal(code="not_found", message=f"nothing is known of message {request.name[:100]}")
        return _story(story)

    async def door(self, request: DoorSelection, by: str) -> DoorEvents:
        """What was refused, and who logged in: what no message tells of, because there was none."""
        since = request.since or self._clock() - DOOR_WINDOW
        events = await self._store.door_events(since, max(1, min(request.limit, MAX_ROWS)))
        return DoorEvents(
            tuple(
                DoorEvent(at=e.at, event=e.kind.value, text=describe_event(e).text, fields=dict(e.detail))
                for e in events
            )
        )

    async def follow(self, request: FollowRequest, by: str) -> FollowedEvents:
        """Events after the cursor, in the order of writing; without one, only the cursor of this moment."""
        if request.cursor is None:
            return FollowedEvents((), await self._newest_event())
        events = await self._store.events_after(request.cursor, max(1, min(request.limit, MAX_ROWS)))
        cursor = events[-1][0] if events else request.cursor
        return FollowedEvents(tuple(_followed(number, event) for number, event in events), cursor)

    async def _find(self, name: str) -> MessageId | Refusal:
        try:
            return read_message_id(name)
        except ValueError as error:
            if "@" not in name:
                return Refusal(code="invalid", message=str(error))
        rows = await self._store.search(TraceQuery(message_id=name, limit=1))
        if not rows:
            return Refusal(code="not_found", message=f"no message with Message-ID {name[:100]} was seen")
        return rows[0].message_id

    async def _newest_event(self) -> int:
        """The number of the newest event, found by doubling and halving: a few dozen look-ups by key."""
        low, step = 0, 1
        while await self._store.events_after(low + step, 1):
            low, step = low + step, step * 2
        while step > 0:
            if await self._store.events_after(low + step, 1):
                low += step
            step //= 2
        beyond = await self._store.events_after(low, 1)
        return beyond[0][0] if beyond else low


def _read_selection(selection: TraceSelection) -> TraceQuery | Refusal:
    states: list[RecipientState] = []
    for word in selection.statuses:
        meant = states_of(word)
        if not meant:
            return Refusal(code="invalid", message=f"{word[:40]!r} is no status: {', '.join(STATUSES)}")
        states += meant
    before: tuple[MessageId, int] | None = None
    if selection.before is not None:
        text, _, index = selection.before.partition("-")
        try:
            before = (read_message_id(text), int(index))
        except ValueError:
            return Refusal(code="invalid", message="the cursor is not one of an earlier answer")
    return TraceQuery(
        sender=selection.sender,
        recipient=selection.recipient,
        subject=selection.subject,
        message_id=selection.message_id,
        connector=selection.connector,
        states=tuple(dict.fromkeys(states)),
        since=selection.since,
        until=selection.until,
        limit=max(1, min(selection.limit, MAX_ROWS)),
        before=before,
    )


def _line(row: TraceRow) -> TraceLine:
    return TraceLine(
        id=show_message_id(row.message_id),
        recipient_index=row.index,
        received_at=row.received_at,
        sender=row.sender,
        recipient=row.recipient,
        subject=row.subject,
        status=status_word(row.state),
        state=row.state.value,
        from_ip=row.peer_ip,
        to_ip=row.remote,
        size_octets=row.size_octets,
        message_id=row.header_message_id,
        principal=row.principal,
        connector=row.connector,
        last_reply=row.last_reply,
    )


def _story(story: Story) -> StoryView:
    message, session = story.message, story.message.session
    events = sorted(story.events, key=lambda event: event.at)
    return StoryView(
        id=show_message_id(message.id),
        received_at=message.received_at,
        expires_at=message.expires_at,
        origin=message.origin.value,
        sender=str(message.envelope.sender or ""),
        subject=message.header.subject,
        header_message_id=message.header.message_id,
        size_octets=story.content_octets,
        has_content=story.has_content,
        peer_ip=session.peer_ip,
        helo=session.helo,
        protocol=session.protocol,
        listener=session.listener,
        session=session.id,
        principal=str(session.principal or ""),
        tls=f"{session.tls.version} {session.tls.cipher}" if session.tls else "",
        parent=show_message_id(message.parent) if message.parent is not None else None,
        notices=tuple(show_message_id(notice) for notice in story.notices),
        repairs=message.repairs,
        recipients=tuple(_line(row) for row in story.rows),
        timeline=tuple(map(_step, timeline(story), events)),
    )


def _step(line: Line, event: Event) -> StoryStep:
    return StoryStep(
        at=line.at,
        event=line.kind.value,
        recipient=line.recipient,
        headline=line.headline,
        details=line.details,
        fields=dict(event.detail),
        explanation=_explanation(event),
    )


def _explanation(event: Event) -> ReplyExplanation | None:
    """What a refusal means: by the entry that was named, by its words, or by the words to connectors tried before."""
    detail = event.detail
    texts: list[str] = []
    if event.kind in _REFUSALS:
        named = explanation_named(str(detail.get("explanation") or ""))
        if named is not None:
            return named
        texts = [str(detail.get("reply") or ""), str(detail.get("reason") or "")]
    tried = detail.get("tried")
    texts += tried if isinstance(tried, list) else []
    return next((known for known in map(explanation_of, texts) if known is not None), None)


def _at_the_door(event: Event) -> DoorEvent:
    return DoorEvent(at=event.at, event=event.kind.value, text=describe_event(event).text, fields=dict(event.detail))


def _followed(number: int, event: Event) -> FollowedEvent:
    return FollowedEvent(
        number=number,
        at=event.at,
        event=event.kind.value,
        id=show_message_id(event.message_id) if event.message_id is not None else None,
        recipient_index=event.recipient,
        text=describe_event(event).text,
        fields=dict(event.detail),
    )
