"""Carrying out the orders that change the weather while the emulator runs.

Purpose: one place that does what a test, a scenario or a person asks for. Shape: `Control.carry_out` does an order and
says in plain values what came of it; `patch` and `replace` change the tenant; `report` gives the statistics.
Failures: `TenantError`, `ScenarioError`, `ValueError` and `msgspec.ValidationError` for orders that cannot be
followed. Leaves to others: HTTP (`web.api`), what the orders are (`web.orders`).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, assert_never

import msgspec

from m365emu.client_addresses import ClientAddresses
from m365emu.client_certificates import client_certificates, issue_app_certificate
from m365emu.clock import Clock, ManualClock, OffsetClock
from m365emu.directory import Directory
from m365emu.faults import Faults
from m365emu.graph.service import Graph
from m365emu.headers import read_head
from m365emu.journal import Journal
from m365emu.limits import Lockout, MessageRate
from m365emu.mailbox import MessageStore
from m365emu.post import Parcel, Post
from m365emu.scenario import Finding, Scenario, findings, read_scenario, scenario_names, start_time_line
from m365emu.smtp.content import Content
from m365emu.statistics import Statistics
from m365emu.submission import SubmissionDesk
from m365emu.tenant import Tenant, patched, tenant_from_document
from m365emu.tokens import TokenMaker
from m365emu.web import orders
from m365emu.web.orders import Order, read_order

HIDDEN = "(hidden)"
"""Stands for a secret in what is shown; in what is read it means the present one."""

_DAY = timedelta(days=1)


class Connections(Protocol):
    """Whoever holds open SMTP connections."""

    def close_connections(self) -> int:
        """Cut them all; return how many there were."""


class RefreshTokens(Protocol):
    """Whoever keeps refresh tokens."""

    def revoke_all(self) -> int:
        """Make them all worthless; return how many there were."""


@dataclass(slots=True, kw_only=True)
class Parts:
    """What can be changed while it runs."""

    home: Path
    directory: Directory
    desk: SubmissionDesk
    mx_rate: MessageRate
    store: MessageStore
    post: Post
    lockout: Lockout
    tokens: TokenMaker
    faults: Faults
    statistics: Statistics
    journal: Journal
    addresses: ClientAddresses
    connections: tuple[Connections, ...]
    clock: Clock
    refresh_tokens: RefreshTokens | None = None
    graph: Graph | None = None


class Control:
    """Carries orders out.

    Attributes:
        scenario: what is played, if anything, and by which name.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.scenario: Scenario | None = None
        self.scenario_name = ""

    def read(self, body: bytes) -> Order:
        """Read an order from JSON; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
        return read_order(body)

    def carry_out(self, order: Order) -> dict[str, object]:
        """Do it."""
        match order:
            case orders.OrderFault():
                self.parts.faults.order(order)
            case orders.ClearFaults():
                self.parts.faults.clear()
            case orders.Reset():
                return self._reset()
            case orders.ResetCounters():
                self.reset_counters()
            case orders.PatchTenant(patch=patch):
                self.patch(patch)
            case orders.CloseConnections():
                return {"closed": sum(host.close_connections() for host in self.parts.connections)}
            case orders.PretendAddress(address=address, client=client):
                self.parts.addresses.pretend(address, client)
            case orders.Deliver():
                return {"id": self._deliver(order)}
            case orders.StartScenario(name=name):
                if name not in scenario_names():
                    raise ValueError(f"there is no scenario {name}")
                self.play(name)
            case _:
                return self._carry_out_more(order)
        return {"done": True}

    def _carry_out_more(
        self,
        order: orders.RevokeTokens
        | orders.RevokeRefreshTokens
        | orders.SetSecretsExpiry
        | orders.RenewSecrets
        | orders.IssueCertificate
        | orders.Lock
        | orders.Unlock
        | orders.Fill
        | orders.Advance
        | orders.SetClock
        | orders.RunClock
        | orders.RollDay,
    ) -> dict[str, object]:
        """Do what concerns credentials, one mailbox, or the clock."""
        match order:
            case orders.RevokeTokens():
                self.parts.tokens.rotate()
            case orders.RevokeRefreshTokens():
                keeper = self.parts.refresh_tokens
                return {"revoked": keeper.revoke_all() if keeper is not None else 0}
            case orders.SetSecretsExpiry(at=at):
                self._set_expiry(at or self.parts.clock.now())
            case orders.RenewSecrets():
                self._set_expiry(None)
            case orders.IssueCertificate(days=days, hours=hours):
                self._issue_certificate(timedelta(days=days, hours=hours))
            case orders.Lock(mailbox=mailbox):
                self._patch_mailbox(mailbox, {"account": "locked"})
            case orders.Unlock(mailbox=mailbox):
                self._patch_mailbox(mailbox, {"account": "enabled"})
                self.parts.lockout.unlock(mailbox.lower())
            case orders.Fill(mailbox=mailbox, full=full):
                self._patch_mailbox(mailbox, {"full": full})
            case orders.Advance():
                by = timedelta(days=order.days, hours=order.hours, minutes=order.minutes, seconds=order.seconds)
                return self._advance(by)
            case orders.RollDay():
                return self._advance(_DAY)
            case orders.SetClock(at=at):
                if at.tzinfo is None:
                    raise ValueError("`at` needs a time zone")
                return self._advance(at - self.parts.clock.now())
            case orders.RunClock(speed=speed):
                if not isinstance(self.parts.clock, OffsetClock):
                    raise ValueError("this clock has no pace")
                self.parts.clock.run(speed)
                return {"now": self.parts.clock.now()}
            case _:
                assert_never(order)
        return {"done": True}

    def report(self) -> dict[str, object]:
        """Return the statistics as plain values."""
        return self.parts.statistics.report(self.parts.desk.open.most)

    def reset_counters(self) -> None:
        """Forget what was counted; what is open stays open."""
        self.parts.statistics.clear()
        self.parts.desk.rate.clear()
        self.parts.desk.quota.clear()
        self.parts.desk.open.clear()
        self.parts.mx_rate.clear()
        self.parts.post.reset_counters()
        self.parts.lockout.clear()
        if self.parts.graph is not None:
            self.parts.graph.throttle.clear()

    def patch(self, patch: object) -> Tenant:
        """Lay a JSON merge patch over the tenant, for the running process only; raises `TenantError`."""
        present = self.parts.directory.tenant
        tenant = patched(present, with_secrets(patch, msgspec.to_builtins(present)))
        self.parts.directory.replace(tenant)
        return tenant

    def replace(self, document: object) -> Tenant:
        """Put a whole description in the tenant's place; raises `TenantError`."""
        tenant = tenant_from_document(with_secrets(document, msgspec.to_builtins(self.parts.directory.tenant)))
        self.parts.directory.replace(tenant)
        return tenant

    def play(self, name: str, seed: int | None = None) -> Scenario:
        """Play a scenario from now on; raises `ScenarioError`, `TenantError` or `ValueError`."""
        scenario = read_scenario(name, self.parts.directory.tenant, seed)
        self.patch(scenario.tenant)
        start_time_line(scenario, self.parts.clock, self.carry_out)
        self.scenario, self.scenario_name = scenario, name
        return scenario

    def findings(self, name: str = "") -> list[Finding]:
        """Compare what is there with what the scenario expects; raises `ScenarioError` for one that is not there."""
        scenario = read_scenario(name, self.parts.directory.tenant) if name else self.scenario
        if scenario is None:
            return []
        return findings(scenario.expect, self.parts.store, self.parts.directory, self.report())

    def _reset(self) -> dict[str, object]:
        self.parts.faults.clear()
        self.parts.addresses.clear()
        self.parts.journal.clear()
        self.parts.post.trace.clear()
        self.reset_counters()
        if self.parts.graph is not None:
            self.parts.graph.drafts.clear()
        return {"removed": self.parts.store.clear()}

    def _advance(self, by: timedelta) -> dict[str, object]:
        clock = self.parts.clock
        if not isinstance(clock, OffsetClock | ManualClock):
            raise ValueError("this clock cannot be moved")
        if by < timedelta():
            raise ValueError("the clock never goes back")
        clock.advance(by)
        return {"now": clock.now()}

    def _patch_mailbox(self, mailbox: str, values: dict[str, Any]) -> None:
        if self.parts.directory.mailbox(mailbox) is None:
            raise ValueError(f"there is no mailbox {mailbox}")
        if mailbox.lower() not in self.parts.directory.tenant.mailboxes:
            raise ValueError(f"{mailbox} belongs to another tenant: patch the tenant instead")
        self.patch({"mailboxes": {mailbox.lower(): values}})

    def _set_expiry(self, at: datetime | None) -> None:
        applications = {
            client_id: msgspec.structs.replace(
                app, secrets=tuple(msgspec.structs.replace(secret, expires=at) for secret in app.secrets)
            )
            for client_id, app in self.parts.directory.tenant.applications.items()
        }
        directory = self.parts.directory
        directory.replace(msgspec.structs.replace(directory.tenant, applications=applications))

    def _issue_certificate(self, lifetime: timedelta) -> None:
        """Renew app.pem, and put it where the old one is registered, or with the first application."""
        if not lifetime:
            raise ValueError("a certificate needs days or hours")
        tenant, file = self.parts.directory.tenant, client_certificates(self.parts.home).app
        old = file.read_text().strip() if file.exists() else ""
        owner = next(
            (c for c, a in tenant.applications.items() if any(k.pem.strip() == old for k in a.certificates)), ""
        )
        owner = owner or next(iter(tenant.applications), "")
        if not owner:
            raise ValueError("there is no application that could have a certificate")
        new = issue_app_certificate(self.parts.home, self.parts.clock.now(), lifetime)
        self.patch({"applications": {owner: {"certificates": [{"pem": new}]}}})

    def _deliver(self, order: orders.Deliver) -> str:
        """Bring a message in from outside, through the one transport; return its id."""
        octets = _octets(order, self.parts.clock.now())
        content = Content(limit=len(octets), directory=self.parts.store.directory)
        content.append(octets)
        tenant = self.parts.directory.tenant
        parcel = Parcel(
            tenant=tenant,
            mailbox="",
            way="order",
            sender=order.sender,
            recipients=order.to,
            content=content,
            head=read_head(octets),
            server=f"{tenant.service.mailbox_server}.{tenant.service.forest}.PROD.OUTLOOK.COM",
            is_internal=False,
        )
        return self.parts.post.accept(parcel).id


def with_secrets(document: Any, present: Any) -> Any:
    """Put the present secrets where `(hidden)` stands, so that what was shown can be sent back."""
    if document == HIDDEN:
        return present
    if isinstance(document, dict):
        known = present if isinstance(present, dict) else {}
        return {key: with_secrets(value, known.get(key)) for key, value in document.items()}
    if isinstance(document, list | tuple):
        known_list = present if isinstance(present, list | tuple) else ()
        padded = [*known_list, *([None] * len(document))]
        return [with_secrets(value, old) for value, old in zip(document, padded, strict=False)]
    return document


def _octets(order: orders.Deliver, now: datetime) -> bytes:
    if order.raw:
        return re.sub(r"\r?\n", "\r\n", order.raw).encode("utf-8", "replace")
    fields = {"From": order.sender, "To": ", ".join(order.to), "Subject": order.subject}
    head = "".join(f"{name}: {re.sub(r'[^ -~]+', ' ', value)}\r\n" for name, value in fields.items())
    number = f"{now.timestamp():.6f}"
    text = re.sub(r"\r?\n", "\r\n", order.text)
    head += f"Message-ID: <{number}@{order.sender.rpartition('@')[2] or 'elsewhere.example'}>\r\n"
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
