"""A route: which outbound connectors may carry a recipient's copy, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """Where a copy goes.

    Attributes:
        name: Name of the route in the flow; ``default`` where the only connector decides.
        connectors: Names of outbound connectors, first choice first; never empty.
        hop: Waiting line: ``connector`` for a smart host, ``connector/domain`` for MX delivery.
        reason: The condition that matched, for the trace.
    """

    name: str
    connectors: tuple[str, ...]
    hop: str
    reason: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Nothing in the flow carries this recipient: refused at RCPT, held if queued already."""

    reason: str
