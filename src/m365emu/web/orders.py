"""The orders that change the weather, as data.

Purpose: what a test, a scenario or a person may ask of the running emulator. Shape: one tagged record for each order,
told apart by the field `action`; `read_order` reads one from JSON, `described` lists them all with their fields.
Failures: `msgspec.ValidationError` or `msgspec.DecodeError` for what is no order. Leaves to others: carrying them
out (`web.control`), time lines (`scenario`).
"""

from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct

from m365emu.faults import Fault

Amount = Annotated[float, Meta(ge=0, le=1_000_000)]
"""A number of days, hours, minutes or seconds."""


class _Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="action"):
    pass


class OrderFault(Fault, frozen=True, kw_only=True, tag_field="action", tag="fault", forbid_unknown_fields=True):
    """Let chosen commands at a stage go wrong."""


class ClearFaults(_Order, frozen=True, tag="clear-faults"):
    """Call all faults off."""


class Reset(_Order, frozen=True, tag="reset"):
    """Remove all messages and the journal, call faults off, forget counts; the tenant and the clock stay."""


class ResetCounters(_Order, frozen=True, tag="reset-counters"):
    """Set statistics, message rates, recipient quotas and lock-outs back to nothing."""


class PatchTenant(_Order, frozen=True, tag="patch-tenant"):
    """Lay a JSON merge patch over the tenant, as PATCH /api/tenant does."""

    patch: dict[str, Any]


class RevokeTokens(_Order, frozen=True, tag="revoke-tokens"):
    """Make every access token issued so far worthless."""


class RevokeRefreshTokens(_Order, frozen=True, tag="revoke-refresh-tokens"):
    """Make every refresh token issued so far worthless."""


class SetSecretsExpiry(_Order, frozen=True, tag="expire-secrets"):
    """Let the client secrets of all applications end at a moment: now, unless `at` says otherwise."""

    at: datetime | None = None


class RenewSecrets(_Order, frozen=True, tag="renew-secrets"):
    """Let client secrets never end."""


class IssueCertificate(_Order, frozen=True, tag="issue-certificate"):
    """Write a new app.pem that is good for so long, and register it with the application that has the old one."""

    days: Amount = 0
    hours: Amount = 0


class Lock(_Order, frozen=True, tag="lock"):
    """Lock a mailbox's account, as too many wrong passwords do."""

    mailbox: str


class Unlock(_Order, frozen=True, tag="unlock"):
    """Unlock a mailbox's account."""

    mailbox: str


class Fill(_Order, frozen=True, tag="fill"):
    """Let a mailbox be full, or not."""

    mailbox: str
    full: bool = True


class Advance(_Order, frozen=True, tag="advance"):
    """Move the clock ahead; every timer that is passed fires."""

    days: Amount = 0
    hours: Amount = 0
    minutes: Amount = 0
    seconds: Amount = 0


class SetClock(_Order, frozen=True, tag="set-clock"):
    """Move the clock ahead to a moment."""

    at: datetime


class RunClock(_Order, frozen=True, tag="run-clock"):
    """Let the clock go so many times faster than the machine's."""

    speed: float


class RollDay(_Order, frozen=True, tag="roll-day"):
    """Move the clock ahead by 24 hours, so that every rolling day begins anew."""


class PretendAddress(_Order, frozen=True, tag="pretend-address"):
    """Let the SMTP hosts see clients at another address; empty: where they are.

    `client` names the only real address that this counts for; empty: all.
    """

    address: str = ""
    client: str = ""


class Deliver(_Order, frozen=True, tag="deliver"):
    """Put a message into mailboxes, as if it had come from outside. `raw` is a whole message, instead of the rest."""

    to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=500)]
    sender: str = "someone@elsewhere.example"
    subject: str = "A message"
    text: str = ""
    raw: Annotated[str, Meta(max_length=200_000)] = ""


class CloseConnections(_Order, frozen=True, tag="close-connections"):
    """Cut all SMTP connections without a word."""


class StartScenario(_Order, frozen=True, tag="scenario"):
    """Play a scenario from now on: its changes to the tenant, its time line and its expectations."""

    name: str


Order = (
    OrderFault
    | ClearFaults
    | Reset
    | ResetCounters
    | PatchTenant
    | RevokeTokens
    | RevokeRefreshTokens
    | SetSecretsExpiry
    | RenewSecrets
    | IssueCertificate
    | Lock
    | Unlock
    | Fill
    | Advance
    | SetClock
    | RunClock
    | RollDay
    | PretendAddress
    | Deliver
    | CloseConnections
    | StartScenario
)


def read_order(body: bytes) -> Order:
    """Read an order from JSON; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    order: Order = msgspec.json.decode(body, type=Order)
    return order


def order_from(table: object) -> Order:
    """Read an order from a plain table; raises `msgspec.ValidationError`."""
    order: Order = msgspec.convert(table, type=Order)
    return order


def described() -> list[dict[str, Any]]:
    """List the orders: action, what it does, and its fields as JSON Schema has them."""
    listed: list[dict[str, Any]] = []
    for kind in get_args(Order):
        schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
        fields = {name: field for name, field in schema["properties"].items() if name != "action"}
        required = [name for name in schema.get("required", []) if name != "action"]
        action = str(kind.__struct_config__.tag)
        does = " ".join(str(kind.__doc__).split())
        listed.append({"action": action, "does": does, "fields": fields, "required": required})
    return listed
