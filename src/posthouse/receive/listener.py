"""One address that takes connections.

Shape: `Listener.open` binds and accepts, `Listener.close` stops accepting; sessions that run are not touched.
Failures: `ListenProblem`, a sentence that names the address and what to do about it.
Leaves to others: everything after the connection stands (``receive.admission``).
"""

from __future__ import annotations

import asyncio
import errno

from posthouse.net.connection import Connection
from posthouse.net.handler import Endpoint, endpoint
from posthouse.receive.admission import Arrival
from posthouse.receive.reception import Door

BACKLOG = 2048
"""Connections that the system keeps until we accept them."""

_MEANINGS = {
    errno.EADDRINUSE: "the port is in use by another program",
    errno.EACCES: "ports below 1024 need the right to bind them (root, or CAP_NET_BIND_SERVICE)",
    errno.EPERM: "the system does not permit it",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EAFNOSUPPORT: "this machine does not speak that kind of address (IPv6 is switched off?)",
}


class ListenProblem(Exception):
    """A listener cannot be opened."""


class Listener:
    """One listening socket, or one for each address of a name.

    Attributes:
        door: What its sessions share.
    """

    __slots__ = ("_server", "door")

    def __init__(self, door: Door) -> None:
        self.door = door
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to accept.

        Raises:
            ListenProblem: The address cannot be bound.
        """
        door, loop = self.door, asyncio.get_running_loop()
        host, port = split_address(door.settings.address)
        try:
            self._server = await loop.create_server(
                lambda: Connection(Arrival(door), loop), host, port, backlog=BACKLOG, reuse_address=True
            )
        except OSError as error:
            meaning = _MEANINGS.get(error.errno or 0) or (error.strerror or str(error)).lower()
            raise ListenProblem(
                f"listener {door.settings.name!r}: cannot listen on {door.settings.address}: {meaning}"
            ) from error

    @property
    def addresses(self) -> list[Endpoint]:
        """Where it listens; the port is the real one where 0 was asked for."""
        sockets = self._server.sockets if self._server is not None else ()
        return [endpoint(socket.getsockname()) for socket in sockets]

    def close(self) -> None:
        """Accept no more. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None


def split_address(text: str) -> tuple[str, int]:
    """``host:port`` of the settings; brackets around an IPv6 address are taken off."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
