"""Identities in the shapes of the control API: how they are, signing in, trying, resuming, replacing certificates.

Shape: `IdentityService` works the same in the running node and in a command without one; every request names an
identity of the flow in use.
Failures: `Refusal` values with the authority's own words.
Leaves to others: all work (``deliver``), pauses (``queue.budget``), words for people (``operate.cli.identity``).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from posthouse.decide.identities import Certificate, Delegated, Entra, Password
from posthouse.decide.outbound import FromMailboxes
from posthouse.deliver.delegated import INACTIVE_LIFETIME, Purpose
from posthouse.deliver.expiry import Expiry, NotKnown
from posthouse.deliver.identities import Identities
from posthouse.deliver.identity_duties import purposes_of
from posthouse.deliver.rotation import NewCertificate, RotationProblem
from posthouse.deliver.secrets import Secret
from posthouse.deliver.sign_in import Pending
from posthouse.deliver.tokens import TokenProblem
from posthouse.mail.budget import Pause
from posthouse.operate.identity_shapes import (
    IdentityTested,
    IdentityView,
    IdentityViews,
    PauseView,
    Resumed,
    ResumeRequest,
    RotatedView,
    RotateRequest,
    SignInBegun,
    SignInLook,
    SignInLooked,
    SignInRequest,
    Steps,
    TokenView,
)
from posthouse.operate.identity_steps import certificate_steps, set_up_steps
from posthouse.operate.port import QueueControl
from posthouse.operate.queue_service import MAX_CHANGED
from posthouse.operate.shapes import Named, Nothing, Refusal
from posthouse.queue.budget import Budgets
from posthouse.store.port import QueueFilter, Store

_PURPOSES: tuple[Purpose, ...] = ("smtp", "graph")
_MAX_RESPONSE = 20

_REDIRECT = re.compile(r"http://localhost(:\d{1,5})?(/[A-Za-z0-9/_-]*)?")


class IdentityService:
    """Who Posthouse is where it has to log in.

    Args:
        budgets: Holds the pauses.
        queue: Lets waiting mail try again when a pause ends.
    """

    def __init__(
        self,
        identities: Identities,
        budgets: Budgets,
        queue: QueueControl,
        store: Store,
        clock: Callable[[], datetime],
    ) -> None:
        self._identities, self._budgets, self._queue = identities, budgets, queue
        self._store, self._clock = store, clock

    async def list(self, request: Nothing, by: str) -> IdentityViews:
        """All identities, and all accounts that rest."""
        now = self._clock()
        resting = {p.account: p for p in await self._store.pauses() if p.until is None or p.until > now}
        views = [await self._view(identity, resting) for identity in self._identities.flow().identity]
        return IdentityViews(tuple(views), tuple(_pause(pause) for pause in resting.values()))

    async def begin_sign_in(self, request: SignInRequest, by: str) -> SignInBegun | Refusal:
        """Ask for a code or for the address of the sign-in page."""
        identity = self._person(request.name)
        if isinstance(identity, Refusal):
            return identity
        if identity.kind == "authorization_code" and not _REDIRECT.fullmatch(request.redirect):
            return Refusal(code="invalid", message="the browser comes back to http://localhost, with any port")
        purpose = request.purpose or purposes_of(self._identities.flow(), identity.name)[0]
        begun = await self._identities.sign_in.begin(identity, purpose, request.redirect)
        if isinstance(begun, TokenProblem):
            return _refused(begun)
        return SignInBegun(
            user=identity.user,
            url=begun.url,
            user_code=begun.user_code,
            expires_at=begun.expires_at,
            interval=begun.interval,
            state=begun.state,
        )

    async def look_at_sign_in(self, request: SignInLook, by: str) -> SignInLooked | Refusal:
        """Look whether the person is done; a sign-in that is done ends the pauses that waited for it."""
        identity = self._person(request.name)
        if isinstance(identity, Refusal):
            return identity
        if len(request.response) > _MAX_RESPONSE:
            return Refusal(code="invalid", message="this is not what a browser comes back with")
        done = await self._identities.sign_in.finish(identity, request.state, request.response)
        if isinstance(done, TokenProblem):
            return _refused(done)
        if isinstance(done, Pending):
            return SignInLooked(done=False, interval=done.interval)
        return SignInLooked(done=True, user=done.user, resumed=await self._resume(self._accounts_of(identity.name), by))

    async def test(self, request: Named, by: str) -> IdentityTested | Refusal:
        """Get fresh tokens and tell what they say of themselves."""
        identity = self._found(request.name)
        if isinstance(identity, Refusal):
            return identity
        if isinstance(identity, Password):
            return Refusal(code="invalid", message=f"{identity.name} is a password; only a session can try it")
        needed = purposes_of(self._identities.flow(), identity.name)
        return IdentityTested(identity.name, tuple([await self._try(identity, p, p in needed) for p in _PURPOSES]))

    async def resume(self, request: ResumeRequest, by: str) -> Resumed | Refusal:
        """End the pause of an identity with its mailboxes and connectors, of one account, or of all."""
        if request.name is None:
            for identity in self._identities.flow().identity:
                self._identities.tokens.forget_identity(identity.name)
            return Resumed(await self._resume(None, by))
        accounts = {request.name, *(f"{kind}:{request.name}" for kind in ("identity", "mailbox", "graph", "connector"))}
        if not isinstance(self._found(request.name), Refusal):
            accounts |= self._accounts_of(request.name)
            self._identities.tokens.forget_identity(request.name)
        resumed = await self._resume(accounts, by)
        if not resumed:
            return Refusal(code="not_found", message=f"nothing rests under the name {request.name[:100]!r}")
        return Resumed(resumed)

    async def rotate(self, request: RotateRequest, by: str) -> RotatedView | Refusal:
        """Make a new certificate, or take it into use."""
        identity = self._found(request.name)
        if isinstance(identity, Refusal):
            return identity
        if not isinstance(identity, Certificate):
            return Refusal(code="invalid", message=f"{identity.name} is a {identity.kind}, not a certificate")
        if request.finish:
            purpose = purposes_of(self._identities.flow(), identity.name)[0]
            done = await self._identities.rotation.finish(identity, purpose)
        elif request.upload:
            done = await self._identities.rotation.upload(identity)
        else:
            done = await self._identities.rotation.begin(identity)
        if isinstance(done, RotationProblem):
            return Refusal(code="failed", message=done.reason)
        return _rotated(identity, done, is_known=request.upload)

    async def steps(self, request: Named, by: str) -> Steps | Refusal:
        """What a person does in Entra and Exchange."""
        identity = self._found(request.name)
        return identity if isinstance(identity, Refusal) else set_up_steps(identity, self._identities.flow())

    async def _view(self, identity: Entra | Password, resting: dict[str, Pause]) -> IdentityView:
        known = await self._identities.watch.known(identity)
        flow = self._identities.flow()
        answers = self._identities.tokens.fetched
        fetched = [answers[key] for p in purposes_of(flow, identity.name) if (key := (identity.name, p)) in answers]
        view = IdentityView(
            name=identity.name,
            kind=identity.kind,
            tenant=identity.tenant,
            connectors=tuple(c.name for c in flow.outbound if getattr(c, "identity", None) == identity.name),
            state="ok",
            ends=known.what if isinstance(known, Expiry) else "",
            ends_at=known.ends_at if isinstance(known, Expiry) else None,
            ends_source=known.source if isinstance(known, Expiry) else known.reason if known else "",
            days_left=known.days_left if isinstance(known, Expiry) else None,
            renewed_at=known.ends_at - INACTIVE_LIFETIME
            if isinstance(known, Expiry) and known.what == "sign-in"
            else None,
            token_at=max((answer.at for answer in fetched if answer.problem is None), default=None),
            waits=isinstance(identity, Certificate) and self._identities.rotation.is_pending(identity),
        )
        pause = next((p for a, p in resting.items() if a in self._accounts_of(identity.name)), None)
        if isinstance(identity, Delegated) and isinstance(known, NotKnown):
            return replace(view, state="not_signed_in", because=f"{identity.user} has not signed in")
        if pause is not None:
            return replace(view, state="paused", because=pause.reason, until=pause.until)
        problem = next((answer.problem for answer in fetched if answer.problem is not None), None)
        return replace(view, state="failing", because=problem.reason) if problem is not None else view

    async def _try(self, identity: Entra, purpose: Purpose, is_needed: bool) -> TokenView:
        self._identities.tokens.forget(identity, purpose)
        token = await self._identities.tokens.token(identity, purpose)
        if isinstance(token, TokenProblem):
            return TokenView(purpose=purpose, is_needed=is_needed, ok=False, problem=token.reason, code=token.code)
        claims = read_claims(token)
        ends_at = claims.get("exp")
        return TokenView(
            purpose=purpose,
            is_needed=is_needed,
            ok=True,
            audience=str(claims.get("aud", "")),
            roles=tuple(map(str, claims.get("roles") or ())),
            scopes=tuple(str(claims.get("scp") or "").split()),
            subject=str(claims.get("upn") or claims.get("preferred_username") or claims.get("appid") or ""),
            tenant=str(claims.get("tid", "")),
            ends_at=datetime.fromtimestamp(ends_at, UTC) if isinstance(ends_at, int | float) else None,
        )

    async def _resume(self, accounts: set[str] | None, by: str) -> tuple[str, ...]:
        ended = tuple(await self._budgets.resume(accounts))
        connectors = {name for account in ended for name in self._connectors_of(account)}
        for hop in await self._store.hops():
            # The name of a waiting line begins with its connector and goes on with those that may stand in.
            if connectors & {part.partition("/")[0] for part in hop.hop.split("+")}:
                await self._queue.retry(QueueFilter(hop=hop.hop, limit=MAX_CHANGED), by=by)
        return ended

    def _connectors_of(self, account: str) -> set[str]:
        kind, _, name = account.partition(":")
        outbound = self._identities.flow().outbound
        if kind == "connector":
            return {name}
        if kind == "identity":
            return {c.name for c in outbound if getattr(c, "identity", None) == name}
        # A mailbox may be named, or be the sender's own.
        return {c.name for c in outbound if isinstance(c, FromMailboxes) and name in (c.mailboxes or (name,))}

    def _accounts_of(self, name: str) -> set[str]:
        """Accounts that wait for the same person to act."""
        accounts = {f"identity:{name}"}
        for connector in self._identities.flow().outbound:
            if getattr(connector, "identity", None) == name:
                accounts.add(f"connector:{connector.name}")
                if isinstance(connector, FromMailboxes):
                    accounts |= {f"{kind}:{name}" for name in connector.mailboxes for kind in ("mailbox", "graph")}
        return accounts

    def _found(self, name: str) -> Entra | Password | Refusal:
        identities = self._identities.flow().identity
        found = next((identity for identity in identities if identity.name == name), None)
        if found is not None:
            return found
        known = ", ".join(identity.name for identity in identities) or "none"
        return Refusal(code="not_found", message=f"there is no identity {name[:100]!r}; known: {known}")

    def _person(self, name: str) -> Delegated | Refusal:
        identity = self._found(name)
        if isinstance(identity, Refusal | Delegated):
            return identity
        return Refusal(code="invalid", message=f"{name} is a {identity.kind}; nobody signs in for it")


def read_claims(token: Secret) -> dict[str, Any]:
    """The claims of a token (RFC 7519 3), unverified; none where it is not ours to read."""
    parts = token.reveal().split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _pause(pause: Pause) -> PauseView:
    return PauseView(
        account=pause.account, since=pause.since, until=pause.until, reason=pause.reason, reply=pause.reply
    )


def _refused(problem: TokenProblem) -> Refusal:
    return Refusal(code="failed" if problem.needs_operator else "unavailable", message=problem.reason)


def _rotated(identity: Certificate, made: NewCertificate, *, is_known: bool) -> RotatedView:
    steps = certificate_steps(identity, made.public)
    return RotatedView(
        name=identity.name,
        file=str(made.file),
        public=str(made.public),
        sha1=made.sha1,
        sha256=made.sha256,
        ends_at=made.ends_at,
        in_use=made.in_use,
        steps=() if made.in_use else steps[-1:] if is_known else steps,
    )
