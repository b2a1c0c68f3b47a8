"""The tenant as data: mailboxes, rights, applications, switches and limits.

Purpose: one frozen value that says everything the emulator must know about the organisation it plays.
Source: the defaults are those of Exchange Online ("Exchange Online limits", "SMTP submission improvements",
Set-CASMailbox, Set-TransportConfig, Add-MailboxPermission, Add-RecipientPermission).
Shape: `Tenant` holds tables keyed by address or client id, as the TOML file does, so that a merge patch
(RFC 7396) can change any single value while the emulator runs. Rights stand on the mailbox they open, and name
their holder, as the Exchange cmdlets have it.
Failures: `TenantError` names the place and what is wrong. Leaves to others: files (`tenant_file`), decisions.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from m365emu.applications import Application
from m365emu.connectors import InboundConnector, OutsideDomain, network_problem

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
"""A limit: one or more."""


class TenantError(Exception):
    """The tenant's description cannot be used; the text says where and why."""


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names that the emulated servers go by in greetings and replies.

    `front_end` and `mailbox_server` belong to submission, `exchanger` and its `exchanger_region` to the MX.
    """

    front_end: str = "FR0P281CA0042"
    mailbox_server: str = "FR0P281MB0042"
    forest: str = "DEUP281"
    exchanger: str = "FR2DEU01FT042"
    exchanger_region: str = "deu01"


class Switches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Policies of the whole organisation, in the words of Exchange's and Entra's own settings.

    `region_mismatch` plays an organisation that lives in another region than this MX (4.4.62). `federated_sign_in`
    other than `ok` plays a sign-in server of the organisation's own that fails passwords. `sending_blocked` plays an
    organisation that Microsoft stopped because of outbound spam.
    `conditional_access_blocks` stands for a policy against legacy authentication, `conditional_access_blocks_tokens`
    for one that keeps people from tokens too (AADSTS53003).
    """

    smtp_client_authentication_disabled: bool = False
    basic_authentication_disabled: bool = False
    basic_authentication_retired: bool = False
    security_defaults: bool = False
    conditional_access_blocks: bool = False
    conditional_access_blocks_tokens: bool = False
    allow_legacy_tls_clients: bool = False
    reject_direct_send: bool = False
    honor_dmarc: bool = True
    ipv6: bool = False
    region_mismatch: bool = False
    user_consent: bool = True
    sending_blocked: bool = False
    federated_sign_in: Literal["ok", "unreachable", "insecure"] = "ok"
    excess_messages: Literal["delay", "reject"] = "delay"
    bare_line_feeds: Literal["accept", "refuse"] = "accept"


class Assumptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Behaviour that no source settles, each with the choice that is played (see the fidelity page).

    `send_as_refusal`: the text of 2025, or the older 5.7.60. `retired_code`: 5.7.30 is announced as 550, one
    source saw 535. `too_many_recipients`: refuse the recipient, or take it and send a report.
    `xoauth2_refusal`: the documented direct 535, or a JSON challenge first, as other providers do.
    `missing_mailbox_permission`: an application without FullAccess is refused at AUTH (535 5.7.3) or at the end of
    DATA (430 4.2.0); both were seen.
    `device_polling`: a device that polls faster than it was told is asked to slow down, or is not.
    `assertion_reuse`: a client assertion may be sent again while it lasts, as Microsoft's own libraries do, or once.
    `graph_keeps_message_id`: whether Graph keeps the Message-ID of a MIME message.
    `graph_takes_internet_message_id`: whether internetMessageId of a JSON message is heeded, though it is read-only.
    `graph_quoted_printable`: MIME with quoted-printable parts is taken, or refused as ErrorMimeContentInvalid.
    `graph_at_sign_in_name`: an `@` in an unquoted display name of From is refused as ErrorSendAsDenied, or let be.
    `graph_own_application`: an application may read its own registration without a permission for it.
    `graph_upload_pieces`: pieces of an upload are of any size, or all but the last a multiple of 320 KiB.
    """

    send_as_refusal: Literal["5.2.252", "5.7.60"] = "5.2.252"
    retired_code: Literal[550, 535] = 550
    too_many_recipients: Literal["refuse", "report"] = "refuse"
    xoauth2_refusal: Literal["direct", "challenge"] = "direct"
    missing_mailbox_permission: Literal["at-auth", "at-submission"] = "at-auth"
    device_polling: Literal["slow_down", "ignore"] = "slow_down"
    assertion_reuse: Literal["accept", "refuse"] = "accept"
    graph_keeps_message_id: bool = True
    graph_takes_internet_message_id: bool = False
    graph_quoted_printable: Literal["accept", "refuse"] = "accept"
    graph_at_sign_in_name: Literal["refuse", "accept"] = "refuse"
    graph_own_application: bool = True
    graph_upload_pieces: Literal["any", "320-kib"] = "any"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of the service. Sizes are octets, times are seconds.

    `external_recipients_per_day` counts for the whole tenant; absent, the published formula over `licences` counts.
    Limits that no source gives a number for are absent: `received_per_hour_from_one_sender` (5.2.121),
    `connections_per_address` and `session_seconds`.
    """

    messages_per_minute: Count = 30
    concurrent_submissions: Count = 3
    recipients_per_day: Count = 10_000
    recipients_per_message: Annotated[int, Meta(ge=1, le=1000)] = 500
    external_recipients_per_day: Count | None = None
    initial_domain_external_per_day: Count = 100
    received_per_hour: Count = 3_600
    received_per_hour_from_one_sender: Count | None = None
    mx_recipients_per_domain: Count = 200
    mx_messages_per_minute: Count = 100_000
    hops: Count = 30
    advertised_octets: Annotated[int, Meta(ge=1, le=157_286_400)] = 157_286_400
    mailbox_send_octets: Annotated[int, Meta(ge=1, le=157_286_400)] = 36_700_160
    mailbox_receive_octets: Annotated[int, Meta(ge=1, le=157_286_400)] = 37_748_736
    header_octets: Annotated[int, Meta(ge=1, le=1_048_576)] = 262_144
    protocol_errors: Count = 5
    logon_failures: Count = 3
    lockout_failures: Count = 10
    lockout_seconds: Count = 60
    idle_seconds: Count = 300
    session_seconds: Count | None = None
    expiration_seconds: Count = 86_400
    connections: Count = 2_000
    connections_per_address: Count | None = None
    token_seconds: Count = 3_600
    refresh_days: Count = 90
    device_code_seconds: Count = 900
    device_code_interval: Count = 5
    graph_request_octets: Count = 4_194_304
    graph_requests_per_10_minutes: Count = 10_000
    graph_concurrent: Count = 4
    graph_upload_octets_per_5_minutes: Count = 157_286_400
    graph_upload_session_seconds: Count = 86_400
    trace_requests_per_5_minutes: Count = 100
    trace_delay_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300
    stored_messages: Count = 5_000
    stored_octets: Annotated[int, Meta(ge=1)] = 1_073_741_824


