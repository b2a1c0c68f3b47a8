"""A person signs in, from page to page.

Purpose: the steps until it is known who signs in: the request, account and password, second factor.
Source: RFC 6749 4.1, RFC 7636, RFC 8628 3.3, OpenID Connect Core 1.0 3.1.2 (`prompt`, `login_hint`, `nonce`).
Shape: `begin` and `proceed` give what to show next: a `Page`, or a `WayBack` to the application. What was settled
so far travels sealed in the page, so nothing is kept between two requests.
Failures: none rise. Leaves to others: consent and the way back (`conclusion`), HTTP (`sign_in_routes`), HTML (`pages`).
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from msgspec import structs

from m365emu.clock import Clock
from m365emu.entra import errors, pages, user_errors
from m365emu.entra.accounts import Accounts, User, second_factor
from m365emu.entra.clients import Client, Clients
from m365emu.entra.conclusion import Conclusions
from m365emu.entra.errors import EntraError
from m365emu.entra.grants import DeviceCode
from m365emu.entra.redirects import check_request, way_back
from m365emu.entra.scopes import read_scope
from m365emu.entra.seal import Seal
from m365emu.entra.visits import Page, Session, Visit, WayBack
from m365emu.tenant import Tenant

_VISIT_LIFETIME = timedelta(minutes=15)
_SESSION_LIFETIME = timedelta(hours=24)


class SignIns:
    """Leads people through."""

    def __init__(
        self,
        *,
        clients: Clients,
        accounts: Accounts,
        conclusions: Conclusions,
        seal: Seal,
        clock: Clock,
    ) -> None:
        self._clients = clients
        self._accounts = accounts
        self._conclusions = conclusions
        self._seal = seal
        self._clock = clock

    def begin(self, tenant_name: str, query: Mapping[str, str], cookie: str) -> Page | WayBack:
        """Answer an authorization request.

        Args:
            tenant_name: the tenant in the path.
            query: the request's parameters.
            cookie: the browser's sealed session, or nothing.
        """
        opened = self._open(tenant_name, query)
        if isinstance(opened, EntraError):
            return self._conclusions.error_page(opened)
        visit, tenant, client = opened
        scope = read_scope(visit.scope, client.application.name, client.tenant.name)
        refusal = check_request(query) or (scope if isinstance(scope, EntraError) else None)
        if refusal is not None:
            return self._conclusions.refuse(visit, refusal)
        return self._greet(visit, client, tenant, query.get("login_hint", "")[:320], cookie)

    def begin_for_everybody(self, tenant_name: str, query: Mapping[str, str], cookie: str) -> Page | WayBack:
        """Answer a request for an administrator's consent; the arguments are those of `begin`."""
        opened = self._open(tenant_name, query)
        if isinstance(opened, EntraError):
            return self._conclusions.error_page(opened)
        visit, tenant, client = opened
        return self._greet(structs.replace(visit, for_everybody=True), client, tenant, "", cookie)

    def begin_device(self, device: DeviceCode) -> Page:
        """Ask the person whose device waits to sign in."""
        found = self._find(device.tenant, device.client_id)
        if isinstance(found, EntraError):
            return self._conclusions.error_page(found)
        visit = Visit(
            tenant=device.tenant,
            client_id=device.client_id,
            scope=device.scope,
            expires=(self._clock.now() + _VISIT_LIFETIME).timestamp(),
            device=device.user_code,
        )
        return self._ask_password(visit, found[1], "", None)

    def proceed(self, form: Mapping[str, str]) -> Page | WayBack:
        """Take what a person entered on one page, and give the next."""
        visit = self._seal.open("visit", form.get("flow", ""), Visit)
        if visit is None or visit.expires <= self._clock.now().timestamp():
            text = "This sign-in has expired or is not one of ours. Go back to the application and try again."
            return Page(html=pages.message_page("Sign in again", text), status=400)
        found = self._find(visit.tenant, visit.client_id)
        if isinstance(found, EntraError):
            return self._conclusions.error_page(found)
        tenant, client = found
        if form.get("answer") == "cancel":
            return self._conclusions.decline(visit)
        if not visit.user:
            return self._take_password(visit, client, tenant, form)
        signed_in = self._at_home(visit, self._accounts.find(visit.user, tenant))
        if isinstance(signed_in, EntraError):
            return self._conclusions.error_page(signed_in)
        client, user = signed_in
        if visit.number:
            return self._take_number(visit, client, user, form.get("number", "").strip())
        return self._conclusions.accept(visit, client, user)

    def _open(self, tenant_name: str, query: Mapping[str, str]) -> tuple[Visit, Tenant | None, Client] | EntraError:
        """Return a request as a visit, once it is known where its answer may go."""
        if not query.get("client_id"):
            return errors.PARAMETER_MISSING(parameter="client_id")
        found = self._find(tenant_name, query["client_id"])
        if isinstance(found, EntraError):
            return found
        tenant, client = found
        redirect_uri = way_back(client.client_id, client.application, query.get("redirect_uri", ""))
        if isinstance(redirect_uri, EntraError):
            return redirect_uri
        visit = Visit(
            tenant=tenant_name,
            client_id=client.client_id,
            scope=query.get("scope", ""),
            expires=(self._clock.now() + _VISIT_LIFETIME).timestamp(),
            redirect_uri=redirect_uri,
            asked_redirect=query.get("redirect_uri", ""),
            response_mode=query.get("response_mode") or "query",
            state=query.get("state", ""),
            nonce=query.get("nonce", ""),
            challenge=query.get("code_challenge", ""),
            method=query.get("code_challenge_method", "plain"),
            prompt=query.get("prompt", ""),
        )
        return visit, tenant, client

    def _find(self, tenant_name: str, client_id: str) -> tuple[Tenant | None, Client] | EntraError:
        tenant = self._clients.tenant(tenant_name)
        if isinstance(tenant, EntraError):
            return tenant
        client = self._clients.find(client_id, tenant)
        return client if isinstance(client, EntraError) else (tenant, client)

    def _at_home(self, visit: Visit, user: User | EntraError) -> tuple[Client, User] | EntraError:
        """Return the application as the user's own tenant knows it."""
        if isinstance(user, EntraError):
            return user
        client = self._clients.find(visit.client_id, user.tenant)
        return client if isinstance(client, EntraError) else (client, user)

    def _greet(self, visit: Visit, client: Client, tenant: Tenant | None, hint: str, cookie: str) -> Page | WayBack:
        """Begin with the password page, or behind it when the browser is signed in."""
        known = None if visit.prompt in ("login", "select_account") else self._signed_in(tenant, cookie)
        if known is not None and hint.lower() in ("", known.address):
            home = self._at_home(visit, known)
            if not isinstance(home, EntraError):
                return self._conclusions.ask(structs.replace(visit, user=known.address), *home)
        if visit.prompt == "none":
            return self._conclusions.refuse(visit, user_errors.LOGIN_REQUIRED())
        return self._ask_password(visit, client, hint, None)

    def _signed_in(self, tenant: Tenant | None, cookie: str) -> User | None:
        session = self._seal.open("session", cookie, Session)
        if session is None or session.expires <= self._clock.now().timestamp():
            return None
        user = self._accounts.find(session.user, tenant)
        if isinstance(user, EntraError) or session.password != self._seal.stamp(user.mailbox.password):
            return None
        return None if self._accounts.still_good(user) else user

    def _ask_password(self, visit: Visit, client: Client, hint: str, error: EntraError | None) -> Page:
        html = pages.sign_in_page(*self._conclusions.form(visit), client.application.name, hint, error)
        return Page(html=html, error=error)

    def _take_password(
        self, visit: Visit, client: Client, tenant: Tenant | None, form: Mapping[str, str]
    ) -> Page | WayBack:
        name = form.get("username", "")[:320]
        signed_in = self._at_home(visit, self._accounts.sign_in(name, form.get("password", ""), tenant))
        if isinstance(signed_in, EntraError):
            return self._ask_password(visit, client, name, signed_in)
        client, user = signed_in
        visit = structs.replace(visit, user=user.address)
        if second_factor(user) == "none":
            return replace(self._conclusions.ask(visit, client, user), session=self._session(user))
        visit = structs.replace(visit, number=f"{secrets.randbelow(90) + 10}")
        return Page(html=pages.number_page(*self._conclusions.form(visit), user.address, visit.number, wrong=False))

    def _take_number(self, visit: Visit, client: Client, user: User, number: str) -> Page | WayBack:
        if number != visit.number:
            return Page(html=pages.number_page(*self._conclusions.form(visit), user.address, visit.number, wrong=True))
        visit = structs.replace(visit, number="")
        return replace(self._conclusions.ask(visit, client, user), session=self._session(user))

    def _session(self, user: User) -> str:
        expires = (self._clock.now() + _SESSION_LIFETIME).timestamp()
        stamp = self._seal.stamp(user.mailbox.password)
        return self._seal.close("session", Session(user=user.address, password=stamp, expires=expires))
