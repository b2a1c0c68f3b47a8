"""Settings of listeners, TLS and log-ins: ``[[listener]]``, ``[tls]`` and ``[login]`` in posthouse.toml."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from posthouse.mail.settings import Duration, Settings, Size

Network = IPv4Network | IPv6Network
Mechanism = Literal["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL"]


def _host_and_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected "host:port", for instance "0.0.0.0:25", "[::]:587" or "127.0.0.1:2525"')
    return text


HostPort = Annotated[str, AfterValidator(_host_and_port)]


class ListenerSettings(Settings):
    """One address that takes mail in."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="Short name, used in traces and logs.")
    address: HostPort = Field(description="Address and port to listen on.")
    tls: Literal["none", "starttls", "implicit"] = Field(default="starttls", description="How TLS is offered.")
    require_tls: bool = Field(default=False, description="Refuse MAIL before TLS (530 5.7.0).")
    profile: Literal["modern", "legacy"] = Field(
        default="modern",
        description="modern: TLS 1.2+ with sound ciphers. legacy: also TLS 1.0/1.1 and old ciphers: a risk.",
    )
    auth: tuple[Mechanism, ...] = Field(
        default=("PLAIN", "LOGIN", "SCRAM-SHA-256"), description="Mechanisms offered; empty for none."
    )
    auth_without_tls: bool = Field(
        default=False, description="Offer passwords on plain connections. Legacy profile only."
    )
    auth_equals: bool = Field(default=False, description='Also advertise "AUTH=LOGIN ..." for old devices.')
    client_certificates: bool = Field(default=False, description="Ask clients for a certificate during TLS.")
    max_message: Size = Field(default=157286400, description="Largest message taken, in octets.")
    max_recipients: int = Field(default=1000, ge=1, le=50000, description="Recipients a message.")
    max_connections: int = Field(default=10000, ge=1, description="Connections of this listener at a time.")
    max_connections_per_address: int = Field(
        default=100, ge=1, description="Connections of one client address at a time."
    )
    bare_newlines: Literal["refuse", "repair"] = Field(
        default="refuse", description="Bare CR or LF from clients whom no connector or account says otherwise of."
    )
    proxy_from: tuple[Network, ...] = Field(
        default=(), description="Networks whose PROXY header (v1, v2) is required and believed."
    )
    idle_timeout: Duration = Field(default=timedelta(minutes=5), description="Silence after which the session ends.")
    protocol_log: bool = Field(default=False, description="Write the SMTP protocol log for this listener.")
    max_line: Size = Field(default=65536, ge=1000, description="Longest line of content, in octets.")
    max_errors: int = Field(default=10, ge=1, le=1000, description="Refused commands after which the session ends.")
    chunking: bool = Field(default=True, description="Offer CHUNKING and BINARYMIME; some gateways stumble over them.")
    smtputf8: bool = Field(default=True, description="Offer SMTPUTF8.")


class TlsSettings(Settings):
    """Certificate of the node. Without any, a self-signed pair is made on first start."""

    certificate: Path | None = Field(default=None, description="PEM file with the certificate and its chain.")
    key: Path | None = Field(default=None, description="PEM file with the private key.")
    client_ca: Path | None = Field(
        default=None, description="PEM file with the authorities that client certificates must come from."
    )


class LoginSettings(Settings):
    """Bounds on password checks."""

    concurrent_checks: int = Field(default=2, ge=1, le=64, description="Password hashes computed at the same time.")
    cache_for: Duration = Field(
        default=timedelta(minutes=10), description="How long a successful check is remembered (keyed, in memory)."
    )
    failures_before_ban: int = Field(
        default=10, ge=1, description="Failures of one account or address before it is banned."
    )
    ban_for: Duration = Field(default=timedelta(minutes=15), description="Length of a ban.")
    allow_cram_md5: bool = Field(
        default=False, description="Keep recoverable secrets (encrypted) so that CRAM-MD5 works."
    )
