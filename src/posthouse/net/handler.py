"""Who is told what happens to a connection, and how its ends are named.

Shape: `Handler` is the port that ``receive`` and ``deliver`` fill; `Endpoint` is one end of a socket.
Leaves to others: calling it (``net.connection``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from posthouse.mail.session import TlsFacts

if TYPE_CHECKING:
    from posthouse.net.connection import Connection

LOCAL, REMOTE = "local", "remote"
"""Reasons of `Handler.closed` for ordinary ends, by who ended."""


class Endpoint(NamedTuple):
    """One end of a connection; the address is textual, without zone, IPv4 where IPv6 only wraps it."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Handler(Protocol):
    """Who is told what happens. Calls come from the event loop, one at a time, `connected` first, `closed` last."""

    def connected(self, connection: Connection) -> None:
        """The socket is open."""

    def received(self, data: memoryview | bytes) -> None:
        """Octets came (decrypted). `data` is valid only during the call: copy what is kept."""

    def secured(self, facts: TlsFacts) -> None:
        """The TLS handshake is done."""

    def writable(self) -> None:
        """The peer reads again, after `Connection.is_writable` was False."""

    def ended(self) -> None:
        """The peer will send no more (half-close); it may still read. Call `Connection.close` when all is said."""

    def closed(self, reason: str, error: Exception | None) -> None:
        """The connection is gone.

        Args:
            reason: `LOCAL`, `REMOTE`, or a short sentence.
            error: What the socket or TLS said, if it was a failure.
        """


def endpoint(name: object) -> Endpoint:
    """An end as the socket names it; of a Unix socket, an empty address."""
    if not isinstance(name, tuple) or len(name) < 2:
        return Endpoint("", 0)
    ip = str(name[0]).partition("%")[0]
    if ip.startswith("::ffff:") and "." in ip:
        ip = ip[7:]
    return Endpoint(ip, int(name[1]))


class _Nobody:
    """Stands in for the handler once it has been told of the end, so that the two no longer hold each other."""

    __slots__ = ()

    def connected(self, connection: Connection) -> None:
        pass

    def received(self, data: memoryview | bytes) -> None:
        pass

    def secured(self, facts: TlsFacts) -> None:
        pass

    def writable(self) -> None:
        pass

    def ended(self) -> None:
        pass

    def closed(self, reason: str, error: Exception | None) -> None:
        pass


NOBODY = _Nobody()
