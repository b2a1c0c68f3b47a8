"""What all answers over plain HTTP have in common.

Purpose: JSON bodies, refusals, safe header fields, and the checks that keep foreign web pages out. Shape: small
functions and two middlewares. Requests that change something must come as JSON or as DELETE, which a page of a
foreign site cannot send; a host name that could be rebound by a foreign name server is refused.
Failures: `{"error": ...}` with 400, 403, 404, 408, 415. Leaves to others: what is answered (`api`, `state`).
"""

import ipaddress
from typing import Any

import msgspec
from aiohttp import web

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
    "sandbox allow-downloads",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Sent with every answer: nothing that a message holds can run, or load anything."""

_LOCAL_ENDINGS = (".localhost", ".local", ".internal", ".localdomain", ".test", ".example")


def json_answer(body: object, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    octets = msgspec.json.encode(body)
    return web.Response(body=octets, status=status, content_type="application/json", headers=SAFE_HEADERS)


def problem(kind: type[web.HTTPException], text: str) -> web.HTTPException:
    """Return a refusal to raise; what is wrong reaches the client as `error`."""
    return kind(text=text)


async def json_body(request: web.Request) -> bytes:
    """Return the body of a request that came as JSON."""
    if request.content_type != "application/json":
        raise problem(web.HTTPUnsupportedMediaType, "the body must be application/json")
    return await request.read()


def number(request: web.Request, name: str, default: int) -> int:
    """Return a whole number from the query."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise problem(web.HTTPBadRequest, f"{name} must be a whole number")
    return int(text)


@web.middleware
async def errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn a refusal into JSON."""
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return json_answer({"error": error.text or error.reason}, status=error.status)
    return response


@web.middleware
async def local_names_only(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse a Host that a stranger's name server could have pointed here (DNS rebinding)."""
    if not _is_local(request.host):
        raise problem(web.HTTPForbidden, "use an IP address, localhost, or a name without a public domain")
    response: web.StreamResponse = await handler(request)
    return response


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower().rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_LOCAL_ENDINGS)
    return True
