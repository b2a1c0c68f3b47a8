"""How a sign-in ends: consent, and the way back to the application.

Purpose: once it is known who signs in, ask for consent where it is missing or wanted, and give the application its
answer: a code, an approved device, or an error. Source: RFC 6749 4.1.2, RFC 8628 3.3; "User and admin consent in
Microsoft Entra ID"; the address `/v2.0/adminconsent`, where an administrator consents for everybody.
Shape: `ask`, `accept` and `decline` give a `Page` or a `WayBack`. Failures: none rise.
Leaves to others: who signs in (`sign_in`), what consent means (`consents`).
"""

import uuid
from urllib.parse import quote

from m365emu.clock import Clock
from m365emu.entra import pages, user_errors
from m365emu.entra.accounts import Accounts, User
from m365emu.entra.administration import Administration
from m365emu.entra.clients import Client
from m365emu.entra.consents import Consents, asked_permissions, may_consent
from m365emu.entra.errors import EntraError
from m365emu.entra.grants import Grants
from m365emu.entra.issue import Issuer
from m365emu.entra.scopes import Scope, read_scope
from m365emu.entra.seal import Seal
from m365emu.entra.visits import Page, Visit, WayBack


class Conclusions:
    """Brings sign-ins to an end."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        consents: Consents,
        administration: Administration,
        grants: Grants,
        issuer: Issuer,
        seal: Seal,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._consents = consents
        self._administration = administration
        self._grants = grants
        self._issuer = issuer
        self._seal = seal
        self._clock = clock

    def ask(self, visit: Visit, client: Client, user: User) -> Page | WayBack:
        """Ask for consent where it is missing or wanted, else finish."""
        if visit.for_everybody:
            return self._ask_administrator(visit, client, user)
        scope = read_scope(visit.scope, client.application.name, user.tenant.name)
        if isinstance(scope, EntraError):
            return self.error_page(scope)
        missing = self._missing(client, user, scope)
        if visit.prompt == "none" and missing:
            name = client.application.name
            return self.refuse(visit, user_errors.CONSENT_MISSING(client_id=client.client_id, name=name))
        if missing and not may_consent(user, client.application):
            html = pages.approval_page(*self.form(visit), client.application.name, user.address, _bare(missing))
            return Page(html=html, error=self._approval_needed(client, user))
        if not missing and not visit.device and visit.prompt != "consent":
            return self._finish(visit, client, user)
        asked = _bare(missing or asked_permissions(client.application, scope))
        asked += ("offline_access",) if "offline_access" in scope.openid else ()
        form, name = self.form(visit), client.application.name
        return Page(html=pages.consent_page(*form, name, user.address, asked, device=bool(visit.device)))

    def accept(self, visit: Visit, client: Client, user: User) -> Page | WayBack:
        """Take the consent and finish."""
        if visit.for_everybody:
            return self._accept_for_everybody(visit, client, user)
        scope = read_scope(visit.scope, client.application.name, user.tenant.name)
        if isinstance(scope, EntraError):
            return self.error_page(scope)
        refusal = self._accounts.still_good(user)
        missing = self._missing(client, user, scope)
        if refusal is None and missing and not may_consent(user, client.application):
            refusal = self._approval_needed(client, user)
        if refusal is not None:
            return self.error_page(refusal) if visit.device else self.refuse(visit, refusal)
        self._consents.give(user.tenant, client.client_id, user.address, missing)
        return self._finish(visit, client, user)

    def _ask_administrator(self, visit: Visit, client: Client, user: User) -> Page:
        form, name = self.form(visit), client.application.name
        asked = (*client.application.roles, *client.application.delegated)
        if user.mailbox.administrator:
            return Page(html=pages.organisation_page(*form, name, user.address, user.tenant.name, asked))
        html = pages.approval_page(*form, name, user.address, asked)
        return Page(html=html, error=self._approval_needed(client, user))

    def _accept_for_everybody(self, visit: Visit, client: Client, user: User) -> WayBack:
        if not user.mailbox.administrator:
            return self.refuse(visit, self._approval_needed(client, user))
        self._administration.consent(user.tenant, client.client_id)
        return self._back(visit, {"admin_consent": "True", "tenant": user.tenant.id, "scope": visit.scope}, None)

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

    def decline(self, visit: Visit) -> Page | WayBack:
        """Take no for an answer."""
        if not visit.device:
            return self.refuse(visit, user_errors.CONSENT_DECLINED())
        device = self._grants.device_for(visit.device)
        if device is not None:
            device.state = "declined"
        return Page(html=pages.message_page("Cancelled", "The device was not signed in. You may close this window."))

    def _missing(self, client: Client, user: User, scope: Scope) -> tuple[str, ...]:
        return self._consents.missing(user.tenant, client.client_id, client.application, user.address, scope.targets)

    def _approval_needed(self, client: Client, user: User) -> EntraError:
        return user_errors.ADMIN_CONSENT_NEEDED(client_id=client.client_id, tenant=user.tenant.name)

    def refuse(self, visit: Visit, error: EntraError) -> WayBack:
        """Send an error back to the application."""
        body = error.body(self._clock.now(), str(uuid.uuid4()))
        fields = {"error": _front_channel(error), "error_description": str(body["error_description"])}
        if error.error == "access_denied":
            fields["error_subcode"] = "cancel"
        if visit.for_everybody:
            fields["admin_consent"] = "True"
        return self._back(visit, fields | {"error_uri": str(body["error_uri"])}, error)

    def _back(self, visit: Visit, fields: dict[str, str], error: EntraError | None) -> WayBack:
        if visit.state:
            fields["state"] = visit.state
        mode = visit.response_mode if visit.response_mode in ("fragment", "form_post") else "query"
        return WayBack(uri=visit.redirect_uri, mode=mode, fields=fields, error=error)

    def error_page(self, error: EntraError) -> Page:
        """Show an error that cannot be sent back."""
        description = error.description(self._clock.now(), str(uuid.uuid4()), str(uuid.uuid4()))
        return Page(html=pages.error_page(error, description), status=400, error=error)

    def form(self, visit: Visit) -> tuple[str, str]:
        """Return where a page's form goes, and the sealed state that it carries."""
        return f"/{quote(visit.tenant, safe='')}/login", self._seal.close("visit", visit)


def _bare(permissions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(permission.rpartition("/")[2] for permission in permissions))


def _front_channel(error: EntraError) -> str:
    """Return the OAuth error for a redirect, where what the token endpoint calls a bad grant has other names."""
    if error.suberror == "consent_required":
        return "consent_required"
    return "interaction_required" if error.error == "invalid_grant" else error.error
