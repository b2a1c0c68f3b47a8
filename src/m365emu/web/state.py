"""The state of the emulator at a glance, as plain values.

Purpose: what the state page shows and `GET /api/state` answers: the tenant, what each mailbox used of its limits,
faults on order, the clock, the scenario. Shape: `state_of` reads it all off the parts. Failures: none.
Leaves to others: how it looks (`state_page`), changing it (`control`).
"""

from typing import Any

import msgspec

from m365emu.clock import OffsetClock
from m365emu.tenant import Mailbox, Switches, Tenant
from m365emu.web.control import HIDDEN, Control, Parts


def state_of(control: Control) -> dict[str, Any]:
    """Return everything as plain values."""
    parts = control.parts
    tenant = parts.directory.tenant
    return {
        "clock": clock_of(parts),
        "scenario": scenario_of(control),
        "tenant": {
            "id": tenant.id,
            "name": tenant.name,
            "domains": list(tenant.domains),
            "licences": tenant.licences,
            "trial": tenant.trial,
            "external_recipients_today": parts.post.external_recipients_used(tenant),
            "external_recipients_allowed": tenant.external_recipients_per_day,
            "others": [other.name for other in tenant.others.values()],
        },
        "changed_switches": _changed(tenant.switches),
        "mailboxes": {
            address: _mailbox(parts, address, mailbox)
            for one in parts.directory.tenants
            for address, mailbox in one.mailboxes.items()
        },
        "applications": {client_id: _application(tenant, client_id) for client_id in tenant.applications},
        "faults": [{**msgspec.to_builtins(fault), "left": left} for fault, left in parts.faults.on_order()],
    }


def clock_of(parts: Parts) -> dict[str, Any]:
    """Return the present moment and the pace."""
    return {"now": parts.clock.now(), "speed": parts.clock.speed if isinstance(parts.clock, OffsetClock) else 1.0}


def scenario_of(control: Control, name: str = "") -> dict[str, Any] | None:
    """Return what is played, or another scenario, with each expectation beside what is there."""
    if control.scenario is None and not name:
        return None
    found = control.findings(name)
    return {
        "name": name or control.scenario_name,
        "title": control.scenario.title if control.scenario and not name else "",
        "description": control.scenario.description.strip() if control.scenario and not name else "",
        "findings": found,
        "met": all(finding.met for finding in found),
    }


def without_secrets(tenant: Tenant) -> Any:
    """Return the whole tenant as plain values, secrets hidden."""
    return _hide(msgspec.to_builtins(tenant))


def _hide(document: Any) -> Any:
    for mailbox in document["mailboxes"].values():
        mailbox["password"] = HIDDEN
    for application in document["applications"].values():
        for secret in application["secrets"]:
            secret["value"] = HIDDEN
    for other in document["others"].values():
        _hide(other)
    return document


def _changed(switches: Switches) -> dict[str, Any]:
    """Return the switches that differ from their defaults."""
    defaults = msgspec.to_builtins(Switches())
    return {name: value for name, value in msgspec.to_builtins(switches).items() if value != defaults[name]}


def _mailbox(parts: Parts, address: str, mailbox: Mailbox) -> dict[str, Any]:
    now, limits = parts.clock.now(), parts.directory.limits_of(address)
    minute, day = parts.desk.rate.used(address, now), parts.desk.quota.used(address, now)
    locked = mailbox.account == "locked" or parts.lockout.is_locked_now(address, now)
    return {
        "name": mailbox.name,
        "kind": mailbox.kind,
        "account": "locked" if locked else mailbox.account,
        "full": mailbox.full,
        "restricted": mailbox.restricted,
        "messages_this_minute": minute,
        "messages_left_this_minute": max(0, limits.messages_per_minute - minute),
        "recipients_today": day,
        "recipients_left_today": max(0, limits.recipients_per_day - day),
        "submissions_open": parts.desk.open.under_way(address),
        "submissions_allowed": limits.concurrent_submissions,
    }


def _application(tenant: Tenant, client_id: str) -> dict[str, Any]:
    application = tenant.applications[client_id]
    return {
        "name": application.name,
        "roles": list(application.roles),
        "delegated": list(application.delegated),
        "consent": application.consent,
        "public_client": application.public_client,
        "secrets_end": [secret.expires for secret in application.secrets],
        "certificates": len(application.certificates),
    }
