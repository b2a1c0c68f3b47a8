"""Access tokens from Microsoft Entra by the client-credentials grant.

Source: RFC 6749 4.4; MSAL (Microsoft's own library), which knows the authority's discovery and its errors.
Shape: `TokenSource.token` gives a cached token while it is good for another ten minutes. One request at a time for an
authority and client, however many sessions ask; MSAL blocks, so it runs in a thread.
Failures: `TokenProblem` as a value with the authority's own words (``AADSTS...``); the secret is never part of them. A
refusal is remembered for a moment, so that a wrong secret is not tried again and again.
Leaves to others: opening the client secret (``deliver.secrets``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from posthouse.decide.identities import ClientSecret, Entra
from posthouse.deliver.secrets import Secret, SecretOpener, SecretProblem
from posthouse.deliver.token_http import HttpClient
from posthouse.microsoft.clouds import CLOUDS, default_authority, is_microsoft_login

Purpose = Literal["smtp", "graph"]
"""What a token is for; identity and cloud give the scope."""

RENEW_SECONDS = 600.0
"""A token is renewed when it ends within this time."""
REMEMBER_REFUSAL_SECONDS = 30.0
_MAX_REASON = 600


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """No token. `reason` is a sentence for the operator, with the authority's code if it gave one."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    authority: str
    client_id: str
    client_secret: Secret
    scope: str
    ca: Path | None


Ask = Callable[[_Asked], dict[str, Any]]
"""Gives what the authority answered (RFC 6749 5), or ``error`` and ``error_description`` for what else went wrong."""


@dataclass(slots=True)
class _Known:
    result: Secret | TokenProblem
    good_until: float


class TokenSource:
    """Tokens for all connectors of the node."""

    def __init__(
        self, secrets: SecretOpener, ask: Ask | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            secrets: Opens the client secrets.
            ask: Asks the authority, in a thread; by default with MSAL.
        """
        self._secrets = secrets
        self._ask = ask or ask_authority
        self._monotonic = monotonic
        self._known: dict[tuple[Entra, Purpose], _Known] = {}
        self._running: dict[tuple[Entra, Purpose], asyncio.Task[Secret | TokenProblem]] = {}

    async def token(self, identity: Entra, purpose: Purpose) -> Secret | TokenProblem:
        """A token that is good for some minutes, or why there is none."""
        key = (identity, purpose)
        known = self._known.get(key)
        if known is not None and self._monotonic() < known.good_until:
            return known.result
        task = self._running.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(identity, purpose))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # One asker that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def forget(self, identity: Entra, purpose: Purpose) -> None:
        """The token was refused where it was shown: ask for a new one next time."""
        self._known.pop((identity, purpose), None)

    async def _fetch(self, identity: Entra, purpose: Purpose) -> Secret | TokenProblem:
        assert isinstance(identity, ClientSecret)
        secret = await self._secrets.open(identity.client_secret)
        if isinstance(secret, SecretProblem):
            return TokenProblem(secret.reason)
        cloud = CLOUDS[identity.cloud]
        asked = _Asked(
            authority=identity.authority or default_authority(identity.tenant, identity.cloud),
            client_id=identity.client_id,
            client_secret=secret,
            scope=cloud.smtp_scope if purpose == "smtp" else cloud.graph_scope,
            ca=identity.ca,
        )
        result, seconds = _read(asked, await asyncio.to_thread(self._ask, asked))
        self._known[(identity, purpose)] = _Known(result, self._monotonic() + seconds)
        return result


def ask_authority(request: _Asked) -> dict[str, Any]:
    """Ask for a token and wait. MSAL is imported here because few nodes need it and it takes its time."""
    import msal

    is_microsoft = is_microsoft_login(urlsplit(request.authority).hostname or "")
    try:
        application = msal.ConfidentialClientApplication(
            request.client_id,
            client_credential=request.client_secret.reveal(),
            authority=request.authority,
            http_client=HttpClient(request.ca),
            instance_discovery=None if is_microsoft else False,
        )
        answer: dict[str, Any] = application.acquire_token_for_client(scopes=[request.scope])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, msal.exceptions.MsalError) as error:
        # What the network did, or an authority that is none.
        return {"error": type(error).__name__, "error_description": str(error)}
    return answer


def _read(request: _Asked, answer: dict[str, Any]) -> tuple[Secret | TokenProblem, float]:
    token, lifetime = answer.get("access_token"), answer.get("expires_in")
    if isinstance(token, str) and token:
        seconds = float(lifetime) if isinstance(lifetime, int | float | str) else 0.0
        return Secret(token), max(seconds - RENEW_SECONDS, min(seconds / 2, 60.0))
    words = str(answer.get("error_description") or answer.get("error") or "the authority gave no token")
    first_line = _without(request, words).strip().splitlines()[0][:_MAX_REASON]
    host = urlsplit(request.authority).hostname
    return TokenProblem(f"no token from {host}: {first_line}"), REMEMBER_REFUSAL_SECONDS


def _without(request: _Asked, text: str) -> str:
    """Nothing should repeat the secret; if something does, it ends here."""
    return text.replace(request.client_secret.reveal(), "***")
