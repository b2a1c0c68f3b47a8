"""A person signs in: from page to page to a code.

Purpose: the steps of an interactive sign-in: account and password, second factor, consent, and the way back.
Source: RFC 6749 4.1, RFC 7636, RFC 8628 3.3, OpenID Connect Core 1.0 3.1.2 (`prompt`, `login_hint`, `nonce`).
Shape: `begin` and `proceed` give what to show next: a `Page`, or a `WayBack` to the application. What was settled
so far travels sealed in the page, so nothing is kept between two requests.
Failures: none rise. Leaves to others: HTTP and cookies (`sign_in_routes`), HTML (`pages`).
"""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

from msgspec import structs

from m365emu.clock import Clock
from m365emu.entra import errors, pages, user_errors
from m365emu.entra.accounts import Accounts, User, second_factor
from m365emu.entra.clients import Client, Clients
from m365emu.entra.consents import Consents, asked_permissions, may_consent
from m365emu.entra.errors import EntraError
from m365emu.entra.grants import DeviceCode, Grants
from m365emu.entra.issue import Issuer
from m365emu.entra.redirects import check_request, way_back
from m365emu.entra.scopes import Scope, read_scope
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
        consents: Consents,
        grants: Grants,
        issuer: Issuer,
        seal: Seal,
        clock: Clock,
    ) -> None:
        self._clients = clients
        self._accounts = accounts
        self._consents = consents
        self._grants = grants
        self._issuer = issuer
        self._seal = seal
        self._clock = clock

    def begin(self, tenant_name: str, query: Mapping[str, str], cookie: str) -> Page | WayBack:
        """Answer an authorization request.

        Args:
            tenant_name: the tenant in the path.
            query: the request's parameters.
            cookie: the browser's sealed session, or nothing.
        """
        if not query.get("client_id"):
            return self._error_page(errors.PARAMETER_MISSING(parameter="client_id"))
        found = self._find(tenant_name, query["client_id"])
        if isinstance(found, EntraError):
            return self._error_page(found)
        tenant, client = found
        redirect_uri = way_back(client.client_id, client.application, query.get("redirect_uri", ""))
        if isinstance(redirect_uri, EntraError):
            return self._error_page(redirect_uri)
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
        scope = read_scope(visit.scope, client.application.name, client.tenant.name)
        refusal = check_request(query) or (scope if isinstance(scope, EntraError) else None)
        if refusal is not None:
            return self._refuse(visit, refusal)
        return self._greet(visit, client, tenant, query.get("login_hint", "")[:320], cookie)

    def begin_device(self, device: DeviceCode) -> Page:
        """Ask the person whose device waits to sign in."""
        found = self._find(device.tenant, device.client_id)
        if isinstance(found, EntraError):
            return self._error_page(found)
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
            return self._error_page(found)
        tenant, client = found
        if form.get("answer") == "cancel":
            return self._decline(visit)
        if not visit.user:
            return self._take_password(visit, client, tenant, form)
        signed_in = self._at_home(visit, self._accounts.find(visit.user, tenant))
        if isinstance(signed_in, EntraError):
            return self._error_page(signed_in)
        client, user = signed_in
        if visit.number:
            return self._take_number(visit, client, user, form.get("number", "").strip())
        return self._accept(visit, client, user)

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
                return self._ask_consent(structs.replace(visit, user=known.address), *home)
        if visit.prompt == "none":
            return self._refuse(visit, user_errors.LOGIN_REQUIRED())
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
        html = pages.sign_in_page(*self._form(visit), client.application.name, hint, error)
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
            return replace(self._ask_consent(visit, client, user), session=self._session(user))
        visit = structs.replace(visit, number=f"{secrets.randbelow(90) + 10}")
        return Page(html=pages.number_page(*self._form(visit), user.address, visit.number, wrong=False))

    def _take_number(self, visit: Visit, client: Client, user: User, number: str) -> Page | WayBack:
        if number != visit.number:
            return Page(html=pages.number_page(*self._form(visit), user.address, visit.number, wrong=True))
        visit = structs.replace(visit, number="")
        return replace(self._ask_consent(visit, client, user), session=self._session(user))

    def _ask_consent(self, visit: Visit, client: Client, user: User) -> Page | WayBack:
        """Ask for consent where it is missing or wanted, else finish."""
        scope = read_scope(visit.scope, client.application.name, user.tenant.name)
        if isinstance(scope, EntraError):
            return self._error_page(scope)
        missing = self._missing(client, user, scope)
        if visit.prompt == "none" and missing:
            name = client.application.name
            return self._refuse(visit, user_errors.CONSENT_MISSING(client_id=client.client_id, name=name))
        if missing and not may_consent(user.tenant, client.application):
            html = pages.approval_page(*self._form(visit), client.application.name, user.address, _bare(missing))
            return Page(html=html, error=self._approval_needed(client, user))
        if not missing and not visit.device and visit.prompt != "consent":
            return self._finish(visit, client, user)
        asked = _bare(missing or asked_permissions(client.application, scope))
        asked += ("offline_access",) if "offline_access" in scope.openid else ()
        form, name = self._form(visit), client.application.name
        return Page(html=pages.consent_page(*form, name, user.address, asked, device=bool(visit.device)))

    def _accept(self, visit: Visit, client: Client, user: User) -> Page | WayBack:
        scope = read_scope(visit.scope, client.application.name, user.tenant.name)
        if isinstance(scope, EntraError):
            return self._error_page(scope)
        refusal = self._accounts.still_good(user)
        missing = self._missing(client, user, scope)
        if refusal is None and missing and not may_consent(user.tenant, client.application):
            refusal = self._approval_needed(client, user)
        if refusal is not None:
            return self._error_page(refusal) if visit.device else self._refuse(visit, refusal)
        self._consents.give(user.tenant, client.client_id, user.address, missing)
        return self._finish(visit, client, user)

    def _finish(self, visit: Visit, client: Client, user: User) -> Page | WayBack:
        grant = self._issuer.grant(client, user, visit.scope, visit.nonce)
        if not visit.device:
            code = self._grants.add_code(grant, visit.asked_redirect, visit.challenge, visit.method)
            return self._back(visit, {"code": code, "session_state": str(uuid.uuid4())}, None)
        device = self._grants.device_for(visit.device)
        if device is None:
            return Page(html=pages.message_page("Too late", "The code has expired. Start again on the device."))
        device.state, device.grant = "approved", grant
        text = f"You have signed in to {client.application.name} on your device. You may close this window."
        return Page(html=pages.message_page("Signed in", text))

    def _decline(self, visit: Visit) -> Page | WayBack:
        if not visit.device:
            return self._refuse(visit, user_errors.CONSENT_DECLINED())
        device = self._grants.device_for(visit.device)
        if device is not None:
            device.state = "declined"
        return Page(html=pages.message_page("Cancelled", "The device was not signed in. You may close this window."))

    def _missing(self, client: Client, user: User, scope: Scope) -> tuple[str, ...]:
        return self._consents.missing(user.tenant, client.client_id, client.application, user.address, scope.targets)

    def _approval_needed(self, client: Client, user: User) -> EntraError:
        return user_errors.ADMIN_CONSENT_NEEDED(client_id=client.client_id, tenant=user.tenant.name)

    def _refuse(self, visit: Visit, error: EntraError) -> WayBack:
        body = error.body(self._clock.now(), str(uuid.uuid4()))
        fields = {"error": _front_channel(error), "error_description": str(body["error_description"])}
        if error.error == "access_denied":
            fields["error_subcode"] = "cancel"
        return self._back(visit, fields | {"error_uri": str(body["error_uri"])}, error)

    def _back(self, visit: Visit, fields: dict[str, str], error: EntraError | None) -> WayBack:
        if visit.state:
            fields["state"] = visit.state
        mode = visit.response_mode if visit.response_mode in ("fragment", "form_post") else "query"
        return WayBack(uri=visit.redirect_uri, mode=mode, fields=fields, error=error)

    def _error_page(self, error: EntraError) -> Page:
        description = error.description(self._clock.now(), str(uuid.uuid4()), str(uuid.uuid4()))
        return Page(html=pages.error_page(error, description), status=400, error=error)

    def _form(self, visit: Visit) -> tuple[str, str]:
        return f"/{quote(visit.tenant, safe='')}/login", self._seal.close("visit", visit)

    def _session(self, user: User) -> str:
        expires = (self._clock.now() + _SESSION_LIFETIME).timestamp()
        stamp = self._seal.stamp(user.mailbox.password)
        return self._seal.close("session", Session(user=user.address, password=stamp, expires=expires))


def _bare(permissions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(permission.rpartition("/")[2] for permission in permissions))


def _front_channel(error: EntraError) -> str:
    """Return the OAuth error for a redirect, where what the token endpoint calls a bad grant has other names."""
    if error.suberror == "consent_required":
        return "consent_required"
    return "interaction_required" if error.error == "invalid_grant" else error.error
