"""The inbox for programs: JSON over plain HTTP.

Purpose: list, read and remove messages, show a message's session, report statistics, take orders.
Shape: an aiohttp application; the HTML pages are added by `web.pages`. Requests that change something must come
as JSON or as DELETE, which a page of a foreign web site cannot send. A request may wait for messages to arrive:
`?at_least=2&wait_seconds=5`.
Failures: `{"error": ...}` with 400, 404, 408 or 415. Leaves to others: carrying orders out (`web.control`).
"""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from m365emu.directory import Directory
from m365emu.mailbox import EXTERNAL, UNDELIVERABLE, MessageStore, Record
from m365emu.tenant import Tenant, TenantError
from m365emu.web.control import Control

_MOST_LISTED = 1_000
_LONGEST_WAIT_SECONDS = 60.0
_HIDDEN = "(hidden)"


class InboxApi:
    """The routes under `/api/`."""

    def __init__(self, directory: Directory, store: MessageStore, control: Control) -> None:
        self._directory = directory
        self._store = store
        self._control = control

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[_errors_as_json], client_max_size=262_144)
        app.router.add_get("/api/mailboxes", self._mailboxes)
        app.router.add_get("/api/mailboxes/{address}/messages", self._folder)
        app.router.add_get("/api/messages", self._all)
        app.router.add_delete("/api/messages", self._clear)
        app.router.add_get("/api/messages/{id}", self._message)
        app.router.add_get("/api/messages/{id}/raw", self._raw)
        app.router.add_get("/api/messages/{id}/session", self._session)
        app.router.add_get("/api/statistics", self._report)
        app.router.add_get("/api/tenant", self._tenant)
        app.router.add_patch("/api/tenant", self._patch)
        app.router.add_post("/api/control", self._order)
        return app

    async def _mailboxes(self, request: web.Request) -> web.StreamResponse:
        count = self._store.count()
        tenant = self._directory.tenant
        mailboxes = [
            {"address": address, "name": mailbox.name, "kind": "mailbox", "messages": count[address]}
            for address, mailbox in tenant.mailboxes.items()
        ]
        mailboxes += [
            {"address": folder, "name": "", "kind": "outbox", "messages": count[folder]}
            for folder in (EXTERNAL, UNDELIVERABLE)
        ]
        return _json({"mailboxes": mailboxes})

    async def _folder(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["address"].lower()
        folder = name if name in (EXTERNAL, UNDELIVERABLE) else self._directory.resolve(name)
        if folder is None:
            raise _problem(web.HTTPNotFound, "there is no such mailbox")
        return await self._listing(request, folder)

    async def _all(self, request: web.Request) -> web.StreamResponse:
        return await self._listing(request, None)

    async def _listing(self, request: web.Request, folder: str | None) -> web.StreamResponse:
        at_least = _number(request, "at_least", 0)
        wait = min(_LONGEST_WAIT_SECONDS, float(_number(request, "wait_seconds", 0)))
        limit = min(_MOST_LISTED, _number(request, "limit", 100))
        records = self._store.messages(folder)
        if len(records) < at_least and wait:
            try:
                async with asyncio.timeout(wait):
                    records = await self._store.wait_for(folder, at_least)
            except TimeoutError:
                found = len(self._store.messages(folder))
                raise _problem(web.HTTPRequestTimeout, f"only {found} of {at_least} messages came") from None
        return _json({"total": len(records), "messages": records[:limit]})

    async def _message(self, request: web.Request) -> web.StreamResponse:
        return _json(self._wanted(request))

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        path = self._store.content_file(self._wanted(request).id)
        assert path is not None
        headers = {"Content-Type": "message/rfc822", "Content-Disposition": 'attachment; filename="message.eml"'}
        return web.FileResponse(path, headers=headers | SAFE_HEADERS)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        record = self._wanted(request)
        return _json({"session_id": record.session_id, "lines": self._store.dialogue(record.id)})

    async def _clear(self, request: web.Request) -> web.StreamResponse:
        return _json({"removed": self._store.clear()})

    async def _report(self, request: web.Request) -> web.StreamResponse:
        return _json(self._control.report())

    async def _tenant(self, request: web.Request) -> web.StreamResponse:
        return _json(_without_secrets(self._directory.tenant))

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        try:
            tenant = self._control.patch(msgspec.json.decode(await _json_body(request)))
        except (TenantError, msgspec.DecodeError) as error:
            raise _problem(web.HTTPBadRequest, str(error)) from error
        return _json(_without_secrets(tenant))

    async def _order(self, request: web.Request) -> web.StreamResponse:
        try:
            return _json(self._control.carry_out(self._control.read(await _json_body(request))))
        except (ValueError, msgspec.DecodeError) as error:
            raise _problem(web.HTTPBadRequest, str(error)) from error

    def _wanted(self, request: web.Request) -> Record:
        record = self._store.get(request.match_info["id"])
        if record is None:
            raise _problem(web.HTTPNotFound, "there is no such message")
        return record


SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
    "sandbox allow-downloads",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Sent with every answer: nothing that a message holds can run, or load anything."""


@web.middleware
async def _errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _json({"error": error.text or error.reason}, status=error.status)
    return response


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", headers=SAFE_HEADERS
    )


def _problem(kind: type[web.HTTPException], text: str) -> web.HTTPException:
    return kind(text=text)


async def _json_body(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise _problem(web.HTTPUnsupportedMediaType, "the body must be application/json")
    return await request.read()


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise _problem(web.HTTPBadRequest, f"{name} must be a whole number")
    return int(text)


def _without_secrets(tenant: Tenant) -> Any:
    return _hide(msgspec.to_builtins(tenant))


def _hide(document: Any) -> Any:
    for mailbox in document["mailboxes"].values():
        mailbox["password"] = _HIDDEN
    for application in document["applications"].values():
        for secret in application["secrets"]:
            secret["value"] = _HIDDEN
    for other in document["others"].values():
        _hide(other)
    return document
