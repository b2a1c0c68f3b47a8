"""Orders that change the weather while the emulator runs.

Purpose: what a test may ask for. Shape: one tagged record for each order, read from JSON by the field `action`;
`Control.carry_out` does it and says in plain values what came of it; `Control.patch` changes the tenant.
Failures: `TenantError`, `ValueError` and `msgspec.ValidationError` for orders that cannot be followed.
Leaves to others: HTTP (`web.api`).
"""

from datetime import datetime
from typing import Protocol, assert_never

import msgspec
from msgspec import Struct

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.faults import Fault, Faults
from m365emu.limits import Lockout
from m365emu.statistics import Statistics
from m365emu.submission import SubmissionDesk
from m365emu.tenant import Tenant, patched
from m365emu.tokens import TokenMaker


class OrderFault(Fault, frozen=True, kw_only=True, tag_field="action", tag="fault", forbid_unknown_fields=True):
    """Let the next commands at a stage go wrong; the fields are those of `Fault`."""


class ClearFaults(Struct, frozen=True, tag_field="action", tag="clear-faults", forbid_unknown_fields=True):
    """Call all faults off."""


class ResetCounters(Struct, frozen=True, tag_field="action", tag="reset-counters", forbid_unknown_fields=True):
    """Set statistics, message rates, recipient quotas and lock-outs back to nothing."""


class RevokeTokens(Struct, frozen=True, tag_field="action", tag="revoke-tokens", forbid_unknown_fields=True):
    """Make every token issued so far worthless."""


class SetSecretsExpiry(
    Struct, frozen=True, kw_only=True, tag_field="action", tag="expire-secrets", forbid_unknown_fields=True
):
    """Let the client secrets of all applications end at a moment: now, unless `at` says otherwise."""

    at: datetime | None = None


class RenewSecrets(Struct, frozen=True, tag_field="action", tag="renew-secrets", forbid_unknown_fields=True):
    """Let client secrets never end."""


class CloseConnections(Struct, frozen=True, tag_field="action", tag="close-connections", forbid_unknown_fields=True):
    """Cut all submission connections without a word."""


Order = OrderFault | ClearFaults | ResetCounters | RevokeTokens | SetSecretsExpiry | RenewSecrets | CloseConnections


class Connections(Protocol):
    """Whoever holds the open connections."""

    def close_connections(self) -> int:
        """Cut them all; return how many there were."""


class Control:
    """Carries orders out."""

    def __init__(
        self,
        *,
        directory: Directory,
        desk: SubmissionDesk,
        lockout: Lockout,
        tokens: TokenMaker,
        faults: Faults,
        statistics: Statistics,
        connections: Connections,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._desk = desk
        self._lockout = lockout
        self._tokens = tokens
        self._faults = faults
        self._statistics = statistics
        self._connections = connections
        self._clock = clock

    def read(self, body: bytes) -> Order:
        """Read an order from JSON; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
        order: Order = msgspec.json.decode(body, type=Order)
        return order

    def carry_out(self, order: Order) -> dict[str, object]:
        """Do it."""
        match order:
            case OrderFault():
                self._faults.order(order)
            case ClearFaults():
                self._faults.clear()
            case ResetCounters():
                self.reset_counters()
            case RevokeTokens():
                self._tokens.rotate()
            case SetSecretsExpiry(at=at):
                self._set_expiry(at or self._clock.now())
            case RenewSecrets():
                self._set_expiry(None)
            case CloseConnections():
                return {"closed": self._connections.close_connections()}
            case _:
                assert_never(order)
        return {"done": True}

    def report(self) -> dict[str, object]:
        """Return the statistics as plain values."""
        return self._statistics.report(self._desk.open.most)

    def reset_counters(self) -> None:
        """Forget what was counted; what is open stays open."""
        self._statistics.clear()
        self._desk.rate.clear()
        self._desk.quota.clear()
        self._desk.open.clear()
        self._lockout.clear()

    def patch(self, patch: object) -> Tenant:
        """Lay a JSON merge patch over the tenant, for the running process only; raises `TenantError`."""
        tenant = patched(self._directory.tenant, patch)
        self._directory.replace(tenant)
        return tenant

    def _set_expiry(self, at: datetime | None) -> None:
        applications = {
            client_id: msgspec.structs.replace(
                app, secrets=tuple(msgspec.structs.replace(secret, expires=at) for secret in app.secrets)
            )
            for client_id, app in self._directory.tenant.applications.items()
        }
        self._directory.replace(msgspec.structs.replace(self._directory.tenant, applications=applications))
