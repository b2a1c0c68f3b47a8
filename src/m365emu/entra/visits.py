"""What a sign-in is made of, as values.

Purpose: what travels between two pages, what a browser remembers, and what is shown next. Source: RFC 6749 4.1.1.
Shape: `Visit` and `Session` are sealed and come back from the browser; `Page` and `WayBack` are the two things that
can follow a step. Failures: none. Leaves to others: the steps (`sign_in`), HTTP (`sign_in_routes`).
"""

from dataclasses import dataclass, field

import msgspec

from m365emu.entra.errors import EntraError


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sign-in has come.

    Attributes:
        tenant: the tenant in the path of the request.
        client_id, scope, state, nonce, response_mode, prompt: as the application asked.
        redirect_uri: where the answer goes; `asked_redirect` is the parameter itself, possibly empty.
        challenge, method: PKCE.
        device: the code that a device shows, when it is a device that waits.
        for_everybody: an administrator is asked to consent for the whole organisation.
        user: who gave a right password.
        number: the second factor that is still to be typed.
        expires: in seconds of the epoch.
    """

    tenant: str
    client_id: str
    scope: str
    expires: float
    redirect_uri: str = ""
    asked_redirect: str = ""
    response_mode: str = "query"
    state: str = ""
    nonce: str = ""
    challenge: str = ""
    method: str = "plain"
    prompt: str = ""
    device: str = ""
    for_everybody: bool = False
    user: str = ""
    number: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A browser in which somebody is signed in; `password` is a mark of the password (`Seal.stamp`)."""

    user: str
    password: str
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Something to show; `error` is what it reports, `session` what the browser shall remember."""

    html: str
    status: int = 200
    error: EntraError | None = None
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """An answer to the application by way of the browser."""

    uri: str
    mode: str
    fields: dict[str, str] = field(default_factory=dict)
    error: EntraError | None = None
    session: str = ""
