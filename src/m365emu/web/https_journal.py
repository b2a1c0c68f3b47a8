"""Requests to the token endpoint and to Graph, noted in the journal.

Purpose: show why a token or a message by Graph was refused. Shape: an aiohttp middleware around the HTTPS server; it
reads what the parts answered and knows nothing of how they decide. Failures: none, a body that cannot be read is not
noted. Leaves to others: the answers (`authority`, `graph`). Secrets, assertions, codes and tokens are masked.
"""

import base64
import binascii
from typing import Any

import msgspec
from aiohttp import web

from m365emu.clock import Clock
from m365emu.journal import Door, Journal

_SHOWN = ("grant_type", "client_id", "scope", "username")
_QUIET = ("/openid-configuration", "/keys")


def journal_middleware(journal: Journal, clock: Clock) -> Any:
    """Return the middleware."""

    @web.middleware
    async def keep(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            await _note(journal, clock, request, error)
            raise
        await _note(journal, clock, request, response)
        return response

    return keep


async def _note(journal: Journal, clock: Clock, request: web.Request, response: web.StreamResponse) -> None:
    if response.status < 400 and request.path.endswith(_QUIET):
        return
    door: Door = "graph" if request.path.startswith(("/v1.0", "/beta")) else "entra"
    fields = await _form(request)
    reason = f"{response.status} {_error(response)}".strip() if response.status >= 400 else ""
    shown = [f"{name}: {fields[name] if name in _SHOWN else '****'}" for name in fields]
    journal.add(
        at=clock.now(),
        door=door,
        client=request.remote or "",
        who=fields.get("client_id") or _bearer(request.headers.get("Authorization", "")),
        what=f"{request.method} {request.path}",
        outcome=str(response.status),
        reason=reason,
        lines=[f"{request.method} {request.path}"[:500], *shown[:30], f"{response.status} {reason[4:]}".strip()],
    )


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        return {name: value[:320] for name, value in (await request.post()).items() if isinstance(value, str)}
    except (ValueError, web.HTTPException, ConnectionError):
        return {}


def _error(response: web.StreamResponse) -> str:
    """Return the sentence in Entra's or Graph's JSON form of an error."""
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes):
        return response.reason or ""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:300].decode("utf-8", "replace")
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        return f"{error.get('code', '')}: {error.get('message', '')}"
    return str(document.get("error_description", error)) if isinstance(document, dict) else ""


def _bearer(header: str) -> str:
    """Return whom a bearer token names, for display only: nothing is verified here."""
    parts = header.partition(" ")[2].split(".")
    if len(parts) != 3 or len(parts[1]) > 20_000:
        return ""
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return ""
    known = claims if isinstance(claims, dict) else {}
    return str(known.get("upn") or known.get("appid") or "")
