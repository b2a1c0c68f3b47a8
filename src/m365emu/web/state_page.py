"""The state as a page: clock, scenario, mailboxes with their limits, applications, faults.

Purpose: see at a glance why mail flows or does not, and move the clock by a button. Shape: `StatePages` adds the page,
the fidelity page, and the one route that takes orders from forms. A form carries a key that only our own pages know,
so a foreign page cannot give orders.
Failures: 403 for a form without the key, 400 for an order that cannot be followed. Leaves to others: reading the state
(`state`), carrying out (`control`).
"""

import hmac
import secrets
from html import escape
from typing import Any

import msgspec
from aiohttp import web

from m365emu.fidelity import FLAGS, read_fidelity
from m365emu.scenario import Finding, ScenarioError
from m365emu.tenant import TenantError
from m365emu.web.answers import problem
from m365emu.web.control import Control
from m365emu.web.layout import Frame, button, facts, moment, page
from m365emu.web.state import state_of

_STEPS: tuple[tuple[str, dict[str, object]], ...] = (
    ("+1 minute", {"action": "advance", "minutes": 1}),
    ("+1 hour", {"action": "advance", "hours": 1}),
    ("+1 day", {"action": "roll-day"}),
    ("+30 days", {"action": "advance", "days": 30}),
)
_BACK = ("/", "/state", "/journal")


