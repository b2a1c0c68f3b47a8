"""The mail flow as the operator writes it in ``flow.toml``: domains, inbound and outbound connectors, routes.

Source: the words are Exchange's (accepted domain, connector, TlsSettings and TlsDomain of New-OutboundConnector).
Shape: `Flow`, a tree of frozen settings; secrets only by reference (``env:NAME``, ``file:PATH``, ``secret:NAME``).
Failures: pydantic's validation errors, all at once; ``posthouse.config`` words them for people.
Leaves to others: matching (``policy``, ``routing``), files (``posthouse.config``), opening secrets (``deliver``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from posthouse.decide.identities import Identity
from posthouse.decide.outbound import AnyOutbound
from posthouse.decide.patterns import Domain, Name, Network, RecipientPattern, SenderPattern
from posthouse.decide.ways import unfit
from posthouse.mail.settings import Settings, Size


class AcceptedDomain(Settings):
    """A domain that is ours. ``authoritative``: all its recipients are; ``internal_relay``: some live elsewhere."""

    name: Domain
    kind: Literal["authoritative", "internal_relay"] = "authoritative"
    subdomains: bool = Field(default=False, description="All its subdomains belong to it.")


class Inbound(Settings):
    """Who may hand mail to us without an account: by network or by client certificate."""

    name: Name
    networks: tuple[Network, ...] = Field(default=(), description="Client networks (CIDR), IPv4 or IPv6.")
    certificates: tuple[Domain, ...] = Field(default=(), description="Names in a verified client certificate.")
    listeners: tuple[str, ...] = Field(default=(), description="Only on these listeners; empty means all.")
    senders: tuple[SenderPattern, ...] = Field(
        default=("*",), description="Allowed MAIL FROM: address, @domain, @*.domain or *."
    )
    recipients: Literal["internal", "any"] = Field(
        default="internal", description="Accepted domains only, or the world."
    )
    bare_newlines: Literal["refuse", "repair"] = Field(default="repair", description="Bare CR or LF in content.")
    max_message: Size | None = Field(default=None, description="Smaller limit than the listener's.")
    messages_per_minute: int | None = Field(default=None, ge=1)
    recipients_per_day: int | None = Field(default=None, ge=1)
    add_from: bool = Field(default=False, description="Add a From field from MAIL FROM where there is none.")

    @model_validator(mode="after")
    def _says_who(self) -> Inbound:
        if not self.networks and not self.certificates:
            raise ValueError("an inbound connector needs networks or certificates")
        return self


class Tenant(Settings):
    """A Microsoft 365 tenant, as far as its own limits are concerned."""

    name: str = Field(description="Tenant id or domain, as the identities name it.")
    licences: int | None = Field(default=None, ge=1, description="Email licences; they set the daily external limit.")
    trial: bool = False
    external_recipients_per_day: int | None = Field(default=None, ge=1, description="Instead of the formula.")


class RouteSettings(Settings):
    """Which connectors carry which mail. The list is fail-over in order."""

    name: Name
    recipients: tuple[RecipientPattern, ...] = Field(
        default=("*",), min_length=1, description='Domains, "*.domain", full addresses, "accepted" or "*".'
    )
    senders: tuple[SenderPattern, ...] = ()
    inbound: tuple[str, ...] = Field(default=(), description="Names of inbound connectors or accounts.")
    larger_than: Size | None = None
    smaller_than: Size | None = None
    connectors: tuple[str, ...] = Field(min_length=1, description="Outbound connectors, first choice first.")


class Flow(Settings):
    """The whole mail flow."""

    domain: tuple[AcceptedDomain, ...] = ()
    inbound: tuple[Inbound, ...] = ()
    identity: tuple[Identity, ...] = ()
    tenant: tuple[Tenant, ...] = ()
    outbound: tuple[AnyOutbound, ...] = ()
    route: tuple[RouteSettings, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> Flow:
        problems = [*self._doubles(), *self._dangling()]
        if len(self.outbound) > 1 and not self.route:
            problems.append("there are several outbound connectors but no route says which one carries what")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _doubles(self) -> Iterator[str]:
        groups = (
            ("inbound", self.inbound),
            ("identity", self.identity),
            ("outbound", self.outbound),
            ("route", self.route),
            ("tenant", self.tenant),
        )
        for kind, items in groups:
            names = [item.name.lower() for item in items]
            yield from (f"{kind} {n!r} is defined twice" for n in sorted({n for n in names if names.count(n) > 1}))

    def _dangling(self) -> Iterator[str]:
        known = {c.name for c in self.outbound}
        for route in self.route:
            for connector in route.connectors:
                if connector not in known:
                    yield (
                        f"route {route.name!r} names the outbound connector {connector!r}, which does not exist; "
                        f"known: {', '.join(sorted(known)) or 'none'}"
                    )
        identities = {identity.name: identity for identity in self.identity}
        for outbound in self.outbound:
            name = getattr(outbound, "identity", None)
            if name is not None and name not in identities:
                yield (
                    f"outbound {outbound.name!r} names the identity {name!r}, which does not exist; known: "
                    f"{', '.join(sorted(identities)) or 'none'}"
                )
            elif name is not None and (problem := unfit(outbound, identities[name])):
                yield f"outbound {outbound.name!r}: {problem}"
        named = {str(getattr(item, "tenant", None) or "").lower() for item in (*self.identity, *self.outbound)}
        for tenant in self.tenant:
            if tenant.name.lower() not in named:
                yield (
                    f"tenant {tenant.name!r} is named by no identity and no connector, so its limit counts for "
                    f"nothing; known: {', '.join(sorted(named - {''})) or 'none'}"
                )
