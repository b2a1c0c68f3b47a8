"""Which request goes where, and what permission it needs.

Purpose: one table of everything that is answered. Source: the "Permissions" section of each operation's page.
Shape: `Route` is a row; `table` makes the rows from the handlers; `find` matches a path without regard to case, as
Graph does, with `/me` standing for `/users/me` and a folder's path for the messages in it.
Failures: `GraphError` for a path or a method that nobody answers. Leaves to others: judging (`service`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from m365emu.graph import errors
from m365emu.graph.access import ME, Caller
from m365emu.graph.attachments import Attachments
from m365emu.graph.call import Answer, Call
from m365emu.graph.messages import FULL_READ, Messages
from m365emu.graph.organization import Organization
from m365emu.graph.rotation import Rotation
from m365emu.graph.traces import Traces

Handler = Callable[[Call, Caller, str], Awaitable[Answer]]
"""Answers a call of a caller for a mailbox; the mailbox is empty where none is meant."""

_SEND = ("Mail.Send",)
_WRITE = ("Mail.ReadWrite",)
_READ = (*FULL_READ, "Mail.ReadBasic", "Mail.ReadBasic.All")
_TRACE = ("ExchangeMessageTrace.Read.All",)
_ORGANIZATION = ("Organization.Read.All", "Directory.Read.All", "User.Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation.

    Attributes:
        pattern: segments in lower case; those in braces stand for anything and name a parameter.
        permissions: one of them is needed; none means that the handler judges.
        sends: a message leaves, so faults ordered for sending strike.
        of_mailbox: the path names a mailbox, which is found and counted before the handler runs.
    """

    method: str
    pattern: tuple[str, ...]
    handler: Handler
    permissions: tuple[str, ...] = ()
    sends: bool = False
    of_mailbox: bool = True


def table(
    messages: Messages, attachments: Attachments, traces: Traces, organization: Organization, rotation: Rotation
) -> tuple[Route, ...]:
    """Return all routes."""
    return (
        *_mail(messages),
        *_attachments(attachments),
        _of_tenant("GET", "admin/exchange/tracing/messagetraces", traces.listing, _TRACE),
        _of_tenant(
            "GET",
            "admin/exchange/tracing/messagetraces/{trace}/getdetailsbyrecipient/{argument}",
            traces.details,
            _TRACE,
        ),
        _of_tenant("GET", "users/{user}", organization.user),
        _of_tenant("GET", "organization", organization.organization, _ORGANIZATION),
        _of_tenant("GET", "applications/{application}", organization.application),
        _of_tenant("POST", "applications/{application}/addkey", rotation.add_key),
        _of_tenant("POST", "applications/{application}/removekey", rotation.remove_key),
    )


def find(routes: tuple[Route, ...], method: str, path: tuple[str, ...]) -> tuple[Route, dict[str, str]]:
    """Return the route of a path and what its placeholders stand for; raises `GraphError`."""
    path, params = _normal(path)
    small = tuple(segment.lower() for segment in path)
    known = False
    for route in routes:
        if len(route.pattern) != len(small):
            continue
        pairs = list(zip(route.pattern, small, path, strict=True))
        if all(wanted.startswith("{") or wanted == given for wanted, given, _ in pairs):
            known = True
            if route.method == method:
                return route, params | {wanted[1:-1]: raw for wanted, _, raw in pairs if wanted.startswith("{")}
    raise errors.method_not_allowed() if known else errors.no_such_segment(path[-1] if path else "")


def _normal(path: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    params: dict[str, str] = {}
    if path and path[0].lower() == ME:
        path = ("users", ME, *path[1:])
    if len(path) > 4 and path[2].lower() == "mailfolders" and path[4].lower() == "messages":
        params["folder"] = path[3]
        path = (*path[:2], *path[4:])
    return path, params


def _mail(messages: Messages) -> tuple[Route, ...]:
    user, one = "users/{user}", "users/{user}/messages/{message}"
    return (
        _route("POST", f"{user}/sendmail", messages.send_mail, _SEND, sends=True),
        _route("POST", f"{user}/microsoft.graph.sendmail", messages.send_mail, _SEND, sends=True),
        _route("POST", f"{user}/messages", messages.create, _WRITE),
        _route("GET", f"{user}/messages", messages.listing, _READ),
        _route("GET", one, messages.get, _READ),
        _route("PATCH", one, messages.change, _WRITE),
        _route("DELETE", one, messages.remove, _WRITE),
        _route("POST", f"{one}/send", messages.send_draft, _SEND, sends=True),
        _route("GET", f"{one}/$value", messages.mime, FULL_READ),
        _route("GET", f"{user}/mailfolders", messages.folders, _READ),
        _route("GET", f"{user}/mailfolders/{{folder}}", messages.folder, _READ),
    )


def _attachments(attachments: Attachments) -> tuple[Route, ...]:
    several = "users/{user}/messages/{message}/attachments"
    return (
        _route("POST", f"{several}/createuploadsession", attachments.create_session, _WRITE),
        _route("GET", several, attachments.listing, FULL_READ),
        _route("POST", several, attachments.add, _WRITE),
        _route("GET", f"{several}/{{attachment}}", attachments.get, FULL_READ),
        _route("GET", f"{several}/{{attachment}}/$value", attachments.value, FULL_READ),
        _route("DELETE", f"{several}/{{attachment}}", attachments.remove, _WRITE),
    )


def _route(method: str, pattern: str, handler: Handler, permissions: tuple[str, ...], *, sends: bool = False) -> Route:
    return Route(
        method=method, pattern=tuple(pattern.split("/")), handler=handler, permissions=permissions, sends=sends
    )


def _of_tenant(method: str, pattern: str, handler: Handler, permissions: tuple[str, ...] = ()) -> Route:
    return Route(
        method=method,
        pattern=tuple(pattern.split("/")),
        handler=handler,
        permissions=permissions,
        of_mailbox=False,
    )
