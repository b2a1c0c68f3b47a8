"""What an idle connection costs: open many, say EHLO on each, and see how much memory the server gained."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket

from bench.load import BenchFailed
from bench.peers import Running
from bench.processes import memory_octets

_RESERVE = 200
_AT_ONCE = 100


def raise_file_limit() -> int:
    """Raise this process's limit of open files, which its children inherit; the limit then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 20_000), max(hard, 20_000)))
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard, 1 << 20)


def octets_per_connection(server: Running, wanted: int) -> tuple[int, float]:
    """Open up to ``wanted`` connections.

    Returns:
        How many were open together, and the octets of memory the server gained for each.
    """
    count = min(wanted, raise_file_limit() - _RESERVE)
    connections: list[socket.socket] = []
    try:
        _open(server.port, min(20, count), connections)
        first, before = len(connections), memory_octets(server.pid)
        while len(connections) < count:
            _open(server.port, min(_AT_ONCE, count - len(connections)), connections)
        gained = memory_octets(server.pid) - before
        return len(connections), gained / (count - first)
    finally:
        for connection in connections:
            connection.close()


def _open(port: int, count: int, connections: list[socket.socket]) -> None:
    """Open some more, each greeted and answered its EHLO."""
    fresh = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    connections += fresh
    for step, code in ((b"EHLO idle.test\r\n", b"220"), (b"", b"250")):
        with selectors.DefaultSelector() as selector:
            for connection in fresh:
                selector.register(connection, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(30)
                if not ready:
                    raise BenchFailed("a connection was not answered within 30 s")
                for key, _ in ready:
                    _answer(key.fileobj, step, code)
                    selector.unregister(key.fileobj)


def _answer(connection: object, step: bytes, code: bytes) -> None:
    assert isinstance(connection, socket.socket)
    reply = connection.recv(4096)
    if not reply.startswith(code):
        raise BenchFailed(f"expected {code!r}, got {reply!r}")
    connection.sendall(step)
