"""The inbox for people: pages that need no internet, and no script either.

Purpose: see mailboxes, messages, sessions and refusals in a browser. Shape: routes outside of `/api/` that make HTML of
values; a small script keeps lists in step. Every value is escaped: a hostile message stays text.
Failures: 404 for what is not there. Leaves to others: JSON (`api`), the state (`state_page`), the frame (`layout`).
"""

from html import escape
from urllib.parse import quote, urlencode

from aiohttp import web

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.journal import Entry, Journal
from m365emu.mailbox import EXTERNAL, UNDELIVERABLE, MessageStore, Record, sent_items
from m365emu.web.answers import problem
from m365emu.web.api import content_of, folder_named, parsed_message
from m365emu.web.layout import Frame, facts, moment, page
from m365emu.web.message_page import caged, message_body
from m365emu.web.parsed import decoded
from m365emu.web.search import matching, read_search

_MOST_ROWS = 200


class InboxPages:
    """The routes for mail and for the journal."""

    def __init__(self, directory: Directory, store: MessageStore, journal: Journal, clock: Clock) -> None:
        self._directory = directory
        self._store = store
        self._journal = journal
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the pages to the web application."""
        app.router.add_get("/", self._index)
        app.router.add_get("/mailboxes/{address}", self._folder)
        app.router.add_get("/messages/{id}", self._message)
        app.router.add_get("/messages/{id}/html", self._html)
        app.router.add_get("/journal", self._sessions)
        app.router.add_get("/journal/{number}", self._session)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._list_page(request, "All messages", None)

    async def _folder(self, request: web.Request) -> web.StreamResponse:
        which = request.query.get("folder", "")
        folder = folder_named(self._directory, request.match_info["address"], which)
        title = folder.removesuffix("/sent") + (": Sent Items" if which == "sent" else "")
        return self._list_page(request, title, folder)

    def _list_page(self, request: web.Request, title: str, folder: str | None) -> web.Response:
        try:
            records = matching(read_search(request.query), self._store.messages(folder), self._store)
        except ValueError as error:
            raise problem(web.HTTPBadRequest, str(error)) from error
        body = _search_form(request) + _table(records)
        frame = Frame(title=title, place="/", now=self._clock.now(), aside=self._aside(folder))
        return page(frame, body)

    def _aside(self, present: str | None) -> str:
        count = self._store.count()
        lines = [_folder_link("/", "All", len(self._store.messages()), present is None)]
        for tenant in self._directory.tenants:
            lines.append(f"<h2>{escape(tenant.name)}</h2>")
            for address in tenant.mailboxes:
                path, sent = f"/mailboxes/{quote(address)}", sent_items(address)
                lines.append(_folder_link(path, address, count[address], present == address))
                if count[sent] or present == sent:
                    link = _folder_link(f"{path}?folder=sent", "Sent Items", count[sent], present == sent)
                    lines.append(link.replace("<a ", '<a class="under" ', 1))
        lines.append("<h2>Elsewhere</h2>")
        lines += [_folder_link(f"/mailboxes/{f}", f, count[f], present == f) for f in (EXTERNAL, UNDELIVERABLE)]
        return "".join(lines)

    async def _message(self, request: web.Request) -> web.StreamResponse:
        record = self._wanted(request)
        parsed = await parsed_message(self._store, record)
        body = message_body(record, parsed, content_of(self._store, record), self._store.dialogue(record.id))
        title = record.subject or "(no subject)"
        return page(Frame(title=title, place="/", now=self._clock.now(), aside=self._aside(""), live=False), body)

    async def _html(self, request: web.Request) -> web.StreamResponse:
        return caged(await parsed_message(self._store, self._wanted(request)))

    async def _sessions(self, request: web.Request) -> web.StreamResponse:
        refused_only = request.query.get("refused", "") == "1"
        entries = self._journal.entries(refused_only=refused_only, who=request.query.get("who", "")[:320])
        other = '<a href="/journal">All</a>' if refused_only else '<a href="/journal?refused=1">Only refusals</a>'
        rows = "".join(_entry_row(entry) for entry in entries[:_MOST_ROWS])
        head = "<tr><th>Ended</th><th>Door</th><th>Who</th><th>What</th><th>Outcome</th><th>Last refusal</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else "<p>Nothing yet.</p>"
        frame = Frame(title="Sessions and requests", place="/journal", now=self._clock.now())
        return page(frame, f"<p>{other}</p>{table}")

    async def _session(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["number"]
        entry = self._journal.get(int(text)) if text.isascii() and text.isdigit() else None
        if entry is None:
            raise problem(web.HTTPNotFound, "there is no such entry, or no longer")
        rows = {
            "Ended": moment(entry.at),
            "Door": entry.door,
            "Client": entry.client,
            "Who": entry.who or "(nobody)",
            "What": entry.what,
            "Outcome": entry.outcome,
            "Last refusal": entry.reason or "(none)",
        }
        body = f"{facts(rows)}<h2>What was said</h2><pre>{escape(chr(10).join(entry.lines))}</pre>"
        frame = Frame(title=f"Entry {entry.number}", place="/journal", now=self._clock.now(), live=False)
        return page(frame, body)

    def _wanted(self, request: web.Request) -> Record:
        record = self._store.get(request.match_info["id"])
        if record is None:
            raise problem(web.HTTPNotFound, "there is no such message")
        return record


def _folder_link(path: str, name: str, count: int, present: bool) -> str:
    mark = " aria-current=page" if present else ""
    return f'<a href="{path}"{mark}><span>{escape(name)}</span> <span class="count">{count or ""}</span></a>'


def _search_form(request: web.Request) -> str:
    folder = '<input type="hidden" name="folder" value="sent">' if request.query.get("folder") == "sent" else ""
    words = escape(request.query.get("q", "")[:500])
    others = {name: value for name, value in request.query.items() if name in ("from", "to", "subject", "since")}
    note = f'<span class="soft">{escape(urlencode(others))}</span>' if others else ""
    return (
        f'<form class="search" role="search">{folder}<input type="search" name="q" value="{words}" '
        f'placeholder="Subject, sender, recipient, text">{note}<button>Search</button></form>'
    )


def _table(records: list[Record]) -> str:
    if not records:
        return "<p>No messages.</p>"
    rows = "".join(_row(record) for record in records[:_MOST_ROWS])
    more = f"<p>{len(records) - _MOST_ROWS} older messages are not shown.</p>" if len(records) > _MOST_ROWS else ""
    head = "<tr><th>Received</th><th>From</th><th>To</th><th>Subject</th><th>Octets</th><th>Came by</th></tr>"
    return f"<table>{head}{rows}</table>{more}"


def _row(record: Record) -> str:
    to = ", ".join(record.envelope_to[:5]) + (" ..." if len(record.envelope_to) > 5 else "")
    subject = escape(record.subject or "(no subject)")
    sender = escape(decoded(record.author) or record.envelope_from)
    return (
        f'<tr><td class="when">{record.received:%Y-%m-%d %H:%M:%S}</td><td class="wide">{sender}</td>'
        f'<td class="wide">{escape(to)}</td><td class="wide"><a href="/messages/{quote(record.id)}">{subject}</a></td>'
        f'<td class="number">{record.size}</td><td class="short">{escape(record.authentication)}</td></tr>'
    )


def _entry_row(entry: Entry) -> str:
    outcome = f'<a href="/journal/{entry.number}">{escape(entry.outcome)}</a>'
    return (
        f'<tr><td class="when">{entry.at:%Y-%m-%d %H:%M:%S}</td><td class="short">{entry.door}</td>'
        f'<td class="wide">{escape(entry.who)}</td><td>{escape(entry.what)}</td><td class="short">{outcome}</td>'
        f'<td class="wide">{escape(entry.reason[:300])}</td></tr>'
    )
