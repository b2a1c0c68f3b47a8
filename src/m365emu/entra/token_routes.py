"""The endpoints for programs over HTTP: discovery, keys, tokens, device codes.

Purpose: carry requests to the decisions and answers back. Source: OpenID Connect Discovery 1.0 4, RFC 6749 3.2,
RFC 8628 3.1 and 3.2. Shape: aiohttp handlers; refusals are Entra's JSON objects and are counted by their number.
Faults on order strike at `token` and `device-code`; a reply whose text is `AADSTS...` is given in Entra's form.
Failures: none rise. Leaves to others: decisions (`token_endpoint`), documents (`discovery`).
"""

from datetime import timedelta

from aiohttp import web

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.entra import discovery, errors
from m365emu.entra.catalogue import ordered
from m365emu.entra.clients import Clients
from m365emu.entra.errors import EntraError
from m365emu.entra.grants import Grants
from m365emu.entra.requests import basic_credentials, correlation_id, json_answer, read_fields, read_query
from m365emu.entra.scopes import one_target, read_scope
from m365emu.entra.token_endpoint import TokenEndpoint
from m365emu.faults import Fault, Faults
from m365emu.statistics import Statistics
from m365emu.tokens import TokenMaker

Answer = dict[str, object]


class TokenRoutes:
    """The routes that programs ask for."""

    def __init__(
        self,
        *,
        directory: Directory,
        tokens: TokenMaker,
        clients: Clients,
        grants: Grants,
        endpoint: TokenEndpoint,
        faults: Faults,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._clients = clients
        self._grants = grants
        self._endpoint = endpoint
        self._faults = faults
        self._statistics = statistics
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/common/discovery/instance", self._instance)
        app.router.add_get("/common/userrealm/{user}", self._user_realm)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._keys)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        app.router.add_post("/{tenant}/oauth2/v2.0/devicecode", self._device_code)

    async def _configuration(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["tenant"]
        tenant = self._clients.tenant(name)
        if isinstance(tenant, EntraError):
            return self._refuse(request, tenant)
        if tenant is None:
            return json_answer(discovery.openid_configuration(request.host, name.lower(), "{tenantid}"))
        return json_answer(discovery.openid_configuration(request.host, tenant.id, tenant.id))

    async def _instance(self, request: web.Request) -> web.StreamResponse:
        endpoint = read_query(request).get("authorization_endpoint", "")
        found = discovery.instance(request.host, endpoint)
        return self._refuse(request, errors.UNKNOWN_INSTANCE()) if found is None else json_answer(found)

    async def _user_realm(self, request: web.Request) -> web.StreamResponse:
        user = request.match_info["user"][:320]
        return json_answer(discovery.user_realm(user, managed=self._directory.is_internal(user)))

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return json_answer(self._tokens.public_keys())

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await read_fields(request)
        form = {**basic_credentials(request.headers.get("Authorization", "")), **form}
        fault = self._faults.take("token", form.get("username"), application=form.get("client_id"))
        if fault is not None:
            return self._carry_out(request, fault)
        answer = self._endpoint.answer(request.match_info["tenant"], form, request.host)
        if isinstance(answer, EntraError):
            return self._refuse(request, answer)
        self._statistics.tokens["issued"] += 1
        return json_answer(answer)

    async def _device_code(self, request: web.Request) -> web.StreamResponse:
        form = await read_fields(request)
        fault = self._faults.take("device-code", None, application=form.get("client_id"))
        if fault is not None:
            return self._carry_out(request, fault)
        answer = self._start_device(request.match_info["tenant"], form, request.host)
        return self._refuse(request, answer) if isinstance(answer, EntraError) else json_answer(answer)

    def _start_device(self, name: str, form: dict[str, str], host: str) -> Answer | EntraError:
        tenant = self._clients.tenant(name)
        if isinstance(tenant, EntraError):
            return tenant
        if not form.get("client_id"):
            return errors.PARAMETER_MISSING(parameter="client_id")
        client = self._clients.find(form["client_id"], tenant)
        if isinstance(client, EntraError):
            return client
        scope = read_scope(form.get("scope", ""), client.application.name, client.tenant.name)
        target = scope if isinstance(scope, EntraError) else one_target(scope)
        if isinstance(target, EntraError):
            return target
        limits = client.tenant.limits
        device_code, device = self._grants.add_device(
            client.client_id,
            name,
            form["scope"],
            timedelta(seconds=limits.device_code_seconds),
            limits.device_code_interval,
        )
        where = f"https://{host}/devicelogin"
        return {
            "user_code": device.user_code,
            "device_code": device_code,
            "verification_uri": where,
            "expires_in": limits.device_code_seconds,
            "interval": limits.device_code_interval,
            "message": f"To sign in, use a web browser to open the page {where} and enter the code "
            f"{device.user_code} to authenticate.",
        }

    def _refuse(self, request: web.Request, refusal: EntraError) -> web.Response:
        self._statistics.tokens[f"AADSTS{refusal.number}"] += 1
        return json_answer(refusal.body(self._clock.now(), correlation_id(request)), status=refusal.status)

    def _carry_out(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """Answer as a fault on order has it, or cut the connection."""
        if fault.reply is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        status, text = int(fault.reply[:3]), fault.reply[4:]
        error = ordered(status, text)
        response = web.Response(status=status, text=text) if error is None else self._refuse(request, error)
        if fault.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(fault.retry_after_seconds)
        return response
