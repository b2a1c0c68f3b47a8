"""Following what happens, as it happens.

Purpose: tell browsers and programs of each message and each session or request. Source: "Server-sent events" of the
HTML standard. Shape: `GET /api/events` is a stream of `message` and `journal` events with JSON data. Who reads too
slowly misses events; nobody is waited for. Failures: none. Leaves to others: what the events say (`mailbox`,
`journal`).
"""

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from m365emu.journal import Entry, Journal
from m365emu.mailbox import MessageStore, Record

_MOST_WAITING = 500
_MOST_FOLLOWERS = 100
_HEARTBEAT_SECONDS = 15


class Events:
    """The stream of events."""

    def __init__(self, store: MessageStore, journal: Journal) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()
        store.followers.append(self._message)
        journal.followers.append(self._entry)

    def add_to(self, app: web.Application) -> None:
        """Add the route to the web application."""
        app.router.add_get("/api/events", self._stream)
        app.on_shutdown.append(self._end)

    def _message(self, record: Record) -> None:
        self._publish("message", record)

    def _entry(self, entry: Entry) -> None:
        self._publish("journal", msgspec.structs.replace(entry, lines=[]))

    def _publish(self, kind: str, told: Record | Entry) -> None:
        if not self._queues:
            return
        data = msgspec.json.encode(told)
        for queue in self._queues:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(b"event: %s\ndata: %s\n\n" % (kind.encode(), data))

    async def _end(self, app: web.Application) -> None:
        for queue in self._queues:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(b"")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._queues) >= _MOST_FOLLOWERS:
            raise web.HTTPServiceUnavailable(text="too many follow already")
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
        self._queues.add(queue)
        try:
            await response.write(b": m365emu\n\n")
            while data := await _next(queue):
                await response.write(data)
        except ConnectionError:
            pass
        finally:
            self._queues.discard(queue)
        return response


async def _next(queue: asyncio.Queue[bytes]) -> bytes:
    """Return what comes next: an event, a sign of life after a while, or nothing at the end."""
    try:
        async with asyncio.timeout(_HEARTBEAT_SECONDS):
            return await queue.get()
    except TimeoutError:
        return b": still here\n\n"
