"""The control API: every operation over HTTP on a Unix socket inside the node.

Purpose: commands steer the running node. Source: RFC 9110 for statuses; SO_PEERCRED of unix(7) says who asks.
Shape: `control_app` makes the routes from ``operate.operations``; `ControlServer` binds the socket itself, because
uvicorn would make it writable for everybody, and leaves signals alone.
Failures: `SocketInUse` when another node answers there. A request that cannot be done gets a `Refusal` as JSON.
Leaves to others: all work (``operate.services``).

Who may do what: root, the node's own user and members of ``[control] group`` may do everything; with
``submission = "everyone"`` any local user may hand in mail and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from posthouse.operate import operations
from posthouse.operate.metrics import MEDIA_TYPE
from posthouse.operate.operations import Operation
from posthouse.operate.services import Services
from posthouse.operate.settings import ControlSettings
from posthouse.operate.shapes import Code, Nothing, Refusal, SubmissionEnvelope

MESSAGES = "/v1/messages"
METRICS = "/metrics"
MAX_REQUEST_OCTETS = 8 * 1024 * 1024
MAX_ENVELOPE_OCTETS = 4 * 1024 * 1024
_STATUS: dict[Code, int] = {
    "not_found": 404,
    "invalid": 422,
    "conflict": 409,
    "forbidden": 403,
    "unavailable": 503,
    "failed": 500,
}
FORBIDDEN = Refusal(
    code="forbidden",
    message="this user may not steer the node; root, its own user and members of [control] group may",
)


class SocketInUse(Exception):
    """Another node answers on the control socket."""


def control_app(services: Services, settings: ControlSettings) -> ASGIApp:
    """All routes, behind the gate that knows who may ask.

    Args:
        services: What carries requests out.
        settings: Who may do what, and the largest message.
    """
    app = FastAPI(title="Posthouse control API", version="1", docs_url=None, redoc_url=None)
    for operation in _all_operations():
        _add(app, services, operation)

    @app.post(MESSAGES, summary="Hand in a message: one line of JSON (envelope), then its octets")
    async def submit(request: Request) -> Response:
        head, _, content = (await request.body()).partition(b"\n")
        try:
            envelope = msgspec.json.decode(head, type=SubmissionEnvelope)
        except msgspec.MsgspecError as error:
            return _answer(Refusal(code="invalid", message=f"the envelope cannot be read: {error}"))
        return _answer(await services.submit(envelope, content, request.scope["login"]))

    @app.get(METRICS, summary="Metrics in Prometheus' text format")
    async def metrics(request: Request) -> Response:
        answer = await services.call(operations.NODE_METRICS, Nothing(), request.scope["login"])
        return _answer(answer) if isinstance(answer, Refusal) else Response(answer.text, media_type=MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        details = tuple(f"{'.'.join(str(step) for step in e['loc'][1:])}: {e['msg']}" for e in error.errors())
        return _answer(Refusal(code="invalid", message="the request cannot be read", details=details))

    return Gate(app, settings)


def _add(app: FastAPI, services: Services, operation: Operation[Any, Any]) -> None:
    async def handle(asked: Any, request: Request) -> Response:
        return _answer(await services.call(operation, asked, request.scope["login"]))

    handle.__annotations__["asked"] = operation.request
    app.add_api_route(
        f"/v1/{operation.name}",
        handle,
        methods=["POST"],
        summary=operation.summary,
        name=operation.name.replace("/", "_"),
        response_class=Response,
        responses={200: {"model": operation.answer}, 422: {"model": Refusal}, 503: {"model": Refusal}},
    )


class Gate:
    """Knows who asks before anything is read: refuses strangers and bodies that are too large."""

    def __init__(self, app: ASGIApp, settings: ControlSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return
        login, is_operator = self._who(scope.get("client"))
        is_message = scope["path"] == MESSAGES
        most = self._settings.max_message + MAX_ENVELOPE_OCTETS if is_message else MAX_REQUEST_OCTETS
        if not is_operator and not (is_message and self._settings.submission == "everyone"):
            await _answer(FORBIDDEN)(scope, receive, send)
        elif (octets := _declared_octets(scope["headers"])) is None or octets > most:
            reason = f"the length of the body must be declared, {most:,} octets at most"
            await _answer(Refusal(code="invalid", message=reason))(scope, receive, send)
        else:
            await self._app({**scope, "login": login}, receive, send)

    def _who(self, client: tuple[str, int] | None) -> tuple[str, bool]:
        """Login name of the peer, and whether it may steer the node."""
        if client is None:
            return "", False
        uid = client[1]
        login, group = _login(uid), self._settings.group
        return login, uid in {0, os.geteuid()} or (group is not None and login in _members(group))


def _declared_octets(headers: list[tuple[bytes, bytes]]) -> int | None:
    found = dict(headers)
    if b"transfer-encoding" in found:
        return None
    text = found.get(b"content-length", b"0")
    return int(text) if text.isdigit() else None


def _all_operations() -> Iterator[Operation[Any, Any]]:
    for value in vars(operations).values():
        if isinstance(value, Operation):
            yield value


def _answer(answer: object) -> Response:
    status = _STATUS[answer.code] if isinstance(answer, Refusal) else 200
    return Response(msgspec.json.encode(answer), status_code=status, media_type="application/json")


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _members(group: str) -> set[str]:
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return set()
    return set(found.gr_mem) | {user.pw_name for user in pwd.getpwall() if user.pw_gid == found.gr_gid}


class _PeerProtocol(H11Protocol):
    """HTTP whose ``client`` is the user at the other end of a Unix socket: name of the kind, then user id."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        uid = struct.unpack(
            "3i", transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )[1]
        self.client = ("uid", uid)


class _Server(uvicorn.Server):
    """A server in somebody else's loop, under somebody else's signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ControlServer:
    """Serves the control API in the running loop until it is closed."""

    def __init__(self, services: Services, settings: ControlSettings) -> None:
        self._settings = settings
        self._path = settings.socket
        config = uvicorn.Config(
            control_app(services, settings),
            http=_PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=30,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            SocketInUse: Another node answers there.
            OSError: The socket cannot be made.
        """
        bound = bind_socket(self._path, self._settings)
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]), name="control API")
        await self._server.ready.wait()

    async def close(self) -> None:
        """Answer what was asked, then stop and remove the socket. Idempotent."""
        if self._task is None:
            return
        self._server.should_exit = True
        task, self._task = self._task, None
        await task
        self._path.unlink(missing_ok=True)


def bind_socket(path: Path, settings: ControlSettings) -> socket.socket:
    """A listening Unix socket with the right mode from its first moment.

    Raises:
        SocketInUse: Another process answers there.
        OSError: It cannot be made; the path may be too long (107 octets at most).
    """
    if len(os.fsencode(path)) > 107:
        raise OSError(f"the path of the control socket is too long: {path}; set [control] socket to a shorter one")
    _remove_stale(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        bound.bind(os.fspath(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(mask)
    if settings.group is not None:
        os.chown(path, -1, grp.getgrnam(settings.group).gr_gid)
        path.chmod(0o660)
    if settings.submission == "everyone":
        path.chmod(0o666)
    bound.listen(128)
    bound.setblocking(False)
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody answers on."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise SocketInUse(f"another node answers on {path}")
