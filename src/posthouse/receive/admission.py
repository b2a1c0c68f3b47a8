"""Whether a connection is let in: before the banner, before TLS.

Source: RFC 5321 3.1 (421 or 554 in place of the banner), HAProxy's proxy-protocol.txt 2 (a trusted source must send the
header), RFC 8314 3 (TLS from the first octet).
Shape: `Arrival` is the first handler of every connection. It reads the PROXY header where one is due, counts the
connection, shakes hands where TLS comes first, and then hands the connection over to a `ServerSession`.
Failures: a refusal is one line and the end; on a TLS port nothing can be said before the handshake.
Leaves to others: the session (``receive.connection``), counts (``receive.quota``), bans (``receive.bans``).
"""

from __future__ import annotations

from ipaddress import ip_address

from posthouse.mail.reply import Reply
from posthouse.mail.session import TlsFacts
from posthouse.net.connection import Connection
from posthouse.net.contexts import CertificateProblem
from posthouse.net.handler import endpoint
from posthouse.receive.connection import ServerSession
from posthouse.receive.reception import Door, note_handshake
from posthouse.receive.wheel import Checked
from posthouse.wire.proxy import Incomplete, Invalid, ProxyHeader, parse_proxy

PROXY_SECONDS = 10.0


class Arrival:
    """A connection that is not a session yet.

    Attributes:
        slot: The wheel's.
    """

    __slots__ = ("_connection", "_door", "_early", "_is_counted", "slot")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: Connection | None = None
        self._early: bytes | None = None
        self._is_counted = False
        self.slot: set[Checked] | None = None

    def connected(self, connection: Connection) -> None:
        """Wait for the PROXY header, or go on at once."""
        self._connection = connection
        if self._door.settings.proxy_from and self._is_proxy(connection.peer.ip):
            self._early = b""
            self._door.reception.wheel.add(self, PROXY_SECONDS)
        else:
            self._admit(connection, b"")

    def received(self, data: memoryview | bytes) -> None:
        """Octets of the PROXY header; what comes behind it belongs to TLS or to the session."""
        connection = self._connection
        if self._early is None or connection is None:
            return
        self._early += data
        result = parse_proxy(self._early)
        if isinstance(result, Incomplete):
            return
        self._door.reception.wheel.remove(self)
        if isinstance(result, Invalid):
            self._note(connection.peer.ip, "connect", None, result.reason)
            connection.abort(result.reason)
            return
        if isinstance(result, ProxyHeader):
            connection.peer = endpoint((result.source_ip, result.source_port))
            connection.local = endpoint((result.destination_ip, result.destination_port))
        rest, self._early = self._early[result.octets :], None
        self._admit(connection, rest)

    def secured(self, facts: TlsFacts) -> None:
        """TLS from the first octet is done."""
        if self._connection is not None:
            self._open(self._connection, facts, b"")

    def writable(self) -> None:
        """Nothing waits to be written here."""

    def ended(self) -> None:
        """Nobody who says nothing is let in."""
        if self._connection is not None:
            self._connection.close()

    def closed(self, reason: str, error: Exception | None) -> None:
        """It ended before it became a session."""
        self._door.reception.wheel.remove(self)
        if self._is_counted and self._connection is not None:
            ip = self._connection.peer.ip
            self._door.leave(ip, None)
            note_handshake(self._door, ip, reason)

    def check(self, now: float) -> float | None:
        """The PROXY header did not come."""
        if self._connection is not None:
            self._connection.abort("no PROXY header came")
        return None

    def _admit(self, connection: Connection, rest: bytes) -> None:
        door = self._door
        refusal = door.enter(connection.peer.ip)
        if refusal is not None:
            self._turn_away(connection, refusal)
            return
        self._is_counted = True
        if door.settings.tls != "implicit":
            self._open(connection, None, rest)
            return
        try:
            connection.start_tls(door.tls_context(), server_side=True, received=rest)
        except CertificateProblem as problem:
            connection.abort(str(problem))

    def _open(self, connection: Connection, facts: TlsFacts | None, rest: bytes) -> None:
        self._connection = None
        session = ServerSession(self._door, connection, facts)
        connection.hand_over(session)
        if rest:
            session.received(rest)

    def _turn_away(self, connection: Connection, reply: Reply) -> None:
        self._door.reception.statistics.refused_connections += 1
        self._note(connection.peer.ip, "connect", reply, reply.text)
        if self._door.settings.tls == "implicit":
            connection.abort("refused")
        else:
            connection.write(reply.encode())
            connection.close()

    def _note(self, ip: str, stage: str, reply: Reply | None, reason: str) -> None:
        self._door.reception.refused(
            {
                "stage": stage,
                "reply": str(reply) if reply is not None else None,
                "reason": reason,
                "peer": ip,
                "listener": self._door.settings.name,
            }
        )

    def _is_proxy(self, ip: str) -> bool:
        address = ip_address(ip)
        return any(address.version == n.version and address in n for n in self._door.settings.proxy_from)
