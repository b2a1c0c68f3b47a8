"""Consent to delegated permissions.

Purpose: know which delegated permissions an application holds for a user, and take a user's consent.
Source: "User and admin consent in Microsoft Entra ID". Application permissions are `tokens.granted_roles`.
Shape: what an administrator consented to stands in the tenant (`Application.delegated_consent`), what users consented
to is kept here, in memory; a refresh token carries it along, so that it survives a restart.
Failures: none. Leaves to others: the page (`sign_in`).
"""

from collections.abc import Iterable

from m365emu.applications import Application
from m365emu.entra.accounts import User
from m365emu.entra.scopes import DEFAULT, Scope, Target
from m365emu.resources import EXCHANGE, GRAPH
from m365emu.tenant import Tenant

RESOURCE_IDS = (EXCHANGE.app_id, GRAPH.app_id)
_MOST_USERS = 100_000


class Consents:
    """Who consented to what."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str, str], set[str]] = {}

    def give(self, tenant: Tenant, client_id: str, user: str, permissions: Iterable[str]) -> None:
        """Note that the user consented; the permissions are those of `needed`."""
        key = (tenant.id, client_id, user)
        if key in self._given or len(self._given) < _MOST_USERS:
            self._given.setdefault(key, set()).update(permissions)

    def given(self, tenant: Tenant, client_id: str, user: str) -> tuple[str, ...]:
        """Return everything that the user consented to for this application."""
        return tuple(sorted(self._given.get((tenant.id, client_id, user), ())))

    def missing(
        self, tenant: Tenant, client_id: str, application: Application, user: str, targets: Iterable[Target]
    ) -> tuple[str, ...]:
        """Return what is asked for and not consented to."""
        held = self._held(tenant, client_id, application, user)
        return tuple(name for target in targets for name in needed(application, target) if name not in held)

    def granted(
        self, tenant: Tenant, client_id: str, application: Application, user: str, target: Target
    ) -> tuple[str, ...]:
        """Return the permissions that a token for the target carries."""
        held = self._held(tenant, client_id, application, user)
        return tuple(name.rpartition("/")[2] for name in needed(application, target) if name in held)

    def _held(self, tenant: Tenant, client_id: str, application: Application, user: str) -> set[str]:
        if application.delegated_consent == "none":
            return set()
        held = set(self._given.get((tenant.id, client_id, user), ()))
        if application.delegated_consent == "admin":
            held.update(f"{app_id}/{name}" for app_id in RESOURCE_IDS for name in application.delegated)
        return held


def may_consent(user: User, application: Application) -> bool:
    """Say whether the user may consent for themselves."""
    allowed = user.tenant.switches.user_consent or user.mailbox.administrator
    return allowed and application.delegated_consent != "none"


def needed(application: Application, target: Target) -> tuple[str, ...]:
    """Return what a target asks for, one name for each permission, with its resource before it."""
    permissions = target.permissions
    if permissions == (DEFAULT,):
        permissions = tuple(name for name in application.delegated if name in target.resource.scopes)
    return tuple(f"{target.resource.app_id}/{name}" for name in permissions)


def asked_permissions(application: Application, scope: Scope) -> tuple[str, ...]:
    """Return what a whole scope asks for, in the form of `needed`."""
    return tuple(name for target in scope.targets for name in needed(application, target))
