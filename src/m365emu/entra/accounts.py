"""The people who sign in.

Purpose: check account and password, and what the tenant's policies say of them. Source: "Microsoft Entra
authentication and authorization error codes"; smart lockout; security defaults.
Shape: `Accounts.sign_in` gives a `User` or an `EntraError`; `still_good` asks the same of somebody who signed in
before. The lock-out is the one that SMTP log-ins count into, as they do in reality.
Failures: none rise. Leaves to others: pages, consent.
"""

import hmac
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.entra import user_errors
from m365emu.entra.errors import EntraError
from m365emu.limits import Lockout
from m365emu.tenant import Mailbox, Tenant
from m365emu.tokens import Subject

SecondFactor = Literal["none", "registered", "to-register"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person's account: the mailbox, under its primary address."""

    address: str
    mailbox: Mailbox
    tenant: Tenant

    @property
    def subject(self) -> Subject:
        """The user as a token names it."""
        return Subject(
            address=self.address,
            object_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.tenant.id}/{self.address}")),
            name=self.mailbox.name or self.address.partition("@")[0],
        )


class Accounts:
    """Checks people."""

    def __init__(self, directory: Directory, lockout: Lockout, clock: Clock) -> None:
        self._directory = directory
        self._lockout = lockout
        self._clock = clock

    def find(self, address: str, tenant: Tenant | None) -> User | EntraError:
        """Return the user with this principal name in the tenant, or in any tenant."""
        address = address.strip().lower()
        home = self._directory.tenant_of(address)
        mailbox = self._directory.mailbox(address)
        if home is None or mailbox is None or (tenant is not None and home.id != tenant.id):
            where = tenant or home or self._directory.tenant
            return user_errors.USER_UNKNOWN(user=address[:320], tenant=where.name)
        return User(address=address, mailbox=mailbox, tenant=home)

    def sign_in(self, address: str, password: str, tenant: Tenant | None) -> User | EntraError:
        """Check account and password; wrong passwords count towards the lock-out."""
        user = self.find(address, tenant)
        if isinstance(user, EntraError):
            return user
        now, limits = self._clock.now(), user.tenant.limits
        duration = timedelta(seconds=limits.lockout_seconds)
        if user.mailbox.account == "locked" or self._lockout.is_locked(user.address, now, duration):
            return user_errors.USER_LOCKED()
        right = user.mailbox.password.encode()
        if not right or not hmac.compare_digest(right, password.encode()):
            self._lockout.failed(user.address, now, limits.lockout_failures, duration)
            return user_errors.PASSWORD_WRONG()
        self._lockout.succeeded(user.address)
        if user.mailbox.account == "password-expired":
            return user_errors.PASSWORD_EXPIRED()
        return self.still_good(user) or user

    def still_good(self, user: User) -> EntraError | None:
        """Say why the user may have no token, although the password was right once."""
        if user.mailbox.account == "disabled" or user.mailbox.kind == "shared":
            return user_errors.USER_DISABLED()
        if user.tenant.switches.conditional_access_blocks_tokens:
            return user_errors.CONDITIONAL_ACCESS()
        return None


def second_factor(user: User) -> SecondFactor:
    """Say whether a second factor is asked of the user; security defaults have everybody register one."""
    if user.mailbox.mfa:
        return "registered"
    return "to-register" if user.tenant.switches.security_defaults else "none"
