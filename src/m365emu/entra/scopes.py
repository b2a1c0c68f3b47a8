"""What is asked for: the parameter `scope`, read.

Purpose: turn a scope string into resources and permissions. Source: "Scopes and permissions in the Microsoft identity
platform", "OAuth 2.0 client credentials flow"; RFC 6749 3.3.
Shape: `read_scope` for what a person signs in for, where several resources are legal; `one_target` for the token
endpoint, where they are not; `read_application_scope` for an application alone, which may only ask for `/.default`.
Failures: `EntraError`. Leaves to others: consent (`consents`).
"""

from dataclasses import dataclass

from m365emu.entra import errors
from m365emu.entra.errors import EntraError
from m365emu.resources import OPENID_SCOPES, Resource, resource_named, split_scope

DEFAULT = ".default"

_MOST_CHARACTERS = 8_000
_MOST_SCOPES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One resource that is asked for.

    Attributes:
        name: the resource's URL as it was asked for: the audience.
        resource: what that is.
        permissions: the delegated permissions, or only `.default`.
        asked: the scopes as they were spelled, in the same order.
    """

    name: str
    resource: Resource
    permissions: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A scope string, read; `text` is the string itself."""

    text: str
    targets: tuple[Target, ...]
    openid: frozenset[str]


def read_scope(text: str, application: str, tenant: str) -> Scope | EntraError:
    """Read what is asked for on behalf of a user.

    Args:
        text: the parameter.
        application: the application's name, for the refusal.
        tenant: the tenant's name, for the refusal.
    """
    words = list(dict.fromkeys(text.split()))
    if not words:
        return errors.PARAMETER_MISSING(parameter="scope")
    if len(text) > _MOST_CHARACTERS or len(words) > _MOST_SCOPES:
        return errors.SCOPE_INVALID(scope=text[:100])
    asked: dict[str, list[tuple[str, str, str]]] = {}
    for word in words:
        if word in OPENID_SCOPES:
            continue
        name, permission = split_scope(word)
        resource = resource_named(name)
        if resource is None:
            return errors.RESOURCE_UNKNOWN(resource=name, tenant=tenant)
        if permission != DEFAULT and permission not in resource.scopes:
            return errors.SCOPE_UNKNOWN(name=application, permission=permission, resource=resource.app_id)
        asked.setdefault(resource.app_id, []).append((name, permission, word))
    targets = [_target(found) for found in asked.values()]
    if any(DEFAULT in target.permissions and len(target.permissions) > 1 for target in targets):
        return errors.SCOPE_INVALID(scope=text)
    return Scope(text=text, targets=tuple(targets), openid=OPENID_SCOPES.intersection(words))


def one_target(scope: Scope) -> Target | EntraError:
    """Return the single resource that the token endpoint makes a token for.

    Without any resource the token is for Microsoft Graph, which answers what OpenID Connect calls user information.
    """
    if len(scope.targets) > 1:
        return errors.SCOPE_OF_TWO_RESOURCES(scope=scope.text)
    if not scope.targets:
        name, _ = split_scope("User.Read")
        resource = resource_named(name)
        assert resource is not None
        return Target(name=name, resource=resource, permissions=(), asked=())
    return scope.targets[0]


def read_application_scope(text: str, tenant: str) -> Target | EntraError:
    """Read what an application asks for itself: `/.default` of one resource."""
    words = text.split()
    if not words:
        return errors.PARAMETER_MISSING(parameter="scope")
    if len(text) > _MOST_CHARACTERS:
        return errors.SCOPE_INVALID(scope=text[:100])
    if len(words) > 1:
        return errors.SCOPE_OF_TWO_RESOURCES(scope=text)
    if not text.endswith(f"/{DEFAULT}"):
        return errors.SCOPE_NOT_DEFAULT(scope=text)
    name, _ = split_scope(words[0])
    resource = resource_named(name)
    if resource is None:
        return errors.RESOURCE_UNKNOWN(resource=name, tenant=tenant)
    return Target(name=name, resource=resource, permissions=(DEFAULT,), asked=(words[0],))


def _target(found: list[tuple[str, str, str]]) -> Target:
    resource = resource_named(found[0][0])
    assert resource is not None
    return Target(
        name=found[0][0],
        resource=resource,
        permissions=tuple(permission for _, permission, _ in found),
        asked=tuple(word for _, _, word in found),
    )
