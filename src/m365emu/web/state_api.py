"""Tenant, orders, journal and state for programs: JSON over plain HTTP.

Purpose: see and change everything while it runs. Shape: `StateApi.add_to` adds routes under `/api/`. A tenant that was
shown can be sent back whole: where `(hidden)` stands, the present secret stays.
Failures: `{"error": ...}` with 400, 404 or 415. Leaves to others: carrying out (`control`), messages (`api`).
"""

import msgspec
from aiohttp import web

from m365emu.scenario import ScenarioError, read_scenario, scenario_names
from m365emu.tenant import TenantError
from m365emu.web import orders
from m365emu.web.answers import json_answer, json_body, number, problem
from m365emu.web.control import Control
from m365emu.web.state import clock_of, scenario_of, state_of, without_secrets

_MOST_LISTED = 1_000


class StateApi:
    """The routes of the state."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the web application."""
        app.router.add_get("/api/statistics", self._report)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/clock", self._clock)
        app.router.add_get("/api/tenant", self._tenant)
        app.router.add_patch("/api/tenant", self._patch)
        app.router.add_put("/api/tenant", self._put)
        app.router.add_get("/api/control", self._orders)
        app.router.add_post("/api/control", self._order)
        app.router.add_get("/api/scenarios", self._scenarios)
        app.router.add_get("/api/scenario", self._scenario)
        app.router.add_get("/api/journal", self._journal)
        app.router.add_get("/api/journal/{number}", self._entry)

    async def _report(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._control.report())

    async def _state(self, request: web.Request) -> web.StreamResponse:
        return json_answer(state_of(self._control))

    async def _clock(self, request: web.Request) -> web.StreamResponse:
        return json_answer(clock_of(self._control.parts))

    async def _tenant(self, request: web.Request) -> web.StreamResponse:
        return json_answer(without_secrets(self._control.parts.directory.tenant))

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        try:
            tenant = self._control.patch(msgspec.json.decode(await json_body(request)))
        except (TenantError, msgspec.DecodeError) as error:
            raise problem(web.HTTPBadRequest, str(error)) from error
        return json_answer(without_secrets(tenant))

    async def _put(self, request: web.Request) -> web.StreamResponse:
        try:
            tenant = self._control.replace(msgspec.json.decode(await json_body(request)))
        except (TenantError, msgspec.DecodeError) as error:
            raise problem(web.HTTPBadRequest, str(error)) from error
        return json_answer(without_secrets(tenant))

    async def _orders(self, request: web.Request) -> web.StreamResponse:
        return json_answer({"orders": orders.described()})

    async def _order(self, request: web.Request) -> web.StreamResponse:
        try:
            return json_answer(self._control.carry_out(self._control.read(await json_body(request))))
        except (ValueError, TenantError, ScenarioError, msgspec.DecodeError) as error:
            raise problem(web.HTTPBadRequest, str(error)) from error

    async def _scenarios(self, request: web.Request) -> web.StreamResponse:
        tenant = self._control.parts.directory.tenant
        listed = []
        for name in scenario_names():
            try:
                listed.append({"name": name, "title": read_scenario(name, tenant).title})
            except ScenarioError as error:
                listed.append({"name": name, "title": f"(not for this tenant: {error})"})
        return json_answer({"scenarios": listed})

    async def _scenario(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("name", "")
        if name and name not in scenario_names():
            raise problem(web.HTTPNotFound, f"there is no scenario {name}")
        try:
            found = scenario_of(self._control, name)
        except ScenarioError as error:
            raise problem(web.HTTPBadRequest, str(error)) from error
        if found is None:
            raise problem(web.HTTPNotFound, "no scenario is played")
        return json_answer(found)

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        refused_only = request.query.get("refused", "") not in ("", "0", "false")
        entries = self._control.parts.journal.entries(refused_only=refused_only, who=request.query.get("who", ""))
        limit = min(_MOST_LISTED, number(request, "limit", 100))
        return json_answer({"total": len(entries), "entries": entries[:limit]})

    async def _entry(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["number"]
        entry = self._control.parts.journal.get(int(text)) if text.isascii() and text.isdigit() else None
        if entry is None:
            raise problem(web.HTTPNotFound, "there is no such entry, or no longer")
        return json_answer(entry)
