"""Requests to Microsoft Graph.

Source: "Microsoft Graph error responses", "Best practices for working with Microsoft Graph" (request-id,
client-request-id, Retry-After), RFC 6750 2.1 (bearer tokens), RFC 9110 10.2.3 (Retry-After).
Shape: `GraphClient.ask` makes one request as the identity and gives an `Answer`, or says why there is none. A token
that is refused is asked for anew once. One HTTP session for each client, opened in the running loop when it is first
needed.
Failures: `NoAnswer` and `NoToken` as values. `NoAnswer.was_sent` is True as soon as the last octet of a request may
have been on its way: who sends mail must then take it for sent.
Leaves to others: what an answer means (``deliver.graph.errors``), what is asked (``carrier``, ``verify``, ``returns``).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import aiohttp

from posthouse import __version__
from posthouse.decide.identities import Entra
from posthouse.decide.ways import Way
from posthouse.deliver.patience import Patience
from posthouse.deliver.tokens import TokenProblem, TokenSource
from posthouse.microsoft.clouds import CLOUDS

MAX_ANSWER_OCTETS = 2 * 1024 * 1024
MAX_RETRY_AFTER = timedelta(hours=24)
_PIECE = 64 * 1024
_VERSION = "/v1.0"

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""Octets, or what gives them in pieces, from the start each time it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Graph answered.

    Attributes:
        status: Of HTTP.
        body: At most `MAX_ANSWER_OCTETS`.
        request_id: Graph's name for the request, which Microsoft's support asks for.
        retry_after: What it asked for, at most a day; else None.
    """

    status: int
    body: bytes
    request_id: str = ""
    location: str = ""
    retry_after: timedelta | None = None

    @property
    def value(self) -> object:
        """The body as JSON, with nothing in its texts that could not be stored; None for what is none."""
        try:
            value: object = json.loads(self.body)
            if b"\\ud" in self.body.lower():
                value = json.loads(_storable(json.dumps(value, ensure_ascii=False)))
        except (ValueError, RecursionError):
            return None
        return value


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection failed or time ran out.

    Attributes:
        cause: What happened, in words.
        was_sent: The whole request may have arrived.
    """

    cause: str
    was_sent: bool


@dataclass(frozen=True, slots=True)
class NoToken:
    """The authority gave no token."""

    problem: TokenProblem


Answered = Answer | NoAnswer | NoToken


@dataclass(slots=True)
class _Progress:
    """How far a request has come."""

    sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        method: Of HTTP.
        path: Below the version, already quoted; or a whole URL that needs no token (an upload session).
        size_octets: Of a body that is given in pieces.
    """

    method: str
    path: str
    body: Body | None = None
    size_octets: int = 0
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class GraphClient:
    """Asks Graph as one identity.

    Attributes:
        base: Its URL with the version.
        host: Its name, for the trace.
    """

    def __init__(self, way: Way, tokens: TokenSource, patience: Patience) -> None:
        """Prepare; nothing is opened yet.

        Args:
            way: Whose identity and cloud are used; not one with a password.
        """
        self._identity, self._tokens, self._patience = way.identity, tokens, patience
        self.base = graph_base(way)
        self.host = urlsplit(self.base).netloc
        self._connect_seconds = way.connector.connect_timeout.total_seconds()
        own = getattr(way.identity, "ca", None)
        self._authorities: tuple[Path, ...] = tuple(p for p in (own, way.connector.tls_ca) if p is not None)
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._in_flight = 0
        self._is_closing = False
        self._closing: set[asyncio.Task[None]] = set()

    async def ask(self, request: Request) -> Answered:
        """Make one request; with another token once more where the first was refused."""
        identity = self._identity
        if not isinstance(identity, Entra):
            return NoToken(TokenProblem("the connector has no identity that gets tokens", needs_operator=True))
        answered: Answered = NoAnswer("", False)
        for _ in range(2):
            token = await self._tokens.token(identity, "graph")
            if isinstance(token, TokenProblem):
                return NoToken(token)
            answered = await self._once(request, {"Authorization": f"Bearer {token.reveal()}"})
            if not isinstance(answered, Answer) or answered.status != 401:
                break
            self._tokens.forget(identity, "graph")
        return answered

    async def ask_without_token(self, request: Request) -> Answered:
        """Make one request to a URL that is itself the secret."""
        return await self._once(request, {})

    async def close(self) -> None:
        """Close the session as soon as no request is under way; a later request opens another."""
        self._is_closing = True
        await self._close_if_idle()

    def close_soon(self) -> None:
        """The same from where nothing can be awaited."""
        try:
            task = asyncio.get_running_loop().create_task(self.close())
        except RuntimeError:
            return
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_if_idle(self) -> None:
        if self._is_closing and not self._in_flight and self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _once(self, request: Request, secret: Mapping[str, str]) -> Answered:
        url = request.path if request.path.startswith("https://") else self.base + request.path
        if not url.startswith("https://"):
            return NoAnswer(f"{self.base} is not an https URL", False)
        progress = _Progress()
        self._in_flight += 1
        try:
            session = await self._opened()
            async with (
                asyncio.timeout(self._patience.attempt + self._patience.final),
                session.request(
                    request.method,
                    url,
                    data=_body(request, progress),
                    headers=_headers(request, secret),
                    allow_redirects=False,
                    trace_request_ctx=progress,
                ) as response,
            ):
                return await _read(response)
        except TimeoutError:
            return NoAnswer("no answer in time", progress.sent)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return NoAnswer(_words(error), progress.sent)
        finally:
            self._in_flight -= 1
            await self._close_if_idle()

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                context = await asyncio.to_thread(_context, self._authorities)
                self._session = self._new_session(context)
            return self._session

    def _new_session(self, context: ssl.SSLContext) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=self._connect_seconds * 2,
            sock_connect=self._connect_seconds,
            sock_read=self._patience.final,
        )
        traces = aiohttp.TraceConfig()
        traces.on_request_headers_sent.append(_headers_sent)
        # Budgets bound what runs at a time. A connection that rested may be dead, and a request lost on it counts as
        # sent; so none rests for long.
        connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=self._patience.idle)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            trace_configs=[traces],
        )


