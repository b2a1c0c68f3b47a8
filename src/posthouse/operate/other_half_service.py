"""Microsoft's half of a story, asked for when an operator wants it.

Shape: `OtherHalfService.show` finds the ways that a message left by, and asks the message trace through each of them.
Failures: `Refusal` for an unknown message; a way that cannot be asked says why in its place.
Leaves to others: the asking (``deliver.graph.other_half``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from posthouse.decide.policy import Policy
from posthouse.deliver.graph.other_half import TracedRecipient, microsoft_half
from posthouse.deliver.graph.verify import GraphClients
from posthouse.deliver.identities import Identities
from posthouse.mail.ids import read_message_id
from posthouse.operate.other_half_shapes import MicrosoftEvent, MicrosoftRecipient, OtherHalf, OtherHalves
from posthouse.operate.shapes import Named, Refusal
from posthouse.store.port import Store


class OtherHalfService:
    """Asks Microsoft."""

    def __init__(self, store: Store, identities: Identities, clock: Callable[[], datetime]) -> None:
        self._store, self._identities, self._clock = store, identities, clock

    async def show(self, request: Named, by: str) -> OtherHalves | Refusal:
        """Microsoft's half of one message, by our id."""
        try:
            story = await self._store.story(read_message_id(request.name))
        except ValueError as error:
            return Refusal(code="invalid", message=f"{error}; Microsoft's half is asked for by our own id")
        if story is None:
            return Refusal(code="not_found", message=f"there is no message {request.name[:100]!r}")
        ways = Policy(self._identities.flow()).ways
        left_by = dict.fromkeys(row.connector for row in story.rows if row.connector in ways)
        clients, halves = GraphClients(self._identities.tokens), list[OtherHalf]()
        try:
            for name in left_by:
                if not ways[name].is_microsoft:
                    continue
                found = await microsoft_half(clients, ways[name], story.message, self._clock())
                if isinstance(found, str):
                    halves.append(OtherHalf(connector=name, reason=found))
                else:
                    halves.append(OtherHalf(connector=name, recipients=tuple(map(_recipient, found))))
        finally:
            await clients.close()
        return OtherHalves(tuple(halves))


def _recipient(traced: TracedRecipient) -> MicrosoftRecipient:
    events = tuple(MicrosoftEvent(at=e.at, event=e.event, description=e.description) for e in traced.events)
    return MicrosoftRecipient(
        recipient=traced.recipient,
        received_at=traced.received_at,
        status=traced.status,
        from_ip=traced.from_ip,
        to_ip=traced.to_ip,
        events=events,
    )
