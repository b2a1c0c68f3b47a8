"""The inbox for programs: JSON over plain HTTP.

Purpose: list, search, read and remove messages, show a message's parts and its session. A request may wait for
messages to arrive: `?at_least=2&wait_seconds=5`.
Shape: `InboxApi.add_to` adds routes under `/api/`. Folders are mailboxes, their Sent Items (`?folder=sent`),
`external` and `undeliverable`.
Failures: `{"error": ...}` with 400, 404 or 408. Leaves to others: tenant, orders and state (`state_api`), HTML
(`pages`).
"""

import asyncio

import msgspec
from aiohttp import web

from m365emu.directory import Directory
from m365emu.mailbox import EXTERNAL, UNDELIVERABLE, MessageStore, Record, sent_items
from m365emu.web.answers import SAFE_HEADERS, json_answer, number, problem
from m365emu.web.parsed import Parsed, parse, part_content
from m365emu.web.search import Search, matching, read_search

_MOST_LISTED = 1_000
_LONGEST_WAIT_SECONDS = 60.0


class InboxApi:
    """The routes of mailboxes and messages."""

    def __init__(self, directory: Directory, store: MessageStore) -> None:
        self._directory = directory
        self._store = store

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the web application."""
        app.router.add_get("/api/mailboxes", self._mailboxes)
        app.router.add_get("/api/mailboxes/{address}/messages", self._folder)
        app.router.add_get("/api/messages", self._all)
        app.router.add_delete("/api/messages", self._clear)
        app.router.add_get("/api/messages/{id}", self._message)
        app.router.add_get("/api/messages/{id}/raw", self._raw)
        app.router.add_get("/api/messages/{id}/parsed", self._parsed)
        app.router.add_get("/api/messages/{id}/parts/{number}", self._part)
        app.router.add_get("/api/messages/{id}/session", self._session)

    async def _mailboxes(self, request: web.Request) -> web.StreamResponse:
        count = self._store.count()
        mailboxes: list[dict[str, object]] = [
            {
                "address": address,
                "name": mailbox.name,
                "kind": "mailbox",
                "type": mailbox.kind,
                "messages": count[address],
                "sent": count[sent_items(address)],
            }
            for tenant in self._directory.tenants
            for address, mailbox in tenant.mailboxes.items()
        ]
        mailboxes += [
            {"address": folder, "name": "", "kind": "outbox", "messages": count[folder]}
            for folder in (EXTERNAL, UNDELIVERABLE)
        ]
        return json_answer({"mailboxes": mailboxes})

    async def _folder(self, request: web.Request) -> web.StreamResponse:
        folder = folder_named(self._directory, request.match_info["address"], request.query.get("folder", ""))
        return await self._listing(request, folder)

    async def _all(self, request: web.Request) -> web.StreamResponse:
        return await self._listing(request, None)

    async def _listing(self, request: web.Request, folder: str | None) -> web.StreamResponse:
        at_least = number(request, "at_least", 0)
        wait = min(_LONGEST_WAIT_SECONDS, float(number(request, "wait_seconds", 0)))
        limit = min(_MOST_LISTED, number(request, "limit", 100))
        try:
            search = read_search(request.query)
        except ValueError as error:
            raise problem(web.HTTPBadRequest, str(error)) from error
        records = await self._wait(folder, search, at_least, wait)
        return json_answer({"total": len(records), "messages": records[:limit]})

    async def _wait(self, folder: str | None, search: Search, at_least: int, seconds: float) -> list[Record]:
        """Return the messages that fit, newest first, once there are so many."""
        highest, records = self._store.highest_number, await self._found(folder, search)
        if len(records) >= at_least or not seconds:
            return records
        try:
            async with asyncio.timeout(seconds):
                while len(records) < at_least:
                    highest = await self._store.wait_beyond(highest)
                    records = await self._found(folder, search)
        except TimeoutError:
            raise problem(web.HTTPRequestTimeout, f"only {len(records)} of {at_least} messages came") from None
        return records

    async def _found(self, folder: str | None, search: Search) -> list[Record]:
        records = self._store.messages(folder)
        return await asyncio.to_thread(matching, search, records, self._store) if search.asks else records

    async def _message(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._wanted(request))

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        path = self._store.content_file(self._wanted(request).id)
        assert path is not None
        headers = {"Content-Type": "message/rfc822", "Content-Disposition": 'attachment; filename="message.eml"'}
        return web.FileResponse(path, headers=headers | SAFE_HEADERS)

    async def _parsed(self, request: web.Request) -> web.StreamResponse:
        parsed = await parsed_message(self._store, self._wanted(request))
        return json_answer(msgspec.to_builtins(parsed))

    async def _part(self, request: web.Request) -> web.StreamResponse:
        record, text = self._wanted(request), request.match_info["number"]
        place = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else -1
        found = await asyncio.to_thread(part_content, content_of(self._store, record), place)
        if found is None:
            raise problem(web.HTTPNotFound, "the message has no such part")
        part, octets = found
        name = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in part.filename)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name or "part"}"',
        }
        return web.Response(body=octets, headers=headers | SAFE_HEADERS)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        record = self._wanted(request)
        return json_answer({"session_id": record.session_id, "lines": self._store.dialogue(record.id)})

    async def _clear(self, request: web.Request) -> web.StreamResponse:
        return json_answer({"removed": self._store.clear()})

    def _wanted(self, request: web.Request) -> Record:
        record = self._store.get(request.match_info["id"])
        if record is None:
            raise problem(web.HTTPNotFound, "there is no such message")
        return record


def folder_named(directory: Directory, name: str, which: str) -> str:
    """Return the store's name of a folder: a mailbox, its Sent Items, or an outbox; raises 404 or 400."""
    name = name.lower()
    folder = name if name in (EXTERNAL, UNDELIVERABLE) else directory.resolve(name)
    if folder is None:
        raise problem(web.HTTPNotFound, "there is no such mailbox")
    if which not in ("", "inbox", "sent"):
        raise problem(web.HTTPBadRequest, "folder must be inbox or sent")
    return sent_items(folder) if which == "sent" else folder


def content_of(store: MessageStore, record: Record) -> bytes:
    """Return a message's octets; raises 404 when it was removed meanwhile."""
    path = store.content_file(record.id)
    try:
        return path.read_bytes() if path is not None else b""
    except OSError as error:
        raise problem(web.HTTPNotFound, "the message is gone") from error


async def parsed_message(store: MessageStore, record: Record) -> Parsed:
    """Take a message apart, beside the event loop."""
    return await asyncio.to_thread(parse, content_of(store, record))
