"""The frame around every page: head, navigation, style, and the rules for what may run.

Purpose: one look, and one strict policy: a page may use its own style and its own small script, named by a nonce, and
nothing else. Shape: `page` puts a body into the frame; `button` makes a form that gives one order.
Failures: none. Leaves to others: the bodies. Every value from outside is escaped by who puts it in.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib import resources

import msgspec
from aiohttp import web

_STYLE = (resources.files("m365emu.web") / "style.css").read_text(encoding="utf-8")
_SCRIPT = (resources.files("m365emu.web") / "live.js").read_text(encoding="utf-8")
_PLACES = (("/", "Mail"), ("/journal", "Sessions"), ("/state", "State"), ("/fidelity", "Fidelity"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a page needs besides its body.

    Attributes:
        place: the entry of the navigation that the page belongs to.
        aside: a column at the left, empty for none.
        live: the page follows what happens.
    """

    title: str
    place: str
    now: datetime
    aside: str = ""
    live: bool = True


def page(frame: Frame, body: str, status: int = 200) -> web.Response:
    """Return a whole page; `body` and `frame.aside` are HTML."""
    nonce = secrets.token_urlsafe(16)
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == frame.place else ""}>{name}</a>' for path, name in _PLACES
    )
    script = f'<script nonce="{nonce}">{_SCRIPT}</script>' if frame.live else ""
    content = f'<main data-live="main"><h1>{escape(frame.title)}</h1>{body}</main>'
    if frame.aside:
        content = f'<div class="columns"><aside data-live="aside">{frame.aside}</aside>{content}</div>'
    else:
        content = content.replace("<main ", '<main class="alone" ', 1)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(frame.title)} - m365emu</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style nonce="{nonce}">{_STYLE}</style></head><body><header><strong>m365emu</strong>{links}'
        f'<span class="clock" data-live="clock">{moment(frame.now)}</span></header>{content}{script}</body></html>'
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=_headers(nonce))


def _headers(nonce: str) -> dict[str, str]:
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def moment(when: datetime) -> str:
    """Spell a moment."""
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def facts(rows: dict[str, str]) -> str:
    """Return a table of names and values; both are escaped."""
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f'<table class="facts">{lines}</table>'


def button(label: str, order: dict[str, object], back: str, key: str) -> str:
    """Return a form with one button that gives an order; `key` proves that the form came from here."""
    fields = {"order": msgspec.json.encode(order).decode(), "back": back, "key": key}
    hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())
    return f'<form method="post" action="/orders">{hidden}<button>{escape(label)}</button></form> '
