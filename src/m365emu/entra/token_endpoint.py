"""The token endpoint's decisions, grant by grant.

Purpose: give an application the tokens it may have. Source: RFC 6749 4.1.3, 4.3, 4.4 and 6; RFC 8628 3.4; the pages
of the Microsoft identity platform on each flow.
Shape: `answer` takes a request's fields and gives the JSON object of the answer, or an `EntraError`.
Failures: none rise. Leaves to others: HTTP (`authority`), credentials (`clients`), people (`accounts`),
the tokens themselves (`issue`).
"""

from collections.abc import Mapping
from datetime import timedelta

from m365emu.clock import Clock
from m365emu.entra import errors, user_errors
from m365emu.entra.accounts import Accounts, second_factor
from m365emu.entra.clients import Client, Clients
from m365emu.entra.errors import EntraError
from m365emu.entra.grants import Grants
from m365emu.entra.issue import Answer, Issuer
from m365emu.entra.refresh_tokens import RefreshTokens
from m365emu.entra.scopes import one_target, read_application_scope, read_scope
from m365emu.tenant import Tenant

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

_DEVICE_HASTE = timedelta(seconds=1)
_SLOW_DOWN_SECONDS = 5
_VERIFIER_CHARACTERS = 128


class TokenEndpoint:
    """Judges token requests."""

    def __init__(
        self,
        *,
        clients: Clients,
        accounts: Accounts,
        grants: Grants,
        refresh_tokens: RefreshTokens,
        issuer: Issuer,
        clock: Clock,
    ) -> None:
        self._clients = clients
        self._accounts = accounts
        self._grants = grants
        self._refresh_tokens = refresh_tokens
        self._issuer = issuer
        self._clock = clock

    def answer(self, tenant_name: str, form: Mapping[str, str], host: str) -> Answer | EntraError:
        """Judge a request.

        Args:
            tenant_name: the tenant in the path.
            form: the fields of the body, each once.
            host: the host that was asked, which ID tokens name as their issuer.
        """
        tenant = self._clients.tenant(tenant_name)
        if isinstance(tenant, EntraError):
            return tenant
        for name in ("grant_type", "client_id"):
            if not form.get(name):
                return errors.PARAMETER_MISSING(parameter=name)
        grant_type = form["grant_type"]
        if grant_type not in ("client_credentials", "authorization_code", "refresh_token", "password", DEVICE_CODE):
            return errors.GRANT_TYPE_UNSUPPORTED(grant=grant_type[:100])
        if grant_type == "client_credentials" and tenant is None:
            return errors.NO_TENANT()
        client = self._clients.find(form["client_id"], tenant)
        if isinstance(client, EntraError):
            return client
        may_be_public = grant_type != "client_credentials"
        refusal = self._clients.authenticate(client, form, host, may_be_public=may_be_public)
        if refusal is not None:
            return refusal
        match grant_type:
            case "client_credentials":
                return self._for_application(client, form)
            case "authorization_code":
                return self._for_code(client, tenant, form, host)
            case "refresh_token":
                return self._for_refresh_token(client, tenant, form, host)
            case "password":
                return self._for_password(client, tenant, form, host)
            case _:
                return self._for_device(client, tenant, form, host)

    def _for_application(self, client: Client, form: Mapping[str, str]) -> Answer | EntraError:
        target = read_application_scope(form.get("scope", ""), client.tenant.name)
        if isinstance(target, EntraError):
            return target
        return self._issuer.for_application(client, target.name)

    def _for_code(
        self, client: Client, tenant: Tenant | None, form: Mapping[str, str], host: str
    ) -> Answer | EntraError:
        if not form.get("code"):
            return errors.PARAMETER_MISSING(parameter="code")
        code = self._grants.code(form["code"])
        if code is None or code.grant.client_id != client.client_id:
            return user_errors.GRANT_MALFORMED()
        if code.redeemed:
            return user_errors.CODE_REDEEMED()
        if code.expires <= self._clock.now():
            return user_errors.CODE_EXPIRED()
        given = form.get("redirect_uri", "")
        if given != code.redirect_uri:
            return user_errors.REDIRECT_DIFFERS(given=given[:500], wanted=code.redirect_uri)
        verifier = form.get("code_verifier", "")
        if code.challenge and not verifier:
            return errors.PARAMETER_MISSING(parameter="code_verifier")
        if code.challenge and (len(verifier) > _VERIFIER_CHARACTERS or not code.is_verified_by(verifier)):
            return errors.VERIFIER_WRONG()
        code.redeemed = True
        return self._issuer.from_grant(client, tenant, code.grant, form, host)

    def _for_refresh_token(
        self, client: Client, tenant: Tenant | None, form: Mapping[str, str], host: str
    ) -> Answer | EntraError:
        if not form.get("refresh_token"):
            return errors.PARAMETER_MISSING(parameter="refresh_token")
        grant = self._refresh_tokens.read(form["refresh_token"])
        if grant is None:
            return user_errors.GRANT_MALFORMED()
        if grant.client_id != client.client_id:
            return user_errors.GRANT_INVALID()
        days = client.tenant.limits.refresh_days
        if self._clock.now() >= grant.moment + timedelta(days=days):
            return user_errors.REFRESH_INACTIVE(issued=f"{grant.moment:%Y-%m-%dT%H:%M:%S.0000000Z}", days=str(days))
        return self._issuer.from_grant(client, tenant, grant, form, host)

    def _for_device(
        self, client: Client, tenant: Tenant | None, form: Mapping[str, str], host: str
    ) -> Answer | EntraError:
        device_code = form.get("device_code") or form.get("code", "")
        if not device_code:
            return errors.PARAMETER_MISSING(parameter="device_code")
        device = self._grants.device(device_code)
        now = self._clock.now()
        if device is None or device.client_id != client.client_id:
            return user_errors.DEVICE_UNKNOWN()
        if device.expires <= now:
            return user_errors.DEVICE_EXPIRED()
        if device.state == "declined":
            return user_errors.DEVICE_DECLINED()
        if device.grant is None:
            last, device.polled = device.polled, now
            hasty = last is not None and now - last < timedelta(seconds=device.interval) - _DEVICE_HASTE
            if hasty and client.tenant.assumptions.device_polling == "slow_down":
                device.interval += _SLOW_DOWN_SECONDS
                return user_errors.DEVICE_TOO_FAST()
            return user_errors.DEVICE_PENDING()
        self._grants.forget_device(device_code)
        return self._issuer.from_grant(client, tenant, device.grant, {**form, "scope": device.scope}, host)

    def _for_password(
        self, client: Client, tenant: Tenant | None, form: Mapping[str, str], host: str
    ) -> Answer | EntraError:
        for name in ("username", "password"):
            if not form.get(name):
                return errors.PARAMETER_MISSING(parameter=name)
        scope = read_scope(form.get("scope", ""), client.application.name, client.tenant.name)
        target = scope if isinstance(scope, EntraError) else one_target(scope)
        if isinstance(target, EntraError):
            return target
        user = self._accounts.sign_in(form["username"], form["password"], tenant)
        if isinstance(user, EntraError):
            return user
        factor = second_factor(user)
        if factor == "registered":
            return user_errors.MFA_REQUIRED(resource=target.resource.app_id)
        if factor == "to-register":
            return user_errors.MFA_ENROLMENT_REQUIRED(resource=target.resource.app_id)
        grant = self._issuer.grant(client, user, form["scope"], "")
        return self._issuer.from_grant(client, tenant, grant, form, host)
