"""A client of Graph, and the tenant it talks to."""

import base64
import json
import ssl
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
from tests.emulator.talk import CLIENT_ID, TENANT

from m365emu.emulator import Emulator
from m365emu.resources import GRAPH
from m365emu.tokens import Subject

ROLES = ("Mail.Send", "Mail.ReadWrite", "ExchangeMessageTrace.Read.All", "User.Read.All", "Application.Read.All")
RELAY = "relay@contoso.example"


def graph_tenant(**changes: Any) -> dict[str, object]:
    """The tenant that every test knows, its application granted what Graph asks for."""
    application = {
        "name": "Mail relay",
        "object_id": "object-1",
        "roles": list(ROLES),
        "secrets": [{"value": "x" * 20}],
    }
    return {**TENANT, "applications": {CLIENT_ID: application}, **changes}


class GraphClient:
    """Sends requests as the application, or as a user."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.base = emulator.graph
        context = ssl.create_default_context(cafile=emulator.ca)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=50))
        self.token = self.app_token()

    async def __aenter__(self) -> "GraphClient":
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.session.close()

    def app_token(self, roles: tuple[str, ...] | None = None, seconds: int = 3600, audience: str = "") -> str:
        application = self.emulator.tenant.applications[CLIENT_ID]
        if roles is not None:
            application = msgspec.structs.replace(application, roles=roles)
        return self.emulator.tokens.make(
            client_id=CLIENT_ID,
            application=application,
            tenant_id=self.emulator.tenant.id,
            lifetime=timedelta(seconds=seconds),
            audience=audience or GRAPH.names[0],
        )

    def user_token(self, address: str, *scopes: str) -> str:
        return self.emulator.tokens.make(
            client_id=CLIENT_ID,
            application=self.emulator.tenant.applications[CLIENT_ID],
            tenant_id=self.emulator.tenant.id,
            lifetime=timedelta(hours=1),
            audience=GRAPH.names[0],
            subject=Subject(address=address, object_id="user", name=address),
            scopes=scopes,
        )

    async def ask(
        self, method: str, path: str, body: Any = None, *, data: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request; return status, JSON or octets, and headers."""
        sent = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is not None:
            sent["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        url = path if path.startswith("https:") else f"{self.base}{path}"
        async with self.session.request(method, url, data=data, headers={k: v for k, v in sent.items() if v}) as answer:
            octets = await answer.read()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return answer.status, json.loads(octets) if is_json else octets, dict(answer.headers)

    async def get(self, path: str) -> Any:
        status, body, _ = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def send_mime(self, mime: bytes, user: str = RELAY) -> tuple[int, Any, dict[str, str]]:
        data = base64.b64encode(mime)
        return await self.ask("POST", f"/users/{user}/sendMail", data=data, Content_Type="text/plain")

    async def send(self, user: str = RELAY, save: Any = None, **message: Any) -> tuple[int, Any, dict[str, str]]:
        message = {"subject": "Hello", "toRecipients": [to("alice@contoso.example")], **message}
        body = {"message": message} if save is None else {"message": message, "saveToSentItems": save}
        return await self.ask("POST", f"/users/{user}/sendMail", body)

    async def draft(self, user: str = RELAY, **message: Any) -> str:
        message = {"subject": "Draft", "toRecipients": [to("alice@contoso.example")], **message}
        status, body, _ = await self.ask("POST", f"/users/{user}/messages", message)
        assert status == 201 and body["isDraft"], body
        return str(body["id"])


def to(address: str, name: str | None = None) -> dict[str, dict[str, str]]:
    return {"emailAddress": {"address": address} | ({"name": name} if name else {})}


def code(body: Any) -> str:
    return str(body["error"]["code"])