class StatePages:
    """The routes of the state and of fidelity."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._key = secrets.token_urlsafe(24)

    def add_to(self, app: web.Application) -> None:
        """Add the pages to the web application."""
        app.router.add_get("/state", self._state)
        app.router.add_get("/fidelity", self._fidelity)
        app.router.add_post("/orders", self._order)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        state = state_of(self._control)
        body = "".join(
            (
                self._clock(state),
                _scenario(state["scenario"]),
                _tenant(state),
                _mailboxes(state["mailboxes"]),
                _applications(state["applications"]),
                self._faults(state["faults"]),
            )
        )
        return page(Frame(title="State", place="/state", now=self._control.parts.clock.now()), body)

    def _clock(self, state: dict[str, Any]) -> str:
        pace = "" if state["clock"]["speed"] == 1 else f", {state['clock']['speed']:g} times as fast as the machine"
        buttons = "".join(button(label, order, "/state", self._key) for label, order in _STEPS)
        return f"<h2>Clock</h2><p>{moment(state['clock']['now'])}{pace}</p><p>{buttons}</p>"

    def _faults(self, faults: list[dict[str, Any]]) -> str:
        buttons = button("Begin again: remove all mail, counts and faults", {"action": "reset"}, "/state", self._key)
        if not faults:
            return f"<h2>Faults on order</h2><p>None.</p><p>{buttons}</p>"
        rows = "".join(
            f"<tr><td>{escape(fault['stage'])}</td><td>{escape(fault['reply'] or '(the connection is dropped)')}</td>"
            f'<td>{escape(fault["mailbox"] or "everybody")}</td><td class="number">{fault["left"]}</td></tr>'
            for fault in faults
        )
        head = "<tr><th>Stage</th><th>Reply</th><th>For</th><th>Times left</th></tr>"
        clear = button("Call them off", {"action": "clear-faults"}, "/state", self._key)
        return f"<h2>Faults on order</h2><table>{head}{rows}</table><p>{clear}{buttons}</p>"

    async def _fidelity(self, request: web.Request) -> web.StreamResponse:
        fidelity = read_fidelity()
        rows = "".join(
            f"<tr><td>{escape(fact.topic)}</td><td>{escape(fact.what)}</td><td>{FLAGS[fact.flag]}</td>"
            f"<td>{escape(fact.switch)}</td></tr>"
            for fact in fidelity.facts
        )
        absent = "".join(f"<li>{escape(line)}</li>" for line in fidelity.absent)
        head = "<tr><th>Topic</th><th>What is played</th><th>How sure</th><th>Switch</th></tr>"
        body = f"<table>{head}{rows}</table><h2>Not emulated</h2><ul>{absent}</ul>"
        return page(Frame(title="Fidelity", place="/fidelity", now=self._control.parts.clock.now(), live=False), body)

    async def _order(self, request: web.Request) -> web.StreamResponse:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if not hmac.compare_digest(form.get("key", "").encode(), self._key.encode()):
            raise problem(web.HTTPForbidden, "the form is not one of this emulator's present pages")
        try:
            self._control.carry_out(self._control.read(form.get("order", "").encode()))
        except (ValueError, TenantError, ScenarioError, msgspec.DecodeError) as error:
            raise problem(web.HTTPBadRequest, str(error)) from error
        back = form.get("back", "")
        raise web.HTTPSeeOther(back if back in _BACK else "/state")


def _scenario(scenario: dict[str, Any] | None) -> str:
    if scenario is None:
        return ""
    findings: list[Finding] = scenario["findings"]
    rows = "".join(
        f'<tr><td>{escape(finding.what)}</td><td>{escape(finding.expected)}</td><td class="number">{finding.found}</td>'
        f'<td class="{"good" if finding.met else "bad"}">{"met" if finding.met else "not met"}</td></tr>'
        for finding in findings
    )
    head = "<tr><th>Count</th><th>Expected at the end</th><th>Now</th><th></th></tr>"
    name, title = escape(scenario["name"]), escape(scenario["title"])
    return f"<h2>Scenario {name}: {title}</h2><p>{escape(scenario['description'])}</p><table>{head}{rows}</table>"


def _tenant(state: dict[str, Any]) -> str:
    tenant = state["tenant"]
    switches = ", ".join(f"{name} = {value}" for name, value in state["changed_switches"].items())
    rows = {
        "Name": tenant["name"],
        "Id": tenant["id"],
        "Domains": ", ".join(tenant["domains"]),
        "Licences": f"{tenant['licences']}{', trial' if tenant['trial'] else ''}",
        "External recipients in 24 hours": f"{tenant['external_recipients_today']} of "
        f"{tenant['external_recipients_allowed']}",
        "Switches that were changed": switches or "none",
    }
    if tenant["others"]:
        rows["Other tenants"] = ", ".join(tenant["others"])
    return f"<h2>Tenant</h2>{facts(rows)}"


def _mailboxes(mailboxes: dict[str, dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(address)}</td><td>{escape(_condition(mailbox))}</td>"
        f'<td class="number">{mailbox["messages_this_minute"]} / {mailbox["messages_left_this_minute"]}</td>'
        f'<td class="number">{mailbox["recipients_today"]} / {mailbox["recipients_left_today"]}</td>'
        f'<td class="number">{mailbox["submissions_open"]} / {mailbox["submissions_allowed"]}</td></tr>'
        for address, mailbox in mailboxes.items()
    )
    head = (
        "<tr><th>Mailbox</th><th>Condition</th><th>Messages this minute / left</th>"
        "<th>Recipients in 24 hours / left</th><th>Submissions open / allowed</th></tr>"
    )
    return f"<h2>Mailboxes</h2><table>{head}{rows}</table>"


def _condition(mailbox: dict[str, Any]) -> str:
    words = [mailbox["kind"]]
    words += [mailbox["account"]] if mailbox["account"] != "enabled" else []
    words += [name for name in ("full", "restricted") if mailbox[name]]
    return ", ".join(words)


def _applications(applications: dict[str, dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(application['name'])}</td><td>{escape(client_id)}</td>"
        f"<td>{escape(', '.join([*application['roles'], *application['delegated']]))}</td>"
        f"<td>{escape(_ends(application))}</td></tr>"
        for client_id, application in applications.items()
    )
    head = "<tr><th>Application</th><th>Client id</th><th>Permissions</th><th>Secrets end</th></tr>"
    return f"<h2>Applications</h2><table>{head}{rows}</table>"


def _ends(application: dict[str, Any]) -> str:
    if application["public_client"]:
        return "public client, no secret"
    return ", ".join(moment(end) if end else "never" for end in application["secrets_end"]) or "no secret"