class Mailbox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mailbox and who may use it.

    `kind` is `licensed`, `shared` (no licence, nobody signs in to it) or `hve` (a High Volume Email account, whose
    `allowed_apps` are object ids of enterprise applications).
    `smtp_client_authentication_disabled` overrides the organisation's switch when it is set; absent, the
    organisation's switch counts (Set-CASMailbox). `full_access` and `send_as` list the holders of the right
    to open this mailbox and to send with its addresses: other mailboxes' addresses or applications' client ids.
    `copy_sent` is MessageCopyForSMTPClientSubmissionEnabled; `send_octets`, `receive_octets` and `recipient_limit`
    are the mailbox's own limits (Set-Mailbox). `members_only` accepts mail from inside the organisation alone.
    An `administrator` may consent to an application for the whole organisation.
    `spam_verdict` is what outbound spam control says of every message the mailbox sends.
    """

    name: str = ""
    kind: Literal["licensed", "shared", "hve"] = "licensed"
    password: str = ""
    aliases: tuple[str, ...] = ()
    account: Literal["enabled", "disabled", "locked", "password-expired"] = "enabled"
    mfa: bool = False
    administrator: bool = False
    smtp_client_authentication_disabled: bool | None = None
    full_access: tuple[str, ...] = ()
    send_as: tuple[str, ...] = ()
    allowed_apps: tuple[str, ...] = ()
    reply_to: str = ""
    full: bool = False
    restricted: bool = False
    copy_sent: bool = True
    members_only: bool = False
    spam_verdict: Literal["", "RefuseQuota", "Suspend"] = ""
    send_octets: Count | None = None
    receive_octets: Count | None = None
    recipient_limit: Annotated[int, Meta(ge=1, le=1000)] | None = None

    def __repr__(self) -> str:
        return f"Mailbox(name={self.name!r}, kind={self.kind!r})"


class Tenant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The organisation. `domains` are its accepted domains, the first is its default.

    `internal_relay_domains` are those of them whose unknown recipients live elsewhere. `outside` is what DNS says of
    other domains; a domain that is not listed exists, takes mail and publishes nothing. `blocked_addresses` are client
    addresses on Microsoft's block list, `reverse_names` what addresses resolve to. `blocked_recipients` are
    addresses and domains on the organisation's own block list. `others` holds further tenants of
    the same emulator, by any name; switches and limits of the servers themselves (greeting, connections, idle time)
    are those of the first tenant.
    """

    id: str
    name: str
    domains: Annotated[tuple[str, ...], Meta(min_length=1)]
    initial_domain: str = ""
    internal_relay_domains: tuple[str, ...] = ()
    licences: Count = 25
    trial: bool = False
    service: Service = field(default_factory=Service)
    switches: Switches = field(default_factory=Switches)
    assumptions: Assumptions = field(default_factory=Assumptions)
    limits: Limits = field(default_factory=Limits)
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)
    connectors: dict[str, InboundConnector] = field(default_factory=dict)
    outside: dict[str, OutsideDomain] = field(default_factory=dict)
    blocked_addresses: tuple[str, ...] = ()
    blocked_recipients: tuple[str, ...] = ()
    reverse_names: dict[str, str] = field(default_factory=dict)
    others: "dict[str, Tenant]" = field(default_factory=dict)

    @property
    def external_recipients_per_day(self) -> int:
        """The tenant's external recipient rate limit: 500 x licences^0.7 + 9,500, trial tenants 5,000."""
        if self.limits.external_recipients_per_day is not None:
            return self.limits.external_recipients_per_day
        return 5_000 if self.trial else int(500 * self.licences**0.7 + 9_500)


def tenant_from_document(document: object) -> Tenant:
    """Turn plain tables into a checked tenant.

    Args:
        document: nested dictionaries as TOML or JSON give them.

    Raises:
        TenantError: with the path of the first wrong value.
    """
    try:
        tenant = msgspec.convert(document, Tenant, strict=False)
    except msgspec.ValidationError as error:
        raise TenantError(str(error)) from error
    _check(tenant)
    return tenant


def patched(tenant: Tenant, patch: object) -> Tenant:
    """Return the tenant with a JSON merge patch (RFC 7396) laid over it; raises `TenantError`."""
    if not isinstance(patch, dict):
        raise TenantError("Expected `object`, found something else - at `$`")
    return tenant_from_document(_merged(msgspec.to_builtins(tenant), patch))


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _check(tenant: Tenant) -> None:
    """Check what the types cannot say: names that must refer to something, and be unique."""
    seen: dict[str, str] = {}
    for other in tenant.others.values():
        _check(other)
        if shared := set(other.domains) & set(tenant.domains):
            raise TenantError(f"`{min(shared)}` belongs to two tenants - at `$.others`")
    for domain in (*tenant.domains, *((tenant.initial_domain,) if tenant.initial_domain else ())):
        if domain != domain.lower() or "@" in domain or not domain:
            raise TenantError(f"`{domain}` is not a domain in lower case - at `$.domains`")
    for address, mailbox in tenant.mailboxes.items():
        place = f"$.mailboxes.{address}"
        for name in (address, *mailbox.aliases):
            local, _, domain = name.rpartition("@")
            if not local or name != name.lower() or domain not in tenant.domains:
                raise TenantError(f"`{name}` is not a lower-case address in an accepted domain - at `{place}`")
            if name in seen:
                raise TenantError(f"`{name}` already belongs to `{seen[name]}` - at `{place}`")
            seen[name] = address
        for holder in (*mailbox.full_access, *mailbox.send_as):
            if holder not in tenant.mailboxes and holder not in tenant.applications:
                raise TenantError(f"`{holder}` is neither a mailbox nor a client id - at `{place}`")
    for name, connector in tenant.connectors.items():
        for network in connector.sender_ip_addresses:
            if problem := network_problem(network):
                raise TenantError(f"{problem} - at `$.connectors.{name}.sender_ip_addresses`")
    for client_id, application in tenant.applications.items():
        for secret in application.secrets:
            if secret.expires is not None and secret.expires.tzinfo is None:
                raise TenantError(f"`expires` needs a time zone - at `$.applications.{client_id}.secrets`")
