"""The tenant as data: mailboxes, rights, applications, switches and limits.

Purpose: one frozen value that says everything the emulator must know about the organisation it plays.
Source: the defaults are those of Exchange Online ("Exchange Online limits", "SMTP submission improvements",
Set-CASMailbox, Set-TransportConfig, Add-MailboxPermission, Add-RecipientPermission).
Shape: `Tenant` holds tables keyed by address or client id, as the TOML file does, so that a merge patch
(RFC 7396) can change any single value while the emulator runs. Rights stand on the mailbox they open, and name
their holder, as the Exchange cmdlets have it.
Failures: `TenantError` names the place and what is wrong. Leaves to others: files (`tenant_file`), decisions.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

Count = Annotated[int, Meta(ge=1, le=100_000_000)]
"""A limit: one or more."""


class TenantError(Exception):
    """The tenant's description cannot be used; the text says where and why."""


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names that the emulated servers go by in greetings and replies."""

    front_end: str = "FR0P281CA0042"
    mailbox_server: str = "FR0P281MB0042"
    forest: str = "DEUP281"


class Switches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Policies of the whole organisation.

    `excess_messages` says what happens beyond the messages a minute: Microsoft documents both, a delay
    ("throttled and carried over to the following minutes") and, earlier, a rejection.
    `bare_line_feeds` says whether DATA content with a line feed that stands alone is taken or refused.
    """

    smtp_client_authentication_disabled: bool = False
    basic_authentication_disabled: bool = False
    security_defaults: bool = False
    conditional_access_blocks: bool = False
    excess_messages: Literal["delay", "reject"] = "delay"
    bare_line_feeds: Literal["accept", "refuse"] = "accept"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of the service. Sizes are octets, times are seconds."""

    messages_per_minute: Count = 30
    concurrent_submissions: Count = 3
    recipients_per_day: Count = 10_000
    recipients_per_message: Annotated[int, Meta(ge=1, le=1000)] = 500
    advertised_octets: Annotated[int, Meta(ge=1, le=157_286_400)] = 157_286_400
    mailbox_send_octets: Annotated[int, Meta(ge=1, le=157_286_400)] = 36_700_160
    header_octets: Annotated[int, Meta(ge=1, le=1_048_576)] = 262_144
    protocol_errors: Count = 5
    logon_failures: Count = 3
    lockout_failures: Count = 10
    lockout_seconds: Count = 60
    idle_seconds: Count = 300
    connections: Count = 2_000
    token_seconds: Count = 3_600
    stored_messages: Count = 5_000
    stored_octets: Annotated[int, Meta(ge=1)] = 1_073_741_824


class Mailbox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mailbox and who may use it.

    `smtp_client_authentication_disabled` overrides the organisation's switch when it is set; absent, the
    organisation's switch counts (Set-CASMailbox). `full_access` and `send_as` list the holders of the right
    to open this mailbox and to send with its addresses: other mailboxes' addresses or applications' client ids.
    """

    name: str = ""
    password: str = ""
    aliases: tuple[str, ...] = ()
    account: Literal["enabled", "disabled", "locked", "password-expired"] = "enabled"
    smtp_client_authentication_disabled: bool | None = None
    full_access: tuple[str, ...] = ()
    send_as: tuple[str, ...] = ()
    full: bool = False
    restricted: bool = False

    def __repr__(self) -> str:
        return f"Mailbox(name={self.name!r})"


class Secret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client secret and the moment at which it ends, if it does."""

    value: str
    expires: datetime | None = None

    def __repr__(self) -> str:
        return f"Secret(expires={self.expires!r})"


class Application(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An app registration together with its service principal in the tenant."""

    name: str
    object_id: str
    roles: tuple[str, ...] = ("SMTP.SendAsApp",)
    secrets: tuple[Secret, ...] = ()


class Tenant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The organisation. `domains` are its accepted domains, the first is its default."""

    id: str
    name: str
    domains: Annotated[tuple[str, ...], Meta(min_length=1)]
    service: Service = field(default_factory=Service)
    switches: Switches = field(default_factory=Switches)
    limits: Limits = field(default_factory=Limits)
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)


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
    for domain in tenant.domains:
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
    for client_id, application in tenant.applications.items():
        for secret in application.secrets:
            if secret.expires is not None and secret.expires.tzinfo is None:
                raise TenantError(f"`expires` needs a time zone - at `$.applications.{client_id}.secrets`")
