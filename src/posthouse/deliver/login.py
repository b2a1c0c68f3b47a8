"""How a connector proves to the next server who it is.

Source: RFC 4954; Microsoft's OAuth for SMTP AUTH.
Shape: a login is made fresh for each session (`LoginSource`), because secrets and tokens change. `exchange_for` picks
the SASL exchange that fits what the server offers.
Failures: `SessionFailure` as a value, before anything secret is sent.
Leaves to others: opening secrets (``deliver.secrets``), fetching tokens (``deliver.tokens``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from posthouse.decide.identities import ClientSecret, Entra, Password
from posthouse.decide.outbound import Acs, Credentials, Direct, Relay, Smarthost
from posthouse.decide.ways import Way
from posthouse.deliver.failure import SessionFailure
from posthouse.deliver.secrets import Secret, SecretOpener, SecretProblem
from posthouse.deliver.tokens import TokenProblem, TokenSource
from posthouse.wire.sasl.client import External, SaslExchange, XOAuth2, choose_exchange
from posthouse.wire.smtp.client_events import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLogin:
    """A user name and a password."""

    username: str
    password: Secret
    mechanism: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """A mailbox and a bearer token.

    Attributes:
        forget: Call when the server refuses the token, so that the next session asks for a new one.
    """

    username: str
    token: Secret
    forget: Callable[[], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLogin:
    """The client certificate that TLS has shown; `username` may say which identity is meant."""

    username: str = ""


Login = PasswordLogin | TokenLogin | CertificateLogin
_BASE64 = re.compile(r"[A-Za-z0-9+/]{4,}={0,2}")

LoginSource = Callable[[str], Awaitable[Login | SessionFailure | None]]
"""Given the mailbox that sends, or an empty name."""


def without_secret(login: Login, text: str) -> str:
    """What a server said of a log-in, in case it repeats what it was told, in the clear or in base64."""
    match login:
        case PasswordLogin(password=secret) | TokenLogin(token=secret):
            told = secret.reveal()
        case _:
            return text

    def masked(found: re.Match[str]) -> str:
        try:
            decoded = base64.b64decode(found[0] + "=" * (-len(found[0]) % 4))
        except ValueError:
            return found[0]
        return "***" if told.encode() in decoded else found[0]

    return _BASE64.sub(masked, text.replace(told, "***")) if told else text


def exchange_for(
    login: Login, offered: tuple[str, ...], *, may_use_clear: bool, refused: frozenset[str]
) -> SaslExchange | SessionFailure:
    """Pick the mechanism.

    Args:
        offered: Mechanisms of EHLO.
        may_use_clear: The connection is encrypted, or the operator said that it need not be.
        refused: Mechanisms that were tried on this connection and not known.
    """
    if isinstance(login, PasswordLogin):
        chosen = choose_exchange(
            login.mechanism,
            offered,
            login.username,
            login.password.reveal(),
            may_use_clear=may_use_clear,
            refused=refused,
        )
        return SessionFailure(Stage.AUTH, chosen, is_ours=True) if isinstance(chosen, str) else chosen
    wanted = XOAuth2.mechanism if isinstance(login, TokenLogin) else External.mechanism
    if not may_use_clear:
        return SessionFailure(Stage.AUTH, f"the connection is not encrypted, so {wanted} is not tried", is_ours=True)
    if wanted not in offered or wanted in refused:
        listed = " ".join(offered) or "no log-in at all"
        return SessionFailure(Stage.AUTH, f"the server offers {listed}, and {wanted} is needed", is_ours=True)
    return XOAuth2(login.username, login.token.reveal()) if isinstance(login, TokenLogin) else External(login.username)


def login_source(way: Way, secrets: SecretOpener, tokens: TokenSource) -> LoginSource:
    """How a way logs in; the source gives None where it does not."""
    match way.connector, way.identity:
        case Smarthost(auth=Credentials(mechanism="EXTERNAL", username=str() as named)), _:
            return lambda _: _certificate(named)
        case Smarthost(auth=Credentials(username=str() as user, password=str() as reference, mechanism=mechanism)), _:
            return lambda _: _password(user, reference, mechanism, secrets)
        case Acs(resource=resource), ClientSecret(client_id=client, tenant=tenant, client_secret=reference):
            return lambda _: _password(f"{resource}|{client}|{tenant}", reference, "LOGIN", secrets)
        case _, Password(username=username, password=reference):
            return lambda mailbox: _password(username or mailbox, reference, "LOGIN", secrets)
        case Relay() | Direct(), _:
            return _nobody
        case _, None:
            return _nobody
        case _, identity:
            return lambda mailbox: _token(identity, mailbox, tokens)


async def _nobody(_mailbox: str) -> None:
    return None


async def _certificate(username: str) -> CertificateLogin:
    return CertificateLogin(username=username)


async def _password(
    username: str, reference: str, mechanism: str, secrets: SecretOpener
) -> PasswordLogin | SessionFailure:
    password = await secrets.open(reference)
    if isinstance(password, SecretProblem):
        return SessionFailure(Stage.AUTH, password.reason, is_ours=True)
    return PasswordLogin(username=username, password=password, mechanism=mechanism)


async def _token(identity: Entra, mailbox: str, tokens: TokenSource) -> TokenLogin | SessionFailure:
    token = await tokens.token(identity, "smtp")
    if isinstance(token, TokenProblem):
        return SessionFailure(
            Stage.AUTH,
            token.reason,
            is_ours=True,
            account="identity",
            needs_operator=token.needs_operator,
            retry_after=token.retry_after,
        )
    return TokenLogin(username=mailbox, token=token, forget=lambda: tokens.forget(identity, "smtp"))
