"""The values of identities that cross the control socket (see ``operate.shapes``). No secret and no token is in them.

What travels of a sign-in between its two steps is sealed (`SignInBegun.state`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

IdentityState = Literal["ok", "paused", "not_signed_in", "failing"]
TokenPurpose = Literal["smtp", "graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseView:
    """An account that rests.

    Attributes:
        account: ``identity:NAME``, ``mailbox:ADDRESS`` or ``connector:NAME``.
        until: None until a person acts.
        reply: The server's words, if it spoke.
    """

    account: str
    since: datetime
    until: datetime | None
    reason: str
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityView:
    """One identity.

    Attributes:
        connectors: Outbound connectors that use it.
        because: What is the matter, where the state is not ``ok``.
        until: When a pause ends; None until a person acts.
        ends: What of it ends: ``client secret``, ``certificate``, ``sign-in``; empty where nothing does.
        ends_at: When, as far as it is known.
        ends_source: How it is known; where it is not, why.
        renewed_at: When a person's sign-in was renewed last.
        token_at: When the last token came.
        waits: A new certificate was made and is not in use yet.
    """

    name: str
    kind: str
    tenant: str
    connectors: tuple[str, ...]
    state: IdentityState
    because: str = ""
    until: datetime | None = None
    ends: str = ""
    ends_at: datetime | None = None
    ends_source: str = ""
    days_left: int | None = None
    renewed_at: datetime | None = None
    token_at: datetime | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class IdentityViews:
    """All identities in the order of the flow, and all accounts that rest."""

    identities: tuple[IdentityView, ...]
    pauses: tuple[PauseView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRequest:
    """Begin a sign-in.

    Attributes:
        purpose: What consent is asked for; None takes what the connectors need first.
        redirect: Where the browser comes back to; only for ``authorization_code``.
    """

    name: str
    purpose: TokenPurpose | None = None
    redirect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInBegun:
    """What the person needs.

    Attributes:
        user: Who has to sign in.
        user_code: Empty where the browser comes back by itself.
        interval: Seconds between two looks.
        state: Hand it back; sealed.
    """

    user: str
    url: str
    user_code: str
    expires_at: datetime
    interval: float
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLook:
    """Look whether the person is done.

    Attributes:
        response: Parameters with which the browser came back.
    """

    name: str
    state: str = field(repr=False)
    response: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLooked:
    """How far it is.

    Attributes:
        interval: Seconds until the next look, while it is not done.
        resumed: Accounts whose rest ended with it.
    """

    done: bool
    interval: float = 0.0
    user: str = ""
    resumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """What a fresh token says of itself, or why there was none.

    Attributes:
        is_needed: A connector uses such tokens.
        roles: Application permissions. With RBAC for Applications there are none, and all is well.
        scopes: Delegated permissions.
        subject: The person, or the application's id.
    """

    purpose: TokenPurpose
    is_needed: bool
    ok: bool
    problem: str = ""
    code: str = ""
    audience: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    subject: str = ""
    tenant: str = ""
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdentityTested:
    """Tokens of one identity, one for each purpose."""

    name: str
    tokens: tuple[TokenView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest:
    """End pauses.

    Attributes:
        name: Identity, mailbox or connector; None means all.
    """

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """Accounts whose rest ended."""

    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateRequest:
    """Make a new certificate; with `upload` add it to the registration, with `finish` take it into use."""

    name: str
    upload: bool = False
    finish: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that a person does.

    Attributes:
        text: What, in a sentence or two.
        commands: Ready to type.
    """

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """What a person does, in order."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedView:
    """A certificate.

    Attributes:
        file: Certificate and key, on the node's machine.
        public: The certificate alone, for Entra.
        in_use: It has replaced the old one.
        steps: What is left to do.
    """

    name: str
    file: str
    public: str
    sha1: str
    sha256: str
    ends_at: datetime
    in_use: bool
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsText:
    """Metrics in Prometheus' text format."""

    text: str
