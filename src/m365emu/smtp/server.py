"""An SMTP host as a server: it listens, admits, and stops.

Purpose: own the socket and the set of connections. Shape: `start` binds and gives the address, `stop` says 421 to
everybody and closes. Failures: `OSError` when the address cannot be bound. Leaves to others: the dialogue.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from m365emu import replies
from m365emu.client_addresses import ClientAddresses
from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.hosts import FrontEnd, Role, SessionNumbers
from m365emu.journal import Journal, note_session
from m365emu.mailbox import MessageStore
from m365emu.smtp.connection import Connection
from m365emu.smtp.desk import Desk
from m365emu.smtp.session import Session
from m365emu.smtp.tls import Pump
from m365emu.statistics import Statistics

_BUFFER = 262_144


class SmtpHost:
    """Listens for submission, or as the MX, and keeps track of its connections."""

    def __init__(
        self,
        *,
        desk: Desk,
        directory: Directory,
        store: MessageStore,
        statistics: Statistics,
        clock: Clock,
        tls: Callable[[], Pump],
        addresses: ClientAddresses,
        journal: Journal,
        role: Role = "submission",
    ) -> None:
        self.desk = desk
        self.clock = clock
        self.tls = tls
        self.buffer = memoryview(bytearray(_BUFFER))
        self._directory = directory
        self._store = store
        self._statistics = statistics
        self._addresses = addresses
        self._journal = journal
        self._role: Role = role
        self._numbers = SessionNumbers(clock.now())
        self._connections: set[Connection] = set()
        self._from: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address that was bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=512)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Stop listening and end every connection with 421."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.refuse(replies.SERVICE_STOPS)
        await asyncio.sleep(0)  # lets the transports hand their last octets over
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)
        await self._server.wait_closed()

    def close_connections(self) -> int:
        """Cut every connection without a word, as a failing network does; return how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.abort()
        return len(connections)

    def new_session(self, client: str) -> Session:
        """Return a session of `client`, an address in text form, to which nothing has been said yet."""
        service, number = self._directory.tenant.service, self._numbers.take()
        front = FrontEnd(service=service, session_id=number, role=self._role)
        return Session(self.desk, front, client)

    def admit(self, connection: Connection, client: str) -> Session:
        """Open a session for a new connection, or refuse it when there are too many."""
        session, limits = self.new_session(self._addresses.seen(client)), self.desk.limits
        self._statistics.sessions["opened"] += 1
        if len(self._connections) >= limits.connections:
            session.refuse(replies.TOO_MANY_CONNECTIONS)
        elif self._from[session.client] >= (limits.connections_per_address or limits.connections):
            session.refuse(replies.TOO_MANY_FROM_ADDRESS)
        else:
            session.open()
        self._connections.add(connection)
        self._from[session.client] += 1
        return session

    def forget(self, connection: Connection) -> None:
        """A connection is gone; its transcript may leave memory."""
        self._connections.discard(connection)
        self._statistics.sessions["closed"] += 1
        session = connection.session
        self._from[session.client] -= 1
        if not self._from[session.client]:
            del self._from[session.client]
        self._store.session_ended(session.front.session_id)
        who = session.principal.mailbox if session.principal else session.claimed
        lines = session.transcript.lines()
        note_session(self._journal, at=self.clock.now(), client=session.client, who=who, lines=lines)
