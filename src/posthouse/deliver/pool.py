"""Sessions kept for the next message.

Source: RFC 5321 3.8 (a client may keep a session and use it again); what servers allow is found out by using it.
Shape: one `Pool` for each outbound connector. `acquire` gives a waiting session or opens one, never more than
`max_connections`; `release` takes it back. A session that waited is closed after a few seconds without work.
Failures: `SessionFailure` as a value.
Leaves to others: opening (``deliver.dial``), what to do when a kept session turns out to be dead (``deliver.carrier``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from posthouse.deliver.failure import SessionFailure
from posthouse.deliver.smtp import Session
from posthouse.deliver.target import Target

Open = Callable[[Target], Awaitable[Session | SessionFailure]]


class Pool:
    """Sessions of one connector, to all its hosts."""

    def __init__(self, open_session: Open, *, max_connections: int, max_messages: int) -> None:
        self._open_session = open_session
        self._max_connections = max_connections
        self._max_messages = max_messages
        self._idle: dict[Target, list[Session]] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._count = 0
        self._is_closed = False

    @property
    def count(self) -> int:
        """Sessions that are open or being opened."""
        return self._count

    def take_idle(self, target: Target) -> Session | None:
        """A kept session with a host, the one that was used last, or None."""
        sessions = self._idle.get(target)
        while sessions:
            session = sessions.pop()
            if session.is_ready:
                session.wake()
                return session
        return None

    async def acquire(self, target: Target, *, fresh: bool = False) -> Session | SessionFailure:
        """A session that is ready for a transaction.

        Args:
            fresh: Open a new one, because a kept one has just disappointed.
        """
        while True:
            session = None if fresh else self.take_idle(target)
            if session is not None:
                return session
            if self._count < self._max_connections or self._close_one_idle():
                return await self._open(target)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()
                raise

    def release(self, session: Session) -> None:
        """Give a session back, ready or not."""
        if not session.is_ready:
            session.abandon("")
        elif self._is_closed or session.messages >= self._max_messages:
            session.leave()
        else:
            session.idle()
            sessions = self._idle.get(session.target)
            if sessions is None:
                sessions = self._idle[session.target] = []
            sessions.append(session)
            if self._waiters:
                self._wake_one()

    def close(self) -> None:
        """Close what is idle now, and what is in use when it is given back."""
        self._is_closed = True
        for sessions in list(self._idle.values()):
            for session in list(sessions):
                session.leave()
        self._idle.clear()

    async def _open(self, target: Target) -> Session | SessionFailure:
        self._count += 1
        try:
            outcome = await self._open_session(target)
        except BaseException:
            self._ended()
            raise
        if isinstance(outcome, SessionFailure) or outcome.is_gone:
            self._ended()
        else:
            outcome.on_gone = self._gone
        return outcome

    def _gone(self, session: Session) -> None:
        sessions = self._idle.get(session.target)
        if sessions is not None:
            if session in sessions:
                sessions.remove(session)
            if not sessions:
                del self._idle[session.target]
        self._ended()

    def _ended(self) -> None:
        self._count -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _close_one_idle(self) -> bool:
        """Make room by closing a session with another host."""
        for sessions in self._idle.values():
            for session in sessions:
                session.leave()
                return True
        return False
