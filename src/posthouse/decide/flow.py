"""The mail flow as the operator writes it in ``flow.toml``: domains, inbound and outbound connectors, routes.

Source: the words are Exchange's (accepted domain, connector, TlsSettings and TlsDomain of New-OutboundConnector).
Shape: `Flow`, a tree of frozen settings; secrets only by reference (``env:NAME``, ``file:PATH``, ``secret:NAME``).
Failures: pydantic's validation errors, all at once; ``posthouse.config`` words them for people.
Leaves to others: matching (``policy``, ``routing``), files (``posthouse.config``), opening secrets (``deliver``).
"""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from posthouse.mail.address import Address, AddressError
from posthouse.mail.settings import Duration, Settings, Size

Network = IPv4Network | IPv6Network
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def _domain(text: str) -> str:
    name = text.lower().rstrip(".")
    ascii_name = name if name.isascii() else name.encode("idna").decode()
    if not _DOMAIN.fullmatch(ascii_name) or len(ascii_name) > 253:
        raise ValueError('expected a domain name such as "example.com"')
    return name


def _recipient_pattern(text: str) -> str:
    if text in {"*", "accepted"}:
        return text
    if "@" in text:
        return _sender_pattern(text)
    return "*." + _domain(text[2:]) if text.startswith("*.") else _domain(text)


