"""The queue view and its levers, in the shapes of the control API.

Shape: filters are read from text, entries are turned into rows; the changes themselves belong to `QueueControl`.
Failures: `Refusal` where a filter cannot be read; `StoreUnavailable` passes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from posthouse.mail.budget import Pause
from posthouse.mail.ids import read_message_id, show_message_id
from posthouse.mail.message import RecipientState
from posthouse.operate.explanation import explanation_of
from posthouse.operate.port import QueueControl
from posthouse.operate.resting import line_rest, resting_connectors
from posthouse.operate.shapes import (
    HopRow,
    HopRows,
    Nothing,
    QueueAction,
    QueueChanged,
    QueueRow,
    QueueRows,
    QueueSelection,
    Refusal,
)
from posthouse.store.port import HopSummary, QueueEntry, QueueFilter, Store
from posthouse.trace.status import status_word

MAX_ROWS = 10_000
MAX_CHANGED = 1_000_000
OPEN_STATES: tuple[RecipientState, ...] = (
    RecipientState.PENDING,
    RecipientState.LEASED,
    RecipientState.HELD,
    RecipientState.UNKNOWN,
)


class QueueService:
    """What waits, why, and what an operator does about it."""

    def __init__(self, store: Store, queue: QueueControl, clock: Callable[[], datetime]) -> None:
        self._store, self._queue, self._clock = store, queue, clock

    async def list(self, selection: QueueSelection, by: str) -> QueueRows | Refusal:
        """Waiting copies, oldest first."""
        query = read_selection(selection)
        if isinstance(query, Refusal):
            return query
        limit = max(1, min(selection.limit, MAX_ROWS))
        entries = await self._store.entries(replace(query, limit=limit + 1))
        reasons: dict[str, str] = {}
        if any(not entry.last_reply for entry in entries):
            # A copy that was never attempted waits for what keeps its line.
            reasons = {line.hop: line.last_reply for line in await self._store.hops()}
        resting = await resting_connectors(self._store, self._clock())
        rows = tuple(
            _row(entry, reasons.get(entry.hop, ""), line_rest(entry.hop, resting)) for entry in entries[:limit]
        )
        return QueueRows(rows, more=len(entries) > limit)

    async def hops(self, request: Nothing, by: str) -> HopRows:
        """Waiting lines, the one with the oldest message first."""
        lines = sorted(await self._store.hops(), key=lambda line: line.oldest_at)
        return HopRows(tuple(_hop(line) for line in lines))

    async def change(self, request: QueueAction, by: str) -> QueueChanged | Refusal:
        """Hold, release, retry or cancel."""
        query = read_selection(request.selection)
        if isinstance(query, Refusal):
            return query
        query = replace(query, limit=MAX_CHANGED)
        match request.action:
            case "hold":
                changed = await self._queue.hold(query, by=by)
            case "release":
                changed = await self._queue.release(query, by=by)
            case "retry":
                changed = await self._queue.retry(query, by=by)
            case "cancel":
                changed = await self._queue.cancel(query, by=by)
        return QueueChanged(action=request.action, messages=changed.messages, copies=changed.copies)


def read_selection(selection: QueueSelection) -> QueueFilter | Refusal:
    """Turn a request's filter into the store's."""
    try:
        ids = tuple(read_message_id(text) for text in selection.ids)
    except ValueError as error:
        return Refusal(code="invalid", message=str(error))
    states = OPEN_STATES
    if selection.states:
        known = {state.value: state for state in OPEN_STATES}
        wrong = [text for text in selection.states if text.lower() not in known]
        if wrong:
            return Refusal(
                code="invalid", message=f"{wrong[0][:40]!r} is no state of a waiting copy: {', '.join(known)}"
            )
        states = tuple(dict.fromkeys(known[text.lower()] for text in selection.states))
    return QueueFilter(
        message_ids=ids,
        sender=selection.sender,
        recipient=selection.recipient,
        hop=selection.hop,
        states=states,
    )


def _row(entry: QueueEntry, line_reason: str, rest: Pause | None) -> QueueRow:
    next_at = entry.next_at
    if rest is not None and entry.state is RecipientState.PENDING:
        # Where a person must act there is no next time; the last one is the expiry.
        next_at = max(next_at, min(rest.until or entry.expires_at, entry.expires_at))
        line_reason = f"{rest.account.partition(':')[2]} rests: {rest.reason}"
    waits_for_line = entry.state is RecipientState.PENDING and not entry.last_reply and line_reason
    return QueueRow(
        id=show_message_id(entry.message_id),
        recipient_index=entry.index,
        sender=entry.sender,
        recipient=entry.recipient,
        subject=entry.subject,
        size_octets=entry.size_octets,
        received_at=entry.received_at,
        expires_at=entry.expires_at,
        state=entry.state.value,
        status=status_word(entry.state),
        hop=entry.hop,
        next_at=next_at,
        attempts=entry.attempts,
        why=f"its line waits: {line_reason}" if waits_for_line else entry.last_reply,
        explanation=explanation_of(line_reason if waits_for_line else entry.last_reply),
    )


def _hop(line: HopSummary) -> HopRow:
    return HopRow(
        hop=line.hop,
        pending=line.counts.get(RecipientState.PENDING, 0),
        leased=line.counts.get(RecipientState.LEASED, 0),
        held=line.counts.get(RecipientState.HELD, 0),
        unknown=line.counts.get(RecipientState.UNKNOWN, 0),
        oldest_at=line.oldest_at,
        next_at=line.next_at,
        why=line.last_reply,
        explanation=explanation_of(line.last_reply),
    )
