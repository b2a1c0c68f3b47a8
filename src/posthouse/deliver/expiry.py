"""When credentials end, how that is known, and warnings before it happens.

Source: RFC 5280 4.1.2.5 (certificates); Graph's "application resource type" (``passwordCredentials`` with ``hint``, the
first three characters, and ``endDateTime``); "Refresh tokens in the Microsoft identity platform".
Shape: `ExpiryWatch.known` says what is known of an identity without asking anybody; `look` is the daily duty: it asks
Graph about client secrets, and warns once for each of `WARN_DAYS` by log, event and callback.
Failures: what cannot be known is `NotKnown` with a sentence; an identity may also have nothing that ends (None).
Leaves to others: mail and metrics (the callback), tokens (``deliver.tokens``), new certificates (``deliver.rotation``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog
from msgspec import Struct, structs

from posthouse.decide.flow import Flow
from posthouse.decide.identities import Certificate, ClientSecret, Delegated, ManagedIdentity, Password, Workload
from posthouse.deliver.assertions import CredentialProblem, read_key_pair
from posthouse.deliver.secrets import Secret, SecretOpener, SecretProblem
from posthouse.deliver.token_http import Answered, HttpClient
from posthouse.deliver.tokens import TokenProblem, TokenSource
from posthouse.deliver.vault import Vault
from posthouse.mail.event import Event, EventKind
from posthouse.microsoft.clouds import CLOUDS

log = structlog.get_logger()

WARN_DAYS = (60, 30, 7, 1)
"""Days before the end at which somebody is told; once more when it is over."""
_MAX_CREDENTIALS = 1000

AnyIdentity = ClientSecret | Certificate | ManagedIdentity | Workload | Delegated | Password
What = Literal["client secret", "certificate", "sign-in"]
Source = Literal["file", "declared", "entra", "last renewal"]
Fetch = Callable[[str, Secret, Path | None], Answered]
"""Gets a resource of Graph: URL, token, further authorities to trust. Blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When a credential ends.

    Attributes:
        identity: Its name.
        source: How it is known.
        days_left: Whole days from the moment of asking; negative when it is over.
    """

    identity: str
    what: What
    ends_at: datetime
    source: Source
    days_left: int


@dataclass(frozen=True, slots=True)
class NotKnown:
    """It cannot be known. `reason` says why, and what would help."""

    reason: str


class _Noted(Struct, frozen=True, kw_only=True):
    """What is kept of an identity.

    Attributes:
        secret: Digest of the secret whose end Entra told.
        ends_at: That end.
        warned_of: The end that was warned of last.
        warned_days: At how many days.
    """

    secret: str = ""
    ends_at: datetime | None = None
    warned_of: datetime | None = None
    warned_days: int = WARN_DAYS[0] + 1


class ExpiryWatch:
    """Watches all identities of the flow."""

    def __init__(
        self,
        *,
        flow: Callable[[], Flow],
        tokens: TokenSource,
        secrets: SecretOpener,
        vault: Vault,
        clock: Callable[[], datetime],
        record: Callable[[Sequence[Event]], Awaitable[None]],
        on_warning: Callable[[Expiry], None] = lambda expiry: None,
        fetch: Fetch | None = None,
    ) -> None:
        """Prepare.

        Args:
            flow: The mail flow in use.
            record: Writes events.
            on_warning: Told of each warning.
            fetch: Asks Graph.
        """
        self._flow, self._tokens, self._secrets, self._vault = flow, tokens, secrets, vault
        self._clock, self._record, self._on_warning = clock, record, on_warning
        self._fetch = fetch or get_json

    async def look(self) -> list[Expiry]:
        """Look at all identities and warn where it is time; returns the warnings that were given."""
        given = []
        for identity in self._flow().identity:
            if isinstance(identity, ClientSecret):
                await self._ask_entra(identity)
            expiry = await self.known(identity)
            if isinstance(expiry, Expiry) and await self._is_news(expiry):
                await self._warn(expiry)
                given.append(expiry)
        return given

    async def known(self, identity: AnyIdentity) -> Expiry | NotKnown | None:
        """What is known of one identity; nobody else is asked."""
        match identity:
            case Certificate():
                return await self._of_certificate(identity)
            case ClientSecret():
                return await self._of_secret(identity)
            case Delegated(name=name):
                sign_in = await self._tokens.sign_ins.read(name) if self._tokens.sign_ins is not None else None
                if sign_in is None:
                    return NotKnown("not signed in")
                return self._expiry(name, "sign-in", sign_in.ends_at, "last renewal")
            case ManagedIdentity() | Workload() | Password():
                return None

    async def all(self) -> list[Expiry]:
        """What is known of all identities."""
        found = [await self.known(identity) for identity in self._flow().identity]
        return [expiry for expiry in found if isinstance(expiry, Expiry)]

    async def _of_certificate(self, identity: Certificate) -> Expiry | NotKnown:
        phrase = await self._secrets.open(identity.passphrase) if identity.passphrase else None
        if isinstance(phrase, SecretProblem):
            return NotKnown(phrase.reason)
        pair = await asyncio.to_thread(read_key_pair, identity.certificate, identity.key, phrase)
        if isinstance(pair, CredentialProblem):
            return NotKnown(pair.reason)
        return self._expiry(identity.name, "certificate", pair.ends_at, "file")

    async def _of_secret(self, identity: ClientSecret) -> Expiry | NotKnown:
        secret = await self._secrets.open(identity.client_secret)
        noted = await self._noted(identity.name)
        if isinstance(secret, Secret) and noted.ends_at is not None and noted.secret == _digest(secret):
            return self._expiry(identity.name, "client secret", noted.ends_at, "entra")
        if identity.expires is not None:
            ends_at = datetime.combine(identity.expires, time(), UTC)
            return self._expiry(identity.name, "client secret", ends_at, "declared")
        return NotKnown("set expires in the flow, or give the application the permission Application.Read.All")

    def _expiry(self, name: str, what: What, ends_at: datetime, source: Source) -> Expiry:
        days = (ends_at - self._clock()) // timedelta(days=1)
        return Expiry(identity=name, what=what, ends_at=ends_at, source=source, days_left=days)

    async def _ask_entra(self, identity: ClientSecret) -> None:
        """Note when the secret ends, where the application may read its own registration."""
        secret = await self._secrets.open(identity.client_secret)
        token = await self._tokens.token(identity, "graph")
        if isinstance(secret, SecretProblem) or isinstance(token, TokenProblem):
            return
        url = f"{self._graph(identity)}/v1.0/applications(appId='{identity.client_id}')?$select=passwordCredentials"
        try:
            answered = await asyncio.to_thread(self._fetch, url, token, identity.ca)
        except OSError as error:
            log.debug("identity.expiry_not_read", identity=identity.name, reason=str(error))
            return
        if answered.status_code != 200:
            log.debug("identity.expiry_not_read", identity=identity.name, status=answered.status_code)
            return
        ends_at = _end_of(secret, answered.text)
        if ends_at is not None:
            noted = await self._noted(identity.name)
            await self._note(identity.name, structs.replace(noted, secret=_digest(secret), ends_at=ends_at))

    def _graph(self, identity: ClientSecret) -> str:
        """Base of Graph for an identity: its own, or the cloud's."""
        return (identity.graph or CLOUDS[identity.cloud].graph).rstrip("/").removesuffix("/v1.0")

    async def _is_news(self, expiry: Expiry) -> bool:
        reached = min((days for days in (*WARN_DAYS, 0) if expiry.days_left <= days), default=None)
        if reached is None:
            return False
        noted = await self._noted(expiry.identity)
        if noted.warned_of == expiry.ends_at and noted.warned_days <= reached:
            return False
        await self._note(expiry.identity, structs.replace(noted, warned_of=expiry.ends_at, warned_days=reached))
        return True

    async def _warn(self, expiry: Expiry) -> None:
        fields: dict[str, str | int] = {
            "identity": expiry.identity,
            "what": expiry.what,
            "ends_at": expiry.ends_at.isoformat(),
            "days_left": expiry.days_left,
            "source": expiry.source,
        }
        log.warning("identity.expires", **fields)
        await self._record([Event(self._clock(), EventKind.EXPIRES, detail=fields)])
        self._on_warning(expiry)

    async def _noted(self, name: str) -> _Noted:
        text = await self._vault.read(f"identity/{name}/expiry")
        try:
            return msgspec.json.decode(text, type=_Noted) if text else _Noted()
        except msgspec.MsgspecError:
            return _Noted()

    async def _note(self, name: str, noted: _Noted) -> None:
        await self._vault.write(f"identity/{name}/expiry", msgspec.json.encode(noted).decode())


def get_json(url: str, token: Secret, ca: Path | None) -> Answered:
    """Ask Graph with a bearer token. Blocks."""
    return HttpClient(ca).get(url, headers={"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"})


def _end_of(secret: Secret, text: str) -> datetime | None:
    """When the secret ends: of all that begin like it the first, because nothing else tells them apart."""
    try:
        found: Any = json.loads(text).get("passwordCredentials", [])
        hint = secret.reveal()[:3]
        return min(_ends(c for c in found[:_MAX_CREDENTIALS] if c.get("hint") == hint), default=None)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _ends(credentials: Iterable[dict[str, Any]]) -> Iterable[datetime]:
    for credential in credentials:
        if credential.get("endDateTime"):
            moment = datetime.fromisoformat(str(credential["endDateTime"]))
            yield moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _digest(secret: Secret) -> str:
    return hashlib.sha256(secret.reveal().encode()).hexdigest()
