"""Open a connection to an address.

Shape: `open_connection` takes an address, never a name: who resolves, decides which address comes next.
Failures: ``OSError``; a time-out is the ``TimeoutError`` among them.
Leaves to others: names (``deliver``), TLS (`Connection.start_tls`, from the handler).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from posthouse.net.connection import Connection
from posthouse.net.handler import Handler

H = TypeVar("H", bound=Handler)


async def open_connection(
    host_ip: str,
    port: int,
    *,
    handler: Callable[[], H],
    timeout: float,
    source_address: str | None = None,
) -> tuple[Connection, H]:
    """Connect.

    Args:
        host_ip: Textual IPv4 or IPv6 address.
        handler: Makes the handler; it is called once the loop has a socket to try.
        timeout: Seconds until the attempt is given up.
        source_address: Local address to connect from.

    Returns:
        The connection and its handler, which has been told `connected`.

    Raises:
        OSError: Refused, unreachable, or (``TimeoutError``) no answer in time.
    """
    loop = asyncio.get_running_loop()
    made: list[H] = []

    def make() -> Connection:
        made.append(handler())
        return Connection(made[0], loop)

    async with asyncio.timeout(timeout):
        _, connection = await loop.create_connection(
            make, host_ip, port, local_addr=(source_address, 0) if source_address else None
        )
    return connection, made[0]


def is_own_address(ip: str) -> bool:
    """Whether an address is one of this machine's: only those can be bound. `ip` is textual, without zone."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True
