"""The pages over HTTP.

Purpose: serve sign-in and device log-in to browsers. Source: "OAuth 2.0 Form Post Response Mode", RFC 6749 4.1.2.
Shape: aiohttp handlers around `SignIns`; the session is a cookie for this host. Pages may run no script but the one
that hands a form on, load nothing, and cannot be framed.
Failures: none rise. Leaves to others: the steps (`sign_in`).
"""

import secrets
from urllib.parse import urlencode

from aiohttp import web

from m365emu.entra import pages
from m365emu.entra.grants import Grants
from m365emu.entra.requests import read_fields, read_query
from m365emu.entra.sign_in import SignIns
from m365emu.entra.visits import Page, WayBack
from m365emu.statistics import Statistics

COOKIE = "m365emu-session"


class SignInRoutes:
    """The routes that a browser asks for."""

    def __init__(self, sign_ins: SignIns, grants: Grants, statistics: Statistics) -> None:
        self._sign_ins = sign_ins
        self._grants = grants
        self._statistics = statistics

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/{tenant}/oauth2/v2.0/authorize", self._authorize)
        app.router.add_post("/{tenant}/oauth2/v2.0/authorize", self._authorize)
        app.router.add_post("/{tenant}/login", self._login)
        for path in ("/{tenant}/v2.0/adminconsent", "/{tenant}/adminconsent"):
            app.router.add_get(path, self._consent_for_everybody)
        app.router.add_get("/{tenant}/oauth2/v2.0/logout", self._logout)
        for path in ("/devicelogin", "/common/oauth2/deviceauth"):
            app.router.add_get(path, self._ask_code)
            app.router.add_post(path, self._take_code)

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request) if request.method == "GET" else await read_fields(request)
        cookie = request.cookies.get(COOKIE, "")
        return self._show(self._sign_ins.begin(request.match_info["tenant"], query, cookie))

    async def _consent_for_everybody(self, request: web.Request) -> web.StreamResponse:
        cookie = request.cookies.get(COOKIE, "")
        step = self._sign_ins.begin_for_everybody(request.match_info["tenant"], read_query(request), cookie)
        return self._show(step)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        return self._show(self._sign_ins.proceed(await read_fields(request)))

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        response = _html(pages.message_page("Signed out", "You may close this window."), 200)
        response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        return response

    async def _ask_code(self, request: web.Request) -> web.StreamResponse:
        return _html(pages.device_code_page(read_query(request).get("otc", "")[:32], wrong=False), 200)

    async def _take_code(self, request: web.Request) -> web.StreamResponse:
        user_code = (await read_fields(request)).get("user_code", "")[:32]
        device = self._grants.device_for(user_code)
        if device is None:
            return _html(pages.device_code_page(user_code, wrong=True), 200)
        return self._show(self._sign_ins.begin_device(device))

    def _show(self, step: Page | WayBack) -> web.Response:
        if step.error is not None:
            self._statistics.tokens[f"AADSTS{step.error.number}"] += 1
        response = _html(step.html, step.status) if isinstance(step, Page) else _way_back(step)
        if step.session:
            response.set_cookie(COOKIE, step.session, path="/", secure=True, httponly=True, samesite="Lax")
        return response


def _way_back(step: WayBack) -> web.Response:
    if step.mode == "form_post":
        nonce = secrets.token_urlsafe(16)
        return _html(pages.posted_page(step.uri, step.fields, nonce), 200, f"script-src 'nonce-{nonce}'")
    base = step.uri.partition("#")[0]
    separator = "#" if step.mode == "fragment" else "&" if "?" in base else "?"
    location = f"{base}{separator}{urlencode(step.fields)}"
    return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})


def _html(text: str, status: int, script: str = "script-src 'none'") -> web.Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; {script}; frame-ancestors 'none'; "
        "base-uri 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
