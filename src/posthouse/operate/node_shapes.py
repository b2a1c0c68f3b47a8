"""What the running node says of itself (see ``operate.shapes``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatus:
    """One open listener.

    Attributes:
        address: Bound address, ``127.0.0.1:2525``.
        tls: ``none``, ``starttls`` or ``implicit``.
        connections: Open now.
    """

    name: str
    address: str
    tls: str
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What the running node says of itself.

    Attributes:
        state: ``running`` or ``draining``.
        started_at: Aware UTC.
        flow_revision: Number of the flow in use; 0 before the first.
        open_copies: Copies that are not final.
        warnings: What an operator should know now: low disk, a refused reload, an expiring certificate.
    """

    version: str
    hostname: str
    pid: int
    state: str
    started_at: datetime
    listeners: tuple[ListenerStatus, ...]
    flow_revision: int
    open_copies: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What came of reading the files again. With problems nothing was taken over.

    Attributes:
        flow_revision: In use now.
        problems: Sentences; empty means the new configuration is in use.
        needs_restart: Changed settings that only a restart takes over: ``store.directory``.
    """

    flow_revision: int
    problems: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
