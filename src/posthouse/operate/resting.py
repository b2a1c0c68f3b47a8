"""Which connectors can send nothing now, because every mailbox of theirs rests.

Shape: `resting_connectors` puts the store's pauses beside the present flow.
Leaves to others: pausing (``queue.budget``), showing (``operate.queue_service``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime

from posthouse.decide.flow import Flow
from posthouse.decide.policy import Policy
from posthouse.decide.ways import Way
from posthouse.mail.budget import Pause
from posthouse.store.port import Store

NEVER = datetime.max


async def resting_connectors(store: Store, now: datetime) -> dict[str, Pause]:
    """By connector: the rest that ends first, of those in which all its mailboxes are."""
    pauses = {p.account: p for p in await store.pauses() if p.until is None or p.until > now}
    revision = await store.flow() if pauses else None
    if revision is None:
        return {}
    ways = Policy(Flow.model_validate(tomllib.loads(revision.text))).ways
    return {name: rest for name, way in ways.items() if (rest := _rest_of(way, pauses)) is not None}


def line_rest(hop: str, resting: Mapping[str, Pause]) -> Pause | None:
    """The rest of a waiting line: of its connectors, the one that ends first; None while one of them can send."""
    names = [part.partition("/")[0] for part in hop.split("+")]
    if not all(name in resting for name in names):
        return None
    return min((resting[name] for name in names), key=_end)


def _rest_of(way: Way, pauses: Mapping[str, Pause]) -> Pause | None:
    rests = []
    for mailbox in way.mailboxes_for(None) or ("",):
        found = next((pauses[account] for account in way.accounts(mailbox) if account in pauses), None)
        if found is None:
            return None
        rests.append(found)
    return min(rests, key=_end)


def _end(pause: Pause) -> datetime:
    return pause.until.replace(tzinfo=None) if pause.until is not None else NEVER
