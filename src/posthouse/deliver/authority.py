"""Ask an authority for a token, whatever proves who asks. Blocks; is used in a thread.

Source: RFC 6749 4.1, 4.4, 6; RFC 7523; RFC 7636; RFC 8628; MSAL (Microsoft's own library), which knows the authority's
discovery and its errors; "How managed identities for Azure resources work".
Shape: `Asked` is one question with everything opened that it needs; `ask_authority` answers as MSAL does, with
``retry_after`` where the authority asked for patience, and for a person's sign-in with its new cache under ``session``.
Failures: an ``error`` with its ``error_description`` in the answer, also for what the network did.
Leaves to others: opening secrets and files, waiting, caching, words (``deliver.tokens``).

MSAL's own caches are not used: they take the time from the machine, and one for each node and restart is enough.
Discovery of instances is off: the authority comes from the operator's own settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.error import URLError
from uuid import uuid4

from posthouse.decide.identities import Certificate, Delegated, Entra, ManagedIdentity
from posthouse.deliver.assertions import KeyPair, sign_assertion
from posthouse.deliver.delegated import Purpose
from posthouse.deliver.secrets import Secret
from posthouse.deliver.token_http import HttpClient
from posthouse.microsoft.clouds import CLOUDS, default_authority

Answer = dict[str, Any]
"""What an authority answered (RFC 6749 5)."""

_WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
_AADSTS = re.compile(r"AADSTS\d+: [^\"\\\r\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question.

    Attributes:
        secret: Client secret, or the token of another issuer (`Workload`); None where there is none.
        pair: Of a `Certificate`.
        session: MSAL's cache of a person's sign-in (`Delegated`).
        now: For the times in an assertion.
    """

    identity: Entra
    purpose: Purpose
    secret: Secret | None = None
    pair: KeyPair | None = None
    session: str = field(default="", repr=False)
    now: datetime

    @property
    def scope(self) -> str:
        """What the token is asked for."""
        return scope_of(self.identity, self.purpose)

    @property
    def authority(self) -> str:
        """URL of the authority."""
        return authority_of(self.identity)


def authority_of(identity: Entra) -> str:
    """Who gives an identity its tokens."""
    if isinstance(identity, ManagedIdentity):
        return "https://the metadata service of this machine"
    return identity.authority or default_authority(identity.tenant, identity.cloud)


def scope_of(identity: Entra, purpose: Purpose) -> str:
    """What a token is asked for.

    A person is asked for sending by SMTP alone, and for all that the application is registered for with Graph.
    """
    cloud = CLOUDS[identity.cloud]
    if purpose == "graph":
        return cloud.graph_scope
    return cloud.delegated_smtp_scope if isinstance(identity, Delegated) else cloud.smtp_scope


def ask_authority(asked: Asked) -> Answer:
    """Ask for a token and wait."""
    is_machine = isinstance(asked.identity, ManagedIdentity)

    def ask(client: HttpClient) -> Answer:
        match asked.identity:
            case ManagedIdentity(client_id=client_id):
                return _ask_machine(asked, client_id, client)
            case Delegated():
                return _refresh(asked, client)
            case _:
                application = make_application(asked, client)
                answer: Answer = application.acquire_token_for_client(scopes=[asked.scope])
                return answer

    return guarded(ask, asked.identity, is_local=is_machine)


def guarded(ask: Callable[[HttpClient], Answer], identity: Entra, *, is_local: bool = False) -> Answer:
    """Ask with a fresh HTTP client; what goes wrong becomes an answer too."""
    import msal

    client: HttpClient | None = None
    try:
        client = HttpClient(identity.ca, is_local=is_local)
        answer: Answer = ask(client)
        if not isinstance(answer, dict):
            raise TypeError("the authority answered with something that is no object")
    except (*_WRONG, msal.exceptions.MsalError) as error:
        # What the network did, or an authority that is none: MSAL does not look at what it is given.
        answer = {"error": type(error).__name__, "error_description": _said(error)}
    if client is not None and client.retry_after is not None:
        answer = {**answer, "retry_after": client.retry_after}
    return answer


def make_application(asked: Asked, client: HttpClient, cache: Any = None) -> Any:
    """MSAL's application for an identity. MSAL is imported where it is used: few nodes need it, and it takes long."""
    import msal

    identity = asked.identity
    assert not isinstance(identity, ManagedIdentity)
    settings = {
        "authority": asked.authority,
        "http_client": client,
        "instance_discovery": False,
        "token_cache": cache,
    }
    credential = _credential(asked)
    if credential is None:
        return msal.PublicClientApplication(identity.client_id, **settings)
    return msal.ConfidentialClientApplication(identity.client_id, client_credential=credential, **settings)


def _credential(asked: Asked) -> Any:
    match asked.identity:
        case Certificate(client_id=client_id, send_chain=with_chain):
            pair, now = asked.pair, asked.now
            assert pair is not None

            def sign(context: Mapping[str, str]) -> str:
                audience = context["token_endpoint"]
                return sign_assertion(pair, client_id, audience, now, nonce=str(uuid4()), with_chain=with_chain)

            return {"client_assertion": sign}
        case Delegated(kind="device_code"):
            return None
        case Delegated():
            return asked.secret.reveal() if asked.secret is not None else None
        case _:
            assert asked.secret is not None
            value = asked.secret.reveal()
            return {"client_assertion": lambda: value} if asked.identity.kind == "workload" else value


def _refresh(asked: Asked, client: HttpClient) -> Answer:
    import msal

    cache = msal.SerializableTokenCache()
    cache.deserialize(asked.session)
    application = make_application(asked, client, cache)
    accounts = application.get_accounts()
    if not accounts:
        return {"error": "interaction_required", "error_description": "what is kept of the sign-in names nobody"}
    answer = application.acquire_token_silent_with_error([asked.scope], account=accounts[0], force_refresh=True)
    if answer is None:
        return {
            "error": "interaction_required",
            "error_description": "what is kept of the sign-in has no refresh token",
        }
    return {**answer, "session": kept(cache)} if "access_token" in answer else dict(answer)


def kept(cache: Any) -> str:
    """MSAL's cache without access tokens: they are short-lived, and kept in memory alone."""
    for token in list(cache.search(cache.CredentialType.ACCESS_TOKEN)):
        cache.remove_at(token)
    text: str = cache.serialize()
    return text


def _ask_machine(asked: Asked, client_id: str | None, client: HttpClient) -> Answer:
    import msal

    who = msal.UserAssignedManagedIdentity(client_id=client_id) if client_id else msal.SystemAssignedManagedIdentity()
    resource = asked.scope.removesuffix("/.default")
    answer: Answer = msal.ManagedIdentityClient(who, http_client=client).acquire_token_for_client(resource=resource)
    return answer


def _said(error: BaseException) -> str:
    """What went wrong; MSAL hides the authority's own words about a tenant behind a guess."""
    behind: BaseException | None = error
    while behind is not None:
        words = _AADSTS.search(str(behind))
        if words is not None:
            return words[0]
        behind = behind.__context__
    cause = error.reason if isinstance(error, URLError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
