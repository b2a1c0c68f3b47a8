"""Outbound connectors: how mail leaves, as the operator writes it in ``flow.toml``.

Source: the words are Exchange's (connector, TlsSettings and TlsDomain of New-OutboundConnector); the ways into
Microsoft 365 are those of "How to set up a multifunction device or application to send email".
Shape: one frozen settings class for each kind, told apart by `kind`.
Failures: pydantic's validation errors.
Leaves to others: what a kind means together with its identity and limits (``decide.ways``), carrying (``deliver``).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from posthouse.decide.patterns import Domain, Mailbox, Mailboxes, Name, SecretReference, SenderPattern
from posthouse.mail.outcome import OnUnknown
from posthouse.mail.settings import Duration, Settings, Size

TlsMode = Literal["none", "opportunistic", "encryption", "certificate", "domain"]
SenderHandling = Literal["as_is", "rewrite", "mailbox_per_sender"]


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
    on_unknown: OnUnknown = Field(
        default="retry", description="What to do when the answer after the final dot was lost: retry, hold or verify."
    )
    failover_after: Duration = Field(
        default=timedelta(minutes=10),
        description="The route's next connector takes over when the limits leave no room for this long.",
    )
    tls: TlsMode = Field(default="opportunistic", description="Exchange's TlsSettings: domain also checks tls_domain.")
    tls_domain: str | None = Field(default=None, description='Name the certificate must bear, "*.example.com" allowed.')
    tls_ca: Path | None = Field(default=None, description="PEM file of further authorities.")
    client_certificate: Path | None = Field(default=None, description="PEM file, with all intermediates.")
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
        if self.on_unknown == "verify":
            raise ValueError('on_unknown = "verify" needs a Microsoft 365 connector with an identity')
        return self


class Mx(_Outbound):
    """Deliver to the recipient domain's mail exchangers."""

    kind: Literal["mx"] = "mx"
    port: int = Field(default=25, ge=1, le=65535)
    resolver: str | None = Field(
        default=None, description='DNS server "address" or "address:port"; default the system\'s.'
    )
    max_connections_per_domain: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _cannot_look(self) -> Mx:
        if self.on_unknown == "verify":
            raise ValueError('on_unknown = "verify" needs a Microsoft 365 connector with an identity')
        return self


class _Microsoft(_Outbound):
    """What all ways into Microsoft 365 share. Limits that are left out are Microsoft's published ones."""

    on_unknown: OnUnknown = Field(
        default="verify", description="verify looks into Sent Items and the message trace, where the identity may."
    )
    tls: TlsMode = "certificate"
    recipients_per_message: int | None = Field(default=None, ge=1, le=1000, description="Larger envelopes are split.")
    max_message: Size | None = Field(default=None, description="Largest message as it is transferred (base64).")


class _FromMailboxes(_Microsoft):
    """What all ways that send from a mailbox share."""

    identity: Name = Field(description="Name of an [[identity]].")
    mailboxes: Mailboxes = Field(
        default=(),
        description="The mailbox that sends, or a pool that shares the load. Needed except with "
        'sender_handling = "mailbox_per_sender".',
    )
    sender_handling: SenderHandling = Field(
        default="as_is",
        description="as_is: send what was given. rewrite: From becomes the mailbox that sends, the original stays in "
        "Reply-To and X-Original-From. mailbox_per_sender: log in as the sender's own mailbox.",
    )
    allowed_senders: tuple[SenderPattern, ...] = Field(
        default=(),
        description="With rewrite: senders that stay as they are, because the mailbox may send as them. "
        "With mailbox_per_sender: senders that have a mailbox; empty means all.",
    )
    recipients_per_day: int | None = Field(default=None, ge=1, description="For one mailbox, in any 24 hours.")
    read_returns: bool = Field(
        default=False,
        description="Read the reports that come back to the mailboxes and show them in the trace. Needs Mail.Read.",
    )

    @model_validator(mode="after")
    def _names_its_mailboxes(self) -> _FromMailboxes:
        if not self.mailboxes and self.sender_handling != "mailbox_per_sender":
            raise ValueError('name the mailbox that sends: mailboxes = "relay@example.com"')
        return self


class Submission(_FromMailboxes):
    """Client submission (SMTP AUTH) to Microsoft 365, inside each mailbox's limits."""

    kind: Literal["submission"] = "submission"
    host: str | None = Field(default=None, description="Default: the cloud's, smtp.office365.com.")
    port: int = Field(default=587, ge=1, le=65535)
    max_connections: int = Field(default=3, ge=1, le=3, description="For one mailbox, at a time.")


class Hve(_FromMailboxes):
    """High Volume Email: many messages to recipients inside the organisation, none outside."""

    kind: Literal["hve"] = "hve"
    host: str | None = Field(default=None, description="Default: the cloud's, smtp-hve.office365.com.")
    port: int = Field(default=587, ge=1, le=65535)
    max_connections: int = Field(default=3, ge=1, le=20, description="For one account, at a time.")


class Acs(_Microsoft):
    """Azure Communication Services by SMTP: the identity's client secret is the password."""

    kind: Literal["acs"] = "acs"
    identity: Name = Field(description="Name of an [[identity]] with a client secret.")
    resource: str = Field(description="Name of the Communication Services resource.")
    domain: Literal["custom", "managed"] = Field(default="custom", description="Its kind of domain sets the limits.")
    sender: Mailbox | None = Field(
        default=None,
        description="A MailFrom address of the resource; all mail leaves as it. Left out: senders stay as they are.",
    )
    host: str | None = Field(default=None, description="Default: smtp.azurecomm.net.")
    port: int = Field(default=587, ge=1, le=65535)
    messages_per_hour: int | None = Field(default=None, ge=1)


class _ToExchanger(_Microsoft):
    """What both ways over the tenant's MX share. The MX name is asked for in DNS, never derived from the domain."""

    host: str | None = Field(default=None, description="The tenant's MX host; default: the MX of `domain`.")
    domain: Domain | None = Field(default=None, description="An accepted domain of the tenant, whose MX is asked for.")
    port: int = Field(default=25, ge=1, le=65535)
    resolver: str | None = Field(default=None, description='DNS server "address" or "address:port".')
    identity: Name | None = Field(default=None, description="Who may look into the message trace.")
    tenant: str | None = Field(default=None, description="Whose daily limit counts; the name of a [[tenant]].")

    @model_validator(mode="after")
    def _says_where(self) -> _ToExchanger:
        if not self.host and not self.domain:
            raise ValueError("say where: host, or domain to look its MX up")
        return self


class Relay(_ToExchanger):
    """The tenant's inbound connector, by our address or by client certificate: recipients everywhere."""

    kind: Literal["relay"] = "relay"


class Direct(_ToExchanger):
    """Direct send to the tenant's MX: recipients in the accepted domains alone."""

    kind: Literal["direct"] = "direct"
    tls: TlsMode = "opportunistic"


class Graph(_FromMailboxes):
    """Microsoft Graph sendMail over HTTPS."""

    kind: Literal["graph"] = "graph"
    max_connections: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Sends at a time for one mailbox. Graph allows 4 requests; one is for looking.",
    )
    save_to_sent_items: bool = Field(
        default=True, description="False sends by JSON, the only form that Graph lets leave no copy."
    )


FromMailboxes = Submission | Hve | Graph
Microsoft = Submission | Hve | Acs | Relay | Direct | Graph
Outbound = Smarthost | Mx | Microsoft
AnyOutbound = Annotated[Outbound, Field(discriminator="kind")]