def graph_base(way: Way) -> str:
    """URL of Graph with its version: the identity's own, or the cloud's."""
    identity = way.identity
    cloud = CLOUDS[identity.cloud if identity is not None else "worldwide"]
    base = (getattr(identity, "graph", None) or cloud.graph).rstrip("/")
    return base if base.endswith(_VERSION) else base + _VERSION


def user_path(mailbox: str) -> str:
    """Path of a mailbox."""
    return f"/users/{quote(mailbox, safe='@')}"


def read_retry_after(value: str, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110 10.2.3), at most a day; None for what is neither."""
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(timedelta(seconds=int(text)), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta()), MAX_RETRY_AFTER)


def _body(request: Request, progress: _Progress) -> AsyncIterator[bytes] | None:
    if request.body is None:
        return None
    return _counted(request.body, progress)


async def _counted(body: Body, progress: _Progress) -> AsyncIterator[bytes]:
    """Give the body away, and note the moment from which all of it may have arrived."""
    if isinstance(body, bytes):
        for start in range(0, len(body), _PIECE):
            progress.sent = start + _PIECE >= len(body)
            yield body[start : start + _PIECE]
        progress.sent = True
        return
    before = b""
    async for piece in body():
        if before:
            yield before
        before = piece
    progress.sent = True
    if before:
        yield before


def _headers(request: Request, secret: Mapping[str, str]) -> dict[str, str]:
    headers = {"User-Agent": f"posthouse/{__version__}", "Accept": "application/json", **request.headers, **secret}
    if request.body is not None:
        size = len(request.body) if isinstance(request.body, bytes) else request.size_octets
        headers |= {"Content-Type": request.content_type, "Content-Length": str(size)}
    return headers


async def _headers_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
) -> None:
    progress = context.trace_request_ctx
    if isinstance(progress, _Progress):
        # Without a body the header is all there is.
        progress.sent = progress.sent or sent.headers.get("Content-Length", "0") == "0"


async def _read(response: aiohttp.ClientResponse) -> Answer:
    body = b""
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > MAX_ANSWER_OCTETS:
            break
    headers = response.headers
    now = datetime.now(UTC)
    return Answer(
        status=response.status,
        body=body[:MAX_ANSWER_OCTETS],
        request_id=_storable(headers.get("request-id", ""))[:100],
        location=_storable(headers.get("Location", ""))[:2000],
        retry_after=read_retry_after(headers["Retry-After"], now) if "Retry-After" in headers else None,
    )


def _storable(text: str) -> str:
    """Without halves of characters, which no UTF-8 can express."""
    return text.encode(errors="replace").decode()


def _context(authorities: tuple[Path, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for path in authorities:
        context.load_verify_locations(path)
    return context


def _words(error: Exception) -> str:
    """What happened, without the URL: it may hold the key of an upload session."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or error.os_error}"[:300]
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    if isinstance(error, OSError):
        return (error.strerror or str(error))[:300]
    return type(error).__name__
