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
from typing import Any
from urllib.parse import urlsplit

from posthouse.deliver.secrets import Secret
from posthouse.deliver.token_http import HttpClient
from posthouse.microsoft.clouds import is_microsoft_login

RENEW_SECONDS = 600.0
"""A token is renewed when it ends within this time."""
REMEMBER_REFUSAL_SECONDS = 30.0
_MAX_REASON = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a token is asked with.

    Attributes:
        authority: URL with the tenant at its end.
        ca: PEM file with further authorities to trust.
    """

    authority: str
    client_id: str
    client_secret: Secret
    scope: str
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """No token. `reason` is a sentence for the operator, with the authority's code if it gave one."""

    reason: str


Ask = Callable[[TokenRequest], dict[str, Any]]
"""Gives what the authority answered (RFC 6749 5), or ``error`` and ``error_description`` for what else went wrong."""


@dataclass(slots=True)
class _Known:
    result: Secret | TokenProblem
    good_until: float


class TokenSource:
    """Tokens for all connectors of the node."""

    def __init__(self, ask: Ask | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Prepare; nothing is asked yet.

        Args:
            ask: Asks the authority, in a thread; by default with MSAL.
        """
        self._ask = ask or ask_authority
        self._monotonic = monotonic
        self._known: dict[TokenRequest, _Known] = {}
        self._running: dict[TokenRequest, asyncio.Task[Secret | TokenProblem]] = {}

    async def token(self, request: TokenRequest) -> Secret | TokenProblem:
        """A token that is good for some minutes, or why there is none."""
        known = self._known.get(request)
        if known is not None and self._monotonic() < known.good_until:
            return known.result
        task = self._running.get(request)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(request))
            self._running[request] = task
            task.add_done_callback(lambda _: self._running.pop(request, None))
        # One asker that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def forget(self, request: TokenRequest) -> None:
        """The token was refused where it was shown: ask for a new one next time."""
        self._known.pop(request, None)

    async def _fetch(self, request: TokenRequest) -> Secret | TokenProblem:
        answer = await asyncio.to_thread(self._ask, request)
        result, seconds = _read(request, answer)
        self._known[request] = _Known(result, self._monotonic() + seconds)
        return result


def ask_authority(request: TokenRequest) -> dict[str, Any]:
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


def _read(request: TokenRequest, answer: dict[str, Any]) -> tuple[Secret | TokenProblem, float]:
    token, lifetime = answer.get("access_token"), answer.get("expires_in")
    if isinstance(token, str) and token:
        seconds = float(lifetime) if isinstance(lifetime, int | float | str) else 0.0
        return Secret(token), max(seconds - RENEW_SECONDS, min(seconds / 2, 60.0))
    words = str(answer.get("error_description") or answer.get("error") or "the authority gave no token")
    first_line = _without(request, words).strip().splitlines()[0][:_MAX_REASON]
    host = urlsplit(request.authority).hostname
    return TokenProblem(f"no token from {host}: {first_line}"), REMEMBER_REFUSAL_SECONDS


def _without(request: TokenRequest, text: str) -> str:
    """Nothing should repeat the secret; if something does, it ends here."""
    return text.replace(request.client_secret.reveal(), "***")
