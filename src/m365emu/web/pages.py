"""The inbox for people: three plain pages that need no script and no internet.

Purpose: see mailboxes, messages and sessions in a browser. Shape: functions that make HTML of values, and the
routes that serve it. Mail is shown as text only and every value is escaped: a hostile message stays text.
Failures: 404 for what is not there. Leaves to others: JSON (`web.api`).
"""

from html import escape
from urllib.parse import quote

from aiohttp import web

from m365emu.directory import Directory
from m365emu.mailbox import EXTERNAL, UNDELIVERABLE, MessageStore, Record
from m365emu.web.api import SAFE_HEADERS

_MOST_ROWS = 200
_MOST_SHOWN = 65_536

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .35rem .6rem }
tr + tr td { border-top: 1px solid #ddd } td { overflow-wrap: anywhere; vertical-align: top }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
nav a { margin-right: 1rem } .count { color: #666 } a { color: #0b57d0 }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd } pre { background: #262626 }
a { color: #8ab4f8 } tr + tr td { border-color: #444 } }
"""


class InboxPages:
    """The routes outside of `/api/`."""

    def __init__(self, directory: Directory, store: MessageStore) -> None:
        self._directory = directory
        self._store = store

    def add_to(self, app: web.Application) -> None:
        """Add the pages to the web application."""
        app.router.add_get("/", self._index)
        app.router.add_get("/mailboxes/{address}", self._folder)
        app.router.add_get("/messages/{id}", self._message)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._list_page("All messages", self._store.messages())

    async def _folder(self, request: web.Request) -> web.StreamResponse:
        folder = request.match_info["address"].lower()
        if folder not in self._folders():
            raise web.HTTPNotFound(text="there is no such mailbox")
        return self._list_page(folder, self._store.messages(folder))

    async def _message(self, request: web.Request) -> web.StreamResponse:
        record = self._store.get(request.match_info["id"])
        path = self._store.content_file(record.id) if record else None
        if record is None or path is None:
            raise web.HTTPNotFound(text="there is no such message")
        with path.open("rb") as file:
            content = file.read(_MOST_SHOWN)
        return _page(record.subject or "(no subject)", _message_body(record, content, self._store.dialogue(record.id)))

    def _folders(self) -> list[str]:
        return [*self._directory.tenant.mailboxes, EXTERNAL, UNDELIVERABLE]

    def _list_page(self, title: str, records: list[Record]) -> web.Response:
        count = self._store.count()
        links = "".join(
            f'<a href="/mailboxes/{quote(name)}">{escape(name)} <span class="count">{count[name]}</span></a> '
            for name in self._folders()
        )
        rows = "".join(_row(record) for record in records[:_MOST_ROWS])
        more = f"<p>{len(records) - _MOST_ROWS} older messages are not shown.</p>" if len(records) > _MOST_ROWS else ""
        empty = "" if records else "<p>No messages yet.</p>"
        head = "<tr><th>Received</th><th>From</th><th>To</th><th>Subject</th><th>Size</th><th>Login</th></tr>"
        return _page(title, f'<nav><a href="/">All</a> {links}</nav><table>{head}{rows}</table>{empty}{more}')


def _row(record: Record) -> str:
    to = ", ".join(record.envelope_to[:5]) + (" ..." if len(record.envelope_to) > 5 else "")
    subject = escape(record.subject or "(no subject)")
    return (
        f"<tr><td>{_moment(record)}</td><td>{escape(record.envelope_from or '<>')}</td><td>{escape(to)}</td>"
        f'<td><a href="/messages/{quote(record.id)}">{subject}</a></td>'
        f"<td>{record.size}</td><td>{escape(record.authentication)}</td></tr>"
    )


def _message_body(record: Record, content: bytes, dialogue: list[str]) -> str:
    facts = {
        "Received": _moment(record),
        "Envelope from": record.envelope_from or "<>",
        "Envelope to": ", ".join(record.envelope_to),
        "Delivered to": ", ".join(record.folders),
        "Message-ID": record.message_id,
        "Size": f"{record.size} octets",
        "Logged on": f"{record.mailbox} by {record.authentication} over {record.tls_version}",
        "Client": record.client_ip,
    }
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    text = escape(content.decode("utf-8", "replace"))
    cut = f"<p>The first {_MOST_SHOWN} octets are shown.</p>" if record.size > _MOST_SHOWN else ""
    lines = escape("\n".join(dialogue))
    return (
        f'<nav><a href="/">All</a> <a href="/api/messages/{quote(record.id)}/raw">Download</a></nav>'
        f"<table>{rows}</table><h2>Message</h2><pre>{text}</pre>{cut}<h2>Session</h2><pre>{lines}</pre>"
    )


def _moment(record: Record) -> str:
    return f"{record.received:%Y-%m-%d %H:%M:%S} UTC"


def _page(title: str, body: str) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - m365emu</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    return web.Response(text=text, content_type="text/html", headers=SAFE_HEADERS)
