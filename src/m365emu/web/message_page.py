"""One message as a page: facts, text, HTML in a cage, attachments, header, octets, session.

Purpose: see what a program sent and how. Shape: functions that make HTML of values. Text is escaped; the sender's HTML
is served by itself, sandboxed and without leave to load anything, and shown in a frame.
Failures: none. Leaves to others: taking the message apart (`parsed`).
"""

from html import escape
from urllib.parse import quote

from aiohttp import web

from m365emu.mailbox import Record
from m365emu.web.layout import facts, moment
from m365emu.web.parsed import Parsed, Part, decoded

_MOST_SHOWN = 65_536

CAGE = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What a message's own HTML may do: show itself with its own style and images, and nothing else."""


def message_body(record: Record, parsed: Parsed, octets: bytes, dialogue: list[str]) -> str:
    """Return the page's body."""
    path = quote(record.id)
    sections = [
        facts(_facts(record)),
        f'<p><a href="/api/messages/{path}/raw">Download the message</a></p>',
        f"<h2>Text</h2><pre>{escape(parsed.text)}</pre>" if parsed.text.strip() else "",
        f'<h2>HTML</h2><iframe sandbox title="The message as HTML" src="/messages/{path}/html"></iframe>'
        if parsed.html
        else "",
        _attachments(path, [part for part in parsed.parts if part.attachment]),
        _details("Header", _header(parsed)),
        _details("Octets as received", _raw(record, octets)),
        _details("Session", f"<pre>{escape(chr(10).join(dialogue))}</pre>", is_open=True),
    ]
    return "".join(sections)


def caged(parsed: Parsed) -> web.Response:
    """Return the message's HTML, unable to do anything."""
    return web.Response(text=parsed.html, content_type="text/html", charset="utf-8", headers=CAGE)


def _facts(record: Record) -> dict[str, str]:
    logged_on = f"{record.mailbox} by {record.authentication}" if record.mailbox else record.authentication
    return {
        "Received": moment(record.received),
        "From": decoded(record.author),
        "Envelope from": record.envelope_from or "<>",
        "Envelope to": ", ".join(record.envelope_to),
        "Lies in": ", ".join(record.folders),
        "Message-ID": record.message_id,
        "Size": f"{record.size} octets",
        "Came": logged_on + (f" over {record.tls_version}" if record.tls_version else ""),
        "Client": record.client_ip,
    }


def _attachments(path: str, parts: list[Part]) -> str:
    if not parts:
        return ""
    rows = "".join(
        f'<tr><td><a href="/api/messages/{path}/parts/{part.number}">{escape(part.filename or "(no name)")}</a></td>'
        f'<td>{escape(part.content_type)}</td><td class="number">{part.size}</td></tr>'
        for part in parts
    )
    return f"<h2>Attachments</h2><table><tr><th>Name</th><th>Type</th><th>Octets</th></tr>{rows}</table>"


def _header(parsed: Parsed) -> str:
    rows = "".join(f"<tr><th>{escape(name[:100])}</th><td>{escape(value)}</td></tr>" for name, value in parsed.headers)
    return f'<table class="facts">{rows}</table>'


def _raw(record: Record, octets: bytes) -> str:
    cut = f"<p>The first {_MOST_SHOWN} octets are shown.</p>" if record.size > _MOST_SHOWN else ""
    return f"<pre>{escape(octets[:_MOST_SHOWN].decode('utf-8', 'replace'))}</pre>{cut}"


def _details(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{body}</details>"
