"""Access tokens from Microsoft Entra, for every kind of identity.

Source: ``deliver.authority``; "High Volume Email" wants tokens with more than ten minutes left.
Shape: `TokenSource.token` gives a cached token while it is good for another quarter of an hour. One request at a time
for an identity and purpose, however many sessions ask; MSAL blocks, so it runs in a thread.
Failures: `TokenProblem` as a value with the authority's own words (``AADSTS...``); no secret is ever part of them. A
refusal is remembered for a moment, so that a wrong secret is not tried again and again. While an old token is still
good, a failure to renew it is no failure.
Leaves to others: opening secrets (``deliver.secrets``), signing in (``deliver.sign_in``), what follows from a problem.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import structs

from posthouse.decide.identities import Certificate, ClientSecret, Delegated, Entra, ManagedIdentity, Workload
from posthouse.deliver.assertions import CredentialProblem, read_key_pair
from posthouse.deliver.authority import Answer, Asked, ask_authority
from posthouse.deliver.delegated import Purpose as Purpose
from posthouse.deliver.delegated import SignIns
from posthouse.deliver.secrets import Secret, SecretOpener, SecretProblem
from posthouse.deliver.token_answer import TokenProblem as TokenProblem
from posthouse.deliver.token_answer import read_answer
from posthouse.deliver.vault import Vault

log = structlog.get_logger()

RENEW_SECONDS = 900.0
"""A token is renewed when it ends within this time."""
LAST_SECONDS = 60.0
"""An old token serves until this long before its end where it cannot be renewed."""
LONGEST_ANSWER_SECONDS = 90.0
"""For discovery and token together."""
REMEMBER_REFUSAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The last answer about an identity and purpose.

    Attributes:
        ends_at: Of the token; None where there was none.
        problem: Why there was none.
    """

    at: datetime
    ends_at: datetime | None = None
    problem: TokenProblem | None = None


Ask = Callable[[Asked], Answer]


