"""Graph on the HTTPS server.

Purpose: take requests under `/v1.0/` and `/beta/`, and below `/api/v2.0/` the pieces of uploads, through
authentication, permission, throttling and faults to their handler. Source: "Use the Microsoft Graph API"; "Best
practices for working with Microsoft Graph" (request-id, client-request-id, Retry-After).
Shape: `Graph.add_to` puts the routes into the application that the authority's are in. `_answer` is all of it for
one call, so that a batch is the same for each of its entries. A fault at the stage `graph-send` with `keep` lets the
message go and then gives the fault's answer; one without an answer drops the connection.
Failures: refusals are answered; a connection that is to be dropped raises `_Dropped` up to the server.
Leaves to others: everything that a handler does.
"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.faults import Fault, Faults
from m365emu.graph import errors, routes
from m365emu.graph.access import Access, Caller
from m365emu.graph.attachments import Attachments
from m365emu.graph.batch import answer_batch
from m365emu.graph.call import Answer, Call, Read, segments
from m365emu.graph.drafts import Drafts
from m365emu.graph.errors import GraphError
from m365emu.graph.folders import Folders
from m365emu.graph.messages import Messages
from m365emu.graph.organization import Organization
from m365emu.graph.rotation import Rotation
from m365emu.graph.sending import Sender
from m365emu.graph.throttle import Throttle
from m365emu.graph.traces import Traces
from m365emu.limits import RecipientQuota
from m365emu.mailbox import MessageStore
from m365emu.post import Post
from m365emu.statistics import Statistics
from m365emu.tokens import TokenMaker

_MOST_OPTIONS = 100
_FAULT_CODES = {429: "TooManyRequests", 503: "ErrorServerBusy", 500: "ErrorInternalServerError"}


class _Dropped(Exception):
    """The connection is to be cut without an answer."""


class Graph:
    """Microsoft Graph.

    Attributes:
        throttle: the counts by application and mailbox.
        drafts: what is not sent yet.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        tokens: TokenMaker,
        post: Post,
        store: MessageStore,
        quota: RecipientQuota,
        faults: Faults,
        statistics: Statistics,
        clock: Clock,
        drafts: Path,
    ) -> None:
        """Connect the parts; `drafts` is a directory of Graph's own. Raises `OSError` when it cannot be used."""
        self._directory = directory
        self._faults = faults
        self._statistics = statistics
        self._clock = clock
        self.throttle, self.drafts = Throttle(), Drafts(drafts)
        self._access = access = Access(directory, tokens)
        folders = Folders(store, self.drafts)
        sender = Sender(directory=directory, access=access, post=post, store=store, quota=quota, clock=clock)
        self._attachments = Attachments(
            directory=directory, folders=folders, drafts=self.drafts, throttle=self.throttle, clock=clock
        )
        organization = Organization(access)
        self._routes = routes.table(
            Messages(directory=directory, access=access, folders=folders, sender=sender, clock=clock),
            self._attachments,
            Traces(directory=directory, post=post, throttle=self.throttle, clock=clock),
            organization,
            Rotation(directory=directory, access=access, organization=organization, clock=clock),
        )

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        for version in ("v1.0", "beta"):
            app.router.add_route("*", f"/{version}/{{rest:.*}}", self._handle)
        app.router.add_route("*", "/api/v2.0/{rest:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = _call(request)
        try:
            if request.path.startswith("/api/"):
                answer = await self._upload(call)
            elif call.path and call.path[0].lower() == "$batch" and call.method == "POST":
                answer = await self._batch(call)
            else:
                answer = await self._answer(call)
        except _Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        return _response(call, answer)

    async def _batch(self, call: Call) -> Answer:
        try:
            self._access.caller(call.headers.get("authorization", ""))
            return await answer_batch(call, self._directory.tenant.limits.graph_request_octets, self._answer)
        except GraphError as error:
            return self._refused(call, error)

    async def _upload(self, call: Call) -> Answer:
        try:
            names = tuple(segment.lower() for segment in call.path[::2])
            if names != ("users", "messages", "attachmentsessions") or len(call.path) != 6:
                raise errors.no_such_segment(call.path[-1] if call.path else "")
            if call.method not in ("PUT", "GET", "DELETE"):
                raise errors.method_not_allowed()
            if (fault := self._faults.take("graph")) is not None:
                raise _fault_error(fault)
            return await self._attachments.upload(replace(call, params={"session": call.path[5]}))
        except GraphError as error:
            return self._refused(call, error)

    async def _answer(self, call: Call) -> Answer:
        """Answer one call, refusals included; raises `_Dropped`."""
        try:
            caller = self._access.caller(call.headers.get("authorization", ""))
            route, params = routes.find(self._routes, call.method, call.path)
            call = replace(call, params=params)
            if route.of_mailbox:
                return await self._of_mailbox(call, caller, route)
            if route.permissions and not self._access.holds(caller, route.permissions):
                raise errors.request_denied()
            with self._faulty(call, caller, "", route):
                return await route.handler(call, caller, "")
        except GraphError as error:
            return self._refused(call, error)

    async def _of_mailbox(self, call: Call, caller: Caller, route: routes.Route) -> Answer:
        mailbox = self._access.mailbox(caller, call.params["user"])
        if not self._access.permits(caller, mailbox, route.permissions):
            raise errors.access_denied()
        now, limits = self._clock.now(), self._directory.limits_of(mailbox)
        with self.throttle.request(caller.client_id, mailbox, now, limits):
            call = replace(call, read=self._counted(call, caller, mailbox))
            with self._faulty(call, caller, mailbox, route):
                return await route.handler(call, caller, mailbox)

    def _counted(self, call: Call, caller: Caller, mailbox: str) -> Read:
        async def read(limit: int) -> bytes:
            octets = await call.read(limit)
            limits = self._directory.limits_of(mailbox)
            self.throttle.upload(caller.client_id, mailbox, len(octets), self._clock.now(), limits)
            return octets

        return read

    @contextlib.contextmanager
    def _faulty(self, call: Call, caller: Caller, mailbox: str, route: routes.Route) -> Iterator[None]:
        """Let a fault on order strike: before the handler, or after it when the message is to be kept."""
        fault = self._faults.take("graph", mailbox, application=caller.client_id)
        if fault is None and route.sends:
            fault = self._faults.take("graph-send", mailbox, application=caller.client_id)
        if fault is None and call.method == "GET":
            fault = self._faults.take("graph-read", mailbox, application=caller.client_id)
        if fault is not None and not (fault.keep and route.sends):
            raise _fault_error(fault)
        yield
        if fault is not None:
            raise _fault_error(fault)

    def _refused(self, call: Call, error: GraphError) -> Answer:
        self._statistics.refused[error.reason] += 1
        self._statistics.refused_codes[f"{error.status} {error.code}"] += 1
        client_request_id = call.headers.get("client-request-id", call.request_id)[:100]
        body = error.body(self._clock.now(), call.request_id, client_request_id)
        return Answer(status=error.status, json=body, headers=error.headers)


def _fault_error(fault: Fault) -> Exception:
    reply = fault.as_reply()
    if reply is None:
        return _Dropped()
    # A gateway that gave up has no word of the service behind it to pass on.
    code = _FAULT_CODES.get(reply.code, "UnknownError")
    headers = {} if fault.retry_after_seconds is None else {"Retry-After": str(fault.retry_after_seconds)}
    return GraphError(reply.code, code, reply.lines[0], reason="fault", headers=headers)


def _call(request: web.Request) -> Call:
    version, _, rest = request.rel_url.raw_path.lstrip("/").partition("/")
    if version == "api":
        version, rest = "api/v2.0", rest.partition("/")[2]
    tls = request.get_extra_info("ssl_object")
    return Call(
        method=request.method,
        path=segments(rest),
        query={name.lower(): value for name, value in list(request.query.items())[:_MOST_OPTIONS]},
        headers={name.lower(): value for name, value in request.headers.items()},
        read=_reader(request),
        root=f"{request.scheme}://{request.host}/{version}",
        request_id=str(uuid.uuid4()),
        client=request.remote or "",
        tls_version=tls.version() if tls is not None else "",
    )


def _reader(request: web.Request) -> Read:
    async def read(limit: int) -> bytes:
        if (request.content_length or 0) > limit:
            raise errors.request_too_large()
        pieces = bytearray()
        try:
            async for piece in request.content.iter_any():
                pieces += piece
                if len(pieces) > limit:
                    raise errors.request_too_large()
        except (HttpProcessingError, ClientError, ConnectionError, web.RequestPayloadError) as error:
            raise GraphError(400, "BadRequest", "The request body could not be read.") from error
        return bytes(pieces)

    return read


def _response(call: Call, answer: Answer) -> web.StreamResponse:
    headers = {"request-id": call.request_id, "Cache-Control": "private", **answer.headers}
    if given := call.headers.get("client-request-id", ""):
        headers["client-request-id"] = given[:100]
    if answer.file is not None:
        return web.FileResponse(
            answer.file, status=answer.status, headers=headers | {"Content-Type": answer.content_type}
        )
    if answer.json is not None:
        body: bytes | None = msgspec.json.encode(answer.json)
        content_type = "application/json"
    else:
        body, content_type = answer.octets, answer.content_type
    if body is None:
        return web.Response(status=answer.status, headers=headers)
    headers["Content-Type"] = content_type + ("; charset=utf-8" if content_type == "application/json" else "")
    return web.Response(status=answer.status, body=body, headers=headers)
