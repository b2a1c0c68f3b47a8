"""Requests read and JSON answers written, within bounds.

Purpose: what the handlers of Entra's endpoints share. Source: RFC 6749 3.1 (a parameter must not come twice; the
first counts here), RFC 7617. Shape: functions over aiohttp's requests. Failures: `HTTPRequestEntityTooLarge` for a
body beyond `MOST_OCTETS`; anything that is not a form reads as an empty one.
"""

import base64
import binascii
import uuid
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from aiohttp import web

MOST_OCTETS = 65_536
_MOST_FIELDS = 200
_FORM = "application/x-www-form-urlencoded"


async def read_fields(request: web.Request) -> dict[str, str]:
    """Return the fields of a form, of each the first."""
    if request.content_type != _FORM:
        return {}
    body = await request.read()
    if len(body) > MOST_OCTETS:
        raise web.HTTPRequestEntityTooLarge(max_size=MOST_OCTETS, actual_size=len(body))
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def read_query(request: web.Request) -> dict[str, str]:
    """Return the parameters of the address, of each the first."""
    return {name: request.query[name] for name in request.query}


def basic_credentials(header: str) -> dict[str, str]:
    """Read client id and secret from HTTP Basic authentication (RFC 6749 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": unquote_plus(user), "client_secret": unquote_plus(password)}


def correlation_id(request: web.Request) -> str:
    """Return the id that the client gave its request, or a new one."""
    try:
        return str(uuid.UUID(request.headers.get("client-request-id", "")))
    except ValueError:
        return str(uuid.uuid4())


def json_answer(body: object, status: int = 200) -> web.Response:
    """Return an answer that must not be stored."""
    headers = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers)
