"""Several requests in one.

Purpose: the handler of `/$batch`. Source: "Combine multiple HTTP requests using JSON batching": up to 20 requests,
each judged and throttled for itself; one that another depends on and that failed fails it with 424.
Shape: `answer_batch` makes calls of the entries and has them answered one after another, as the Outlook service does
for one mailbox. Failures: `GraphError` for a batch as a whole. Leaves to others: the requests (`service`).
"""

import base64
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw, Struct

from m365emu.graph import errors
from m365emu.graph.call import Answer, Call, segments

Answerer = Callable[[Call], Awaitable[Answer]]
"""Answers one call, refusals included; it raises only for a connection that is to be dropped."""

_MOST = 20


class Entry(Struct, frozen=True, kw_only=True, rename="camel"):
    """One request of a batch."""

    id: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: Raw = Raw(b"")
    depends_on: list[str] = []


class Batch(Struct, frozen=True, kw_only=True):
    """The body of the request."""

    requests: list[Entry]


async def answer_batch(call: Call, limit: int, answer: Answerer) -> Answer:
    """Answer the requests in the order in which they stand; raises `GraphError` for what is no batch."""
    try:
        batch = msgspec.json.decode(await call.read(limit), type=Batch)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.GraphError(400, "BadRequest", "Invalid batch payload format.") from error
    if len(batch.requests) > _MOST:
        raise errors.GraphError(400, "BadRequest", f"The number of requests in a batch must not exceed {_MOST}.")
    failed: dict[str, bool] = {}
    responses: list[dict[str, object]] = []
    for entry in batch.requests:
        if entry.id in failed:
            raise errors.GraphError(400, "BadRequest", "Every request in a batch needs an id of its own.")
        if any(failed.get(other, True) for other in entry.depends_on):
            response = _response(
                entry, _error(424, "FailedDependency", "A request that this one depends on failed."), limit
            )
        else:
            response = _response(entry, await answer(_call(call, entry)), limit)
        failed[entry.id] = int(str(response["status"])) >= 400
        responses.append(response)
    return Answer(json={"responses": responses})


def _call(outer: Call, entry: Entry) -> Call:
    path, _, query = entry.url.partition("?")
    given = {name.lower(): value for name, value in entry.headers.items()}
    octets = _octets(entry)

    async def read(limit: int) -> bytes:
        if len(octets) > limit:
            raise errors.request_too_large()
        return octets

    return replace(
        outer,
        method=entry.method.upper(),
        path=segments(path),
        query={name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)[:100]},
        headers={"authorization": outer.headers.get("authorization", ""), **given},
        read=read,
        request_id=str(uuid.uuid4()),
        params={},
    )


def _octets(entry: Entry) -> bytes:
    """Return the body of an entry: JSON as it stands, text out of its quotes."""
    octets = bytes(entry.body)
    if not octets.startswith(b'"'):
        return octets
    try:
        return msgspec.json.decode(octets, type=str).encode()
    except msgspec.DecodeError:
        return octets


def _response(entry: Entry, answer: Answer, limit: int) -> dict[str, object]:
    if answer.file is not None and answer.file.stat().st_size > limit:
        answer = _error(413, "RequestEntityTooLarge", "The response is too large for a batch.")
    headers = dict(answer.headers)
    if answer.json is not None:
        headers["Content-Type"] = "application/json"
        return {"id": entry.id, "status": answer.status, "headers": headers, "body": answer.json}
    octets = answer.file.read_bytes() if answer.file is not None else answer.octets
    if octets is None:
        return {"id": entry.id, "status": answer.status, "headers": headers}
    headers["Content-Type"] = answer.content_type
    return {"id": entry.id, "status": answer.status, "headers": headers, "body": base64.b64encode(octets).decode()}


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(status=status, json={"error": {"code": code, "message": message}})


_FAILED_DEPENDENCY = _error(424, "FailedDependency", "A request that this one depends on failed.")
