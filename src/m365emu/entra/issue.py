"""Tokens handed out: for an application, or for a person who agreed.

Purpose: make the JSON object of a token answer, once it is known who may have it. Source: RFC 6749 5.1, OpenID Connect
Core 1.0 2; "ID token claims reference"; `client_info` is what Microsoft's libraries name their accounts by.
Shape: `Issuer.for_application` and `Issuer.from_grant`; a grant is judged anew each time, so that a changed
password, a revocation or a policy counts at once. Failures: `EntraError`.
Leaves to others: grants (`grants`), signing (`tokens`).
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import msgspec

from m365emu.clock import Clock
from m365emu.entra import user_errors
from m365emu.entra.accounts import Accounts, User
from m365emu.entra.clients import Client, Clients
from m365emu.entra.consents import Consents
from m365emu.entra.errors import EntraError
from m365emu.entra.grants import Grant
from m365emu.entra.refresh_tokens import RefreshTokens
from m365emu.entra.scopes import DEFAULT, Scope, Target, one_target, read_scope
from m365emu.entra.seal import Seal
from m365emu.tenant import Tenant
from m365emu.tokens import TokenMaker

Answer = dict[str, object]


class Issuer:
    """Hands tokens out."""

    def __init__(
        self,
        *,
        tokens: TokenMaker,
        clients: Clients,
        accounts: Accounts,
        consents: Consents,
        refresh_tokens: RefreshTokens,
        seal: Seal,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._clients = clients
        self._accounts = accounts
        self._consents = consents
        self._refresh_tokens = refresh_tokens
        self._seal = seal
        self._clock = clock

    def for_application(self, client: Client, audience: str) -> Answer:
        """Return what an application gets for itself: a token with its consented permissions, and no more."""
        return {**_lifetime(client.tenant), "access_token": self.application_token(client, audience)}

    def application_token(self, client: Client, audience: str) -> str:
        """Make the token that an application gets for itself."""
        return self._tokens.make(
            client_id=client.client_id,
            application=client.application,
            tenant_id=client.tenant.id,
            lifetime=timedelta(seconds=client.tenant.limits.token_seconds),
            audience=audience,
        )

    def grant(self, client: Client, user: User, scope: str, nonce: str) -> Grant:
        """Return what a user who just signed in agrees to."""
        return Grant(
            client_id=client.client_id,
            tenant_id=user.tenant.id,
            user=user.address,
            scope=scope,
            issued=self._clock.now().timestamp(),
            password=self._seal.stamp(user.mailbox.password),
            era=self._refresh_tokens.era,
            consents=self._consents.given(user.tenant, client.client_id, user.address),
            nonce=nonce,
        )

    def from_grant(
        self, client: Client, tenant: Tenant | None, grant: Grant, form: Mapping[str, str], host: str
    ) -> Answer | EntraError:
        """Make tokens from what a user agreed to, if it still holds."""
        home = self._clients.tenant(grant.tenant_id)
        if not isinstance(home, Tenant) or (tenant is not None and tenant.id != home.id):
            return user_errors.GRANT_INVALID()
        user = self._accounts.find(grant.user, home)
        at_home = self._clients.find(client.client_id, home)
        if isinstance(user, EntraError):
            return user
        if isinstance(at_home, EntraError):
            return at_home
        if grant.era != self._refresh_tokens.era or grant.password != self._seal.stamp(user.mailbox.password):
            valid_from = f"{self._refresh_tokens.valid_from:%Y-%m-%dT%H:%M:%S.0000000Z}"
            return user_errors.GRANT_REVOKED(issued=f"{grant.moment:%Y-%m-%dT%H:%M:%S.0000000Z}", valid_from=valid_from)
        refusal = self._accounts.still_good(user)
        if refusal is not None:
            return refusal
        self._consents.give(home, client.client_id, user.address, grant.consents)
        return self._for_user(at_home, user, grant, form, host)

    def _for_user(
        self, client: Client, user: User, grant: Grant, form: Mapping[str, str], host: str
    ) -> Answer | EntraError:
        application = client.application
        agreed = read_scope(grant.scope, application.name, user.tenant.name)
        if isinstance(agreed, EntraError):
            return agreed
        scope = replace(agreed, targets=agreed.targets[:1])
        if form.get("scope"):
            asked = read_scope(form["scope"], application.name, user.tenant.name)
            if isinstance(asked, EntraError):
                return asked
            scope = asked
        target = one_target(scope)
        if isinstance(target, EntraError):
            return target
        about = (user.tenant, client.client_id, application, user.address)
        granted = self._consents.granted(*about, target)
        if self._consents.missing(*about, [target]) or (target.permissions and not granted):
            return user_errors.CONSENT_MISSING(client_id=client.client_id, name=application.name)
        answer: Answer = {
            **_lifetime(user.tenant),
            "scope": _granted_scope(scope, target, granted),
            "access_token": self._user_token(client, user, target, granted or tuple(sorted(scope.openid))),
        }
        openid = scope.openid | agreed.openid
        if "offline_access" in openid:
            answer["refresh_token"] = self._refresh_tokens.issue(self.grant(client, user, grant.scope, ""))
        if "openid" in openid:
            answer["id_token"] = self._id_token(client, user, grant.nonce, openid, host)
        if form.get("client_info") == "1":
            answer["client_info"] = _client_info(user)
        return answer

    def _user_token(self, client: Client, user: User, target: Target, scopes: tuple[str, ...]) -> str:
        return self._tokens.make(
            client_id=client.client_id,
            application=client.application,
            tenant_id=user.tenant.id,
            lifetime=timedelta(seconds=user.tenant.limits.token_seconds),
            audience=target.name,
            subject=user.subject,
            scopes=scopes,
        )

    def _id_token(self, client: Client, user: User, nonce: str, openid: frozenset[str], host: str) -> str:
        subject = user.subject
        pair = f"{client.client_id}/{subject.object_id}".encode()
        claims: dict[str, object] = {
            "iss": f"https://{host}/{user.tenant.id}/v2.0",
            "aud": client.client_id,
            "sub": base64.urlsafe_b64encode(hashlib.sha256(pair).digest()).rstrip(b"=").decode(),
            "oid": subject.object_id,
            "tid": user.tenant.id,
            "preferred_username": subject.address,
            "name": subject.name,
            "ver": "2.0",
        }
        if nonce:
            claims["nonce"] = nonce
        if "email" in openid:
            claims["email"] = subject.address
        return self._tokens.sign(claims, timedelta(seconds=user.tenant.limits.token_seconds))


def _lifetime(tenant: Tenant) -> Answer:
    seconds = max(1, tenant.limits.token_seconds - 1)
    return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds}


def _granted_scope(scope: Scope, target: Target, granted: tuple[str, ...]) -> str:
    """Return the scopes as the client spelled them, which is how its cache finds the token again."""
    words = [*target.asked, *sorted(scope.openid - {"offline_access"})]
    if target.permissions == (DEFAULT,):
        words += [f"{target.name}/{permission}" for permission in granted]
    return " ".join(words)


def _client_info(user: User) -> str:
    info = {"uid": user.subject.object_id, "utid": user.tenant.id}
    return base64.urlsafe_b64encode(msgspec.json.encode(info)).rstrip(b"=").decode()
