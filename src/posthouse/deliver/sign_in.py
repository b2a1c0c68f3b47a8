"""A person signs in: by a code on any other device, or in a browser that comes back to this machine.

Source: RFC 8628 (device authorization grant); RFC 6749 4.1 with RFC 7636 (PKCE) and RFC 8252 7.3 (loopback redirect).
Shape: `SignInDesk.begin` asks the authority and gives what the person needs; `finish` looks once whether they are done.
Between the two nothing is remembered: device code and code verifier travel sealed in `Begun.state`, so that it does
not matter who carries the second step out, or when.
Failures: `TokenProblem`; `Pending` while the person is not done.
Leaves to others: showing the code, listening for the browser (``operate.cli.identity``), renewing (``deliver.tokens``).
"""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from posthouse.decide.identities import Delegated
from posthouse.deliver.authority import Answer, Asked, guarded, kept, make_application, scope_of
from posthouse.deliver.delegated import Purpose, SignIn
from posthouse.deliver.secrets import Secret, SecretOpener, SecretProblem
from posthouse.deliver.token_answer import TokenProblem, read_answer
from posthouse.deliver.token_http import HttpClient
from posthouse.deliver.tokens import TokenSource, open_client_secret
from posthouse.store.sealing import SealBroken, Sealer

MAX_STATE = 16 * 1024
_PENDING = frozenset({"authorization_pending", "slow_down"})
_AUTHORIZATION_LIFETIME = timedelta(minutes=15)
_LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What the person needs.

    Attributes:
        url: Page to open.
        user_code: To be typed there; empty where the browser comes back by itself.
        interval: Seconds between two looks.
        state: For `SignInDesk.finish`; sealed.
    """

    url: str
    user_code: str
    expires_at: datetime
    interval: float
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """The person is not done yet. `interval` is the least number of seconds until the next look."""

    interval: float


class SignInDesk:
    """Signs people in."""

    def __init__(
        self, tokens: TokenSource, secrets: SecretOpener, sealer: Sealer, clock: Callable[[], datetime]
    ) -> None:
        self._tokens, self._secrets, self._sealer, self._clock = tokens, secrets, sealer, clock

    async def begin(self, identity: Delegated, purpose: Purpose, redirect: str = "") -> Begun | TokenProblem:
        """Ask for a code, or for the address of the page to sign in on.

        Args:
            redirect: Where the browser comes back to (`authorization_code`).
        """
        asked = await self._asked(identity, purpose)
        if isinstance(asked, TokenProblem):
            return asked

        def ask(client: HttpClient) -> Answer:
            application = make_application(asked, client)
            if identity.kind == "device_code":
                flow: Answer = application.initiate_device_flow([asked.scope])
            else:
                flow = _begin_by_browser(application, asked, redirect, identity.user)
            return flow

        flow = await asyncio.to_thread(guarded, ask, identity)
        if "verification_uri" not in flow and "auth_uri" not in flow:
            problem, _ = read_answer(asked, flow)
            assert isinstance(problem, TokenProblem)
            return problem
        seconds = flow.get("expires_in")
        lifetime = timedelta(seconds=seconds) if isinstance(seconds, int) else _AUTHORIZATION_LIFETIME
        return Begun(
            url=str(flow.get("verification_uri") or flow.get("auth_uri")),
            user_code=str(flow.get("user_code", "")),
            expires_at=self._clock() + min(lifetime, _LONGEST),
            interval=_interval(flow),
            state=self._seal(identity, {"flow": flow, "purpose": purpose}),
        )

    async def finish(
        self, identity: Delegated, state: str, response: Mapping[str, str]
    ) -> SignIn | Pending | TokenProblem:
        """Look whether the person is done, and keep the sign-in when they are.

        Args:
            state: Of `begin`.
            response: Parameters with which the browser came back; empty for a device code.
        """
        begun = self._open(identity, state)
        if begun is None:
            return TokenProblem("this sign-in was not begun here, or for another identity; begin again")
        flow, purpose = begun["flow"], begun["purpose"]
        asked = await self._asked(identity, purpose)
        if isinstance(asked, TokenProblem):
            return asked
        answer = await asyncio.to_thread(guarded, lambda client: _redeem(asked, client, flow, response), identity)
        if answer.get("error") in _PENDING:
            slower = 5.0 if answer["error"] == "slow_down" else 0.0
            return Pending(_interval(flow) + slower)
        result, _ = read_answer(asked, answer)
        if isinstance(result, TokenProblem):
            return result
        return await self._keep(identity, purpose, answer)

    async def _keep(self, identity: Delegated, purpose: Purpose, answer: Answer) -> SignIn | TokenProblem:
        claims = answer.get("id_token_claims") or {}
        user = str(claims.get("preferred_username") or identity.user)
        if user.lower() != identity.user:
            reason = f"{user[:200]} signed in, but the identity {identity.name} is that of {identity.user}"
            return TokenProblem(reason, code="another_user", needs_operator=True)
        if not answer.get("refresh_token_came"):
            reason = "the authority gave no refresh token; the application needs the permission offline_access"
            return TokenProblem(reason, code="no_refresh_token", needs_operator=True)
        now = self._clock()
        sign_in = SignIn(cache=str(answer["session"]), user=user, purpose=purpose, signed_in_at=now, refreshed_at=now)
        assert self._tokens.sign_ins is not None
        async with self._tokens.sign_ins.locks[identity.name]:
            await self._tokens.sign_ins.write(identity.name, sign_in)
        self._tokens.forget_identity(identity.name)
        return sign_in

    async def _asked(self, identity: Delegated, purpose: Purpose) -> Asked | TokenProblem:
        secret: Secret | SecretProblem | None = await open_client_secret(identity, self._secrets.open)
        if isinstance(secret, SecretProblem):
            return TokenProblem(secret.reason)
        return Asked(identity=identity, purpose=purpose, secret=secret, now=self._clock())

    def _seal(self, identity: Delegated, value: object) -> str:
        sealed = self._sealer.seal(json.dumps(value).encode(), _purpose(identity))
        return base64.b64encode(sealed).decode()

    def _open(self, identity: Delegated, state: str) -> dict[str, Any] | None:
        if len(state) > MAX_STATE:
            return None
        try:
            sealed = base64.b64decode(state, validate=True)
            opened: dict[str, Any] = json.loads(self._sealer.open(sealed, _purpose(identity)))
        except (ValueError, SealBroken):
            return None
        return opened


def _begin_by_browser(application: Any, asked: Asked, redirect: str, user: str) -> Answer:
    # The answer comes in the address, so that it can be copied from a browser on another machine. MSAL would rather
    # see a form posted; code and verifier (RFC 7636) are of use only together.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        flow: Answer = application.initiate_auth_code_flow([asked.scope], redirect_uri=redirect, login_hint=user)
    return flow


def _redeem(asked: Asked, client: HttpClient, flow: dict[str, Any], response: Mapping[str, str]) -> Answer:
    import msal

    cache = msal.SerializableTokenCache()
    application = make_application(asked, client, cache)
    if "device_code" in flow:
        # The loop around it is the caller's: this asks once.
        answer: Answer = application.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    else:
        answer = application.acquire_token_by_auth_code_flow(flow, dict(response), scopes=[asked.scope])
    if "access_token" not in answer:
        return answer
    came = bool(list(cache.search(cache.CredentialType.REFRESH_TOKEN)))
    return {**answer, "session": kept(cache), "refresh_token_came": came}


def _interval(flow: dict[str, Any]) -> float:
    """Seconds between two looks (RFC 8628 3.2), within reason."""
    value = flow.get("interval", 5)
    return min(max(float(value), 1.0), 60.0) if isinstance(value, int | float) else 5.0


def _purpose(identity: Delegated) -> str:
    return f"sign-in:{identity.name}:{scope_of(identity, 'smtp')}"
