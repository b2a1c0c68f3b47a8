"""The end of a node as a power failure brings it, inside a process that lives on.

What is on disk stays. What was not yet committed is lost, every connection is cut, and no task says or writes another
word: first the store takes nothing more, then the sockets go, then the tasks.
"""

from __future__ import annotations

import asyncio
from typing import Any

from posthouse.service.node import Node


async def crash(loop: asyncio.AbstractEventLoop, node: Node) -> None:
    """End a node."""
    writer = node.store.writer
    writer._closing = True
    writer._waiting.clear()
    writer._bell.put(None)
    for transport in list(loop._transports.values()):  # type: ignore[attr-defined]
        if _is_ours(transport):
            transport.abort()
    while tasks := [task for task in asyncio.all_tasks() if _is_of_node(task)]:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.01)
    await node.drain()


def _is_ours(transport: Any) -> bool:
    protocol = transport.get_protocol()
    # TLS stands between the socket and who uses it.
    protocol = getattr(protocol, "_app_protocol", protocol)
    owner = (getattr(protocol, "_stream_reader", None) and getattr(protocol, "_client_connected_cb", None)) or protocol
    return type(owner).__module__.startswith("posthouse")


def _is_of_node(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "/posthouse/" in code.co_filename
