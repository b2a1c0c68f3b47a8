"""A Graph that does what a test tells it, over TLS on this machine."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from tests.unit.deliver.jobs import HASTE
from tests.unit.net.authority import Authority

from posthouse.decide.identities import ClientSecret
from posthouse.decide.outbound import Graph
from posthouse.decide.ways import Way, limits_of
from posthouse.deliver.graph.carrier import GraphCarrier
from posthouse.deliver.patience import Patience
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.tokens import TokenSource

MAILBOX = "relay@contoso.example"
PLANTED = "planted-secret"


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def mime(self) -> bytes:
        """The MIME that a sendMail carries."""
        return base64.b64decode(self.body, validate=True)


Handler = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


def refuse(
    status: int, code: str = "", message: str = "", **headers: str
) -> Callable[[web.Request, bytes], Awaitable[web.Response]]:
    """Answers with an error object."""

    async def answer(_: web.Request, __: bytes) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"error": {"code": code, "message": message}} if code else {}
        return web.json_response(body, status=status, headers={"request-id": "r-1", **named})

    return answer


async def accept(_: web.Request, __: bytes) -> web.Response:
    """202, as Graph says when it took a message."""
    return web.Response(status=202, headers={"request-id": "r-1"})


async def hang_up(request: web.Request, _: bytes) -> web.Response:
    """Read all, then close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Stub:
    """The server; `answers` are used up in order, the last one stays."""

    directory: Path
    answers: list[Handler] = field(default_factory=lambda: [accept])
    seen: list[Seen] = field(default_factory=list)
    tokens: int = 0
    base: str = ""
    hangs_up_early: bool = False
    refuses_tokens: bool = False
    patience: Patience = HASTE

    async def start(self) -> None:
        authority = Authority(self.directory)
        self.ca = authority.file
        pair = authority.issue("127.0.0.1", as_file="graph")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        app = web.Application(client_max_size=10**8)
        app.router.add_route("*", "/{rest:.*}", self._handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=context).start()
        self.base = f"https://127.0.0.1:{self.runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self.runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.hangs_up_early:
            return await hang_up(request, b"")
        body = await request.read()
        self.seen.append(Seen(request.method, request.path, dict(request.headers), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request, body)

    def way(self, **settings: object) -> Way:
        identity = ClientSecret(
            name="app", tenant="t", client_id="c", client_secret="secret:app", ca=self.ca, graph=self.base
        )
        connector = Graph(
            **{"name": "graph", "identity": "app", "mailboxes": MAILBOX, **settings}  # type: ignore[arg-type]
        )
        return Way(connector=connector, identity=identity, limits=limits_of(connector))

    def carrier(self, **settings: object) -> GraphCarrier:
        return GraphCarrier(self.way(**settings), self.token_source(), self.patience)

    def token_source(self) -> TokenSource:
        async def secret(_: str) -> str:
            return PLANTED

        return TokenSource(SecretOpener(secret), self._ask)

    def _ask(self, _: object) -> dict[str, object]:
        if self.refuses_tokens:
            return {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}
        self.tokens += 1
        return {"access_token": f"token-{self.tokens}", "expires_in": 3600}