@dataclass(slots=True)
class _Known:
    result: Secret | TokenProblem
    renew_at: float
    ends_at: float


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class TokenSource:
    """Tokens for all connectors of the node."""

    def __init__(
        self,
        secrets: SecretOpener,
        ask: Ask | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        vault: Vault | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            secrets: Opens secrets and passphrases.
            ask: Asks the authority, in a thread; by default with MSAL.
            monotonic: Seconds, for what is remembered.
            vault: Keeps people's sign-ins; without it nobody is signed in.
            clock: Aware UTC.
        """
        self._secrets = secrets
        self._ask = ask or ask_authority
        self._monotonic, self._clock = monotonic, clock
        self.sign_ins = SignIns(vault) if vault is not None else None
        self._known: dict[tuple[Entra, Purpose], _Known] = {}
        self._running: dict[tuple[Entra, Purpose], asyncio.Task[Secret | TokenProblem]] = {}
        self.fetched: dict[tuple[str, Purpose], Fetched] = {}

    async def token(self, identity: Entra, purpose: Purpose) -> Secret | TokenProblem:
        """A token that is good for some minutes, or why there is none."""
        key = (identity, purpose)
        known = self._known.get(key)
        if known is not None and self._monotonic() < known.renew_at:
            return known.result
        task = self._running.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._renew(identity, purpose))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # One asker that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def forget(self, identity: Entra, purpose: Purpose) -> None:
        """The token was refused where it was shown: ask for a new one next time."""
        self._known.pop((identity, purpose), None)

    def forget_identity(self, name: str) -> None:
        """A person acted: what was remembered of an identity counts no more."""
        self._known = {key: known for key, known in self._known.items() if key[0].name != name}

    async def keep_alive(self, identities: tuple[Entra, ...], older_than: timedelta) -> list[TokenProblem]:
        """Renew people's sign-ins that were not renewed for some time; a daily duty."""
        problems = []
        for identity in identities:
            if not isinstance(identity, Delegated) or self.sign_ins is None:
                continue
            sign_in = await self.sign_ins.read(identity.name)
            if sign_in is None or self._clock() - sign_in.refreshed_at < older_than:
                continue
            self.forget(identity, sign_in.purpose)
            result = await self.token(identity, sign_in.purpose)
            if isinstance(result, TokenProblem):
                log.warning("identity.not_kept_alive", identity=identity.name, reason=result.reason)
                problems.append(result)
        return problems

    async def _renew(self, identity: Entra, purpose: Purpose) -> Secret | TokenProblem:
        old = self._known.get((identity, purpose))
        if isinstance(identity, Delegated) and self.sign_ins is not None:
            async with self.sign_ins.locks[identity.name]:
                result, seconds = await self._fetch(identity, purpose)
        else:
            result, seconds = await self._fetch(identity, purpose)
        now = self._monotonic()
        if isinstance(result, TokenProblem):
            wait = result.retry_after.total_seconds() if result.retry_after else REMEMBER_REFUSAL_SECONDS
            if old is not None and isinstance(old.result, Secret) and now < old.ends_at - LAST_SECONDS:
                log.warning("identity.token_not_renewed", identity=identity.name, reason=result.reason)
                old.renew_at = min(now + wait, old.ends_at - LAST_SECONDS)
                return old.result
            self._known[(identity, purpose)] = _Known(result, now + wait, now + wait)
        else:
            renew_at = now + seconds - min(RENEW_SECONDS, seconds / 2)
            self._known[(identity, purpose)] = _Known(result, renew_at, now + seconds)
        return result

    async def _fetch(self, identity: Entra, purpose: Purpose) -> tuple[Secret | TokenProblem, float]:
        """The token and the seconds that it lives, or a problem."""
        at = self._clock()
        asked = await self._opened(identity, purpose, at)
        if isinstance(asked, TokenProblem):
            self.fetched[(identity.name, purpose)] = Fetched(at=at, problem=asked)
            return asked, 0.0
        try:
            # Each read has its own bound; an authority that trickles must not hold all who ask for a token.
            answer = await asyncio.wait_for(asyncio.to_thread(self._ask, asked), LONGEST_ANSWER_SECONDS)
        except TimeoutError:
            answer = {"error": "timeout", "error_description": f"no answer within {LONGEST_ANSWER_SECONDS:g} s"}
        result, seconds = read_answer(asked, answer)
        if isinstance(result, TokenProblem):
            self.fetched[(identity.name, purpose)] = Fetched(at=at, problem=result)
            return result, 0.0
        self.fetched[(identity.name, purpose)] = Fetched(at=at, ends_at=at + timedelta(seconds=seconds))
        if isinstance(identity, Delegated):
            await self._keep(identity, str(answer.get("session", "")), at)
        return result, seconds

    async def _keep(self, identity: Delegated, cache: str, at: datetime) -> None:
        assert self.sign_ins is not None
        sign_in = await self.sign_ins.read(identity.name)
        if sign_in is not None and cache:
            await self.sign_ins.write(identity.name, structs.replace(sign_in, cache=cache, refreshed_at=at))

    async def _opened(self, identity: Entra, purpose: Purpose, now: datetime) -> Asked | TokenProblem:
        match identity:
            case ManagedIdentity():
                return Asked(identity=identity, purpose=purpose, now=now)
            case ClientSecret(client_secret=reference):
                return await self._with_secret(identity, purpose, reference, now)
            case Workload(token_file=path):
                return await self._with_secret(identity, purpose, f"file:{path}", now)
            case Certificate():
                return await self._with_pair(identity, purpose, now)
            case Delegated():
                return await self._with_sign_in(identity, purpose, now)

    async def _with_secret(
        self, identity: Entra, purpose: Purpose, reference: str, now: datetime
    ) -> Asked | TokenProblem:
        secret = await self._secrets.open(reference)
        if isinstance(secret, SecretProblem):
            return TokenProblem(secret.reason)
        return Asked(identity=identity, purpose=purpose, secret=secret, now=now)

    async def _with_pair(self, identity: Certificate, purpose: Purpose, now: datetime) -> Asked | TokenProblem:
        phrase = await self._secrets.open(identity.passphrase) if identity.passphrase else None
        if isinstance(phrase, SecretProblem):
            return TokenProblem(phrase.reason)
        pair = await asyncio.to_thread(read_key_pair, identity.certificate, identity.key, phrase)
        if isinstance(pair, CredentialProblem):
            return TokenProblem(pair.reason)
        if pair.ends_at <= now:
            return TokenProblem(f"the certificate {identity.certificate} ended on {pair.ends_at:%Y-%m-%d}")
        return Asked(identity=identity, purpose=purpose, pair=pair, now=now)

    async def _with_sign_in(self, identity: Delegated, purpose: Purpose, now: datetime) -> Asked | TokenProblem:
        sign_in = await self.sign_ins.read(identity.name) if self.sign_ins is not None else None
        if sign_in is None:
            reason = f"{identity.user} has not signed in; run `posthouse identity login {identity.name}`"
            return TokenProblem(reason, code="not_signed_in", needs_operator=True)
        secret = await open_client_secret(identity, self._secrets.open)
        if isinstance(secret, SecretProblem):
            return TokenProblem(secret.reason)
        return Asked(identity=identity, purpose=purpose, secret=secret, session=sign_in.cache, now=now)


async def open_client_secret(
    identity: Delegated, open_: Callable[[str], Awaitable[Secret | SecretProblem]]
) -> Secret | SecretProblem | None:
    """The secret of a confidential application; None where there is none."""
    return await open_(identity.client_secret) if identity.client_secret else None