def _sender_pattern(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if text == "*":
        return text
    if local in {"", "*"}:
        return "@" + (f"*.{_domain(domain[2:])}" if domain.startswith("*.") else _domain(domain))
    try:
        return str(Address.parse(text))
    except AddressError as error:
        raise ValueError(str(error)) from error


def _secret_reference(text: str) -> str:
    if not re.fullmatch(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|secret:[A-Za-z0-9_.-]+)", text):
        # The value may be the secret itself, so it is not repeated.
        raise ValueError('expected a reference: "env:NAME", "file:PATH" or "secret:NAME", never the secret itself')
    return text


Domain = Annotated[str, AfterValidator(_domain)]
RecipientPattern = Annotated[str, AfterValidator(_recipient_pattern)]
SenderPattern = Annotated[str, AfterValidator(_sender_pattern)]
SecretReference = Annotated[str, AfterValidator(_secret_reference)]


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


class Credentials(Settings):
    """Log-in at the next server, by password or (EXTERNAL) by the connector's client certificate."""

    username: str = Field(default="", description="May be left out with EXTERNAL.")
    password: SecretReference | None = None
    mechanism: Literal["auto", "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL"] = "auto"

    @model_validator(mode="after")
    def _says_how(self) -> Credentials:
        if self.mechanism == "EXTERNAL":
            if self.password is not None:
                raise ValueError("EXTERNAL logs in by certificate; leave the password out")
        elif not self.username or self.password is None:
            raise ValueError("a log-in needs username and password")
        return self


class _Outbound(Settings):
    """What all outbound connectors share."""

    name: Name
    max_connections: int = Field(default=20, ge=1, le=1000, description="Connections at a time, over all destinations.")
    max_messages_per_connection: int = Field(default=100, ge=1)
    messages_per_minute: int | None = Field(default=None, ge=1, description="Pace; unlimited by default.")
    on_unknown: Literal["retry", "hold"] = Field(
        default="retry", description="What to do when the answer after the final dot was lost."
    )
    tls: Literal["none", "opportunistic", "encryption", "certificate", "domain"] = Field(
        default="opportunistic", description="Exchange's TlsSettings: domain also checks tls_domain."
    )
    tls_domain: str | None = Field(default=None, description='Name the certificate must bear, "*.example.com" allowed.')
    tls_ca: Path | None = Field(default=None, description="PEM file of further authorities.")
    client_certificate: Path | None = None
    client_key: Path | None = None
    helo: str | None = Field(default=None, description="Name given in EHLO; default the node's hostname.")
    source_address: str | None = Field(default=None, description="Local address to connect from.")
    paused: bool = Field(default=False, description="Keep mail waiting, attempt nothing.")
    protocol_log: bool = False
    connect_timeout: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _tls_domain_has_a_use(self) -> _Outbound:
        if self.tls_domain and self.tls != "domain":
            raise ValueError('tls_domain is only used with tls = "domain"')
        if self.client_key and not self.client_certificate:
            raise ValueError("client_key needs client_certificate")
        return self


class Smarthost(_Outbound):
    """Hand everything to given hosts, in order."""

    kind: Literal["smarthost"] = "smarthost"
    hosts: tuple[str, ...] = Field(min_length=1, description="Names or addresses, tried in order.")
    port: int = Field(default=25, ge=1, le=65535)
    implicit_tls: bool = Field(default=False, description="TLS from the first octet (port 465).")
    auth: Credentials | None = None

    @model_validator(mode="after")
    def _has_the_certificate(self) -> Smarthost:
        if self.auth is not None and self.auth.mechanism == "EXTERNAL" and self.client_certificate is None:
            raise ValueError("auth by EXTERNAL needs client_certificate")
        return self


class Mx(_Outbound):
    """Deliver to the recipient domain's mail exchangers."""

    kind: Literal["mx"] = "mx"
    port: int = Field(default=25, ge=1, le=65535)
    resolver: str | None = Field(
        default=None, description='DNS server "address" or "address:port"; default the system\'s.'
    )
    max_connections_per_domain: int = Field(default=5, ge=1)


class Submission(_Outbound):
    """Client submission to Microsoft 365 for one mailbox, inside its limits (3 connections, 30 messages a minute)."""

    kind: Literal["submission"] = "submission"
    host: str = "smtp.office365.com"
    port: int = Field(default=587, ge=1, le=65535)
    mailbox: Annotated[str, AfterValidator(_sender_pattern)] = Field(description="The mailbox that sends.")
    tenant: str | None = Field(default=None, description="Tenant id or domain (OAuth).")
    client_id: str | None = Field(default=None, description="Application (client) id (OAuth).")
    client_secret: SecretReference | None = None
    authority: str | None = Field(default=None, description="Default https://login.microsoftonline.com/TENANT.")
    password: SecretReference | None = Field(default=None, description="AUTH LOGIN instead of OAuth.")
    max_connections: int = Field(default=3, ge=1, le=3)
    messages_per_minute: int | None = Field(default=30, ge=1)
    tls: Literal["none", "opportunistic", "encryption", "certificate", "domain"] = "certificate"

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Submission:
        oauth = (self.tenant, self.client_id, self.client_secret)
        if self.password is None and not all(oauth):
            raise ValueError("give tenant, client_id and client_secret (OAuth), or password (AUTH LOGIN)")
        if self.password is not None and any(oauth):
            raise ValueError("give either OAuth settings or a password, not both")
        return self


Outbound = Annotated[Smarthost | Mx | Submission, Field(discriminator="kind")]


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
    outbound: tuple[Outbound, ...] = ()
    route: tuple[RouteSettings, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> Flow:
        problems: list[str] = []
        for kind, items in (("inbound", self.inbound), ("outbound", self.outbound), ("route", self.route)):
            names = [item.name for item in items]
            problems += [f"{kind} {n!r} is defined twice" for n in sorted({n for n in names if names.count(n) > 1})]
        known = {c.name for c in self.outbound}
        for route in self.route:
            missing = [c for c in route.connectors if c not in known]
            problems += [
                f"route {route.name!r} names the outbound connector {c!r}, which does not exist; known: "
                f"{', '.join(sorted(known)) or 'none'}"
                for c in missing
            ]
        if len(self.outbound) > 1 and not self.route:
            problems.append("there are several outbound connectors but no route says which one carries what")
        if problems:
            raise ValueError("; ".join(problems))
        return self
