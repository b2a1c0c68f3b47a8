"""``posthouse identity login``: a person signs in, by a code on any device or in a browser that comes back here.

Source: RFC 8628 3.3 (what to show), 3.5 (polling); RFC 8252 7.3 (loopback redirect).
Shape: the node, or the store where none runs, does the talking with Entra; this shows the code, opens the browser,
listens on a port of this machine and asks again until the person is done.
Failures: `CommandFailed` with the authority's words; nothing is kept then.
"""

from __future__ import annotations

import sys
import time
import webbrowser
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import click

from posthouse.operate.cli.failure import TRY_AGAIN, CommandFailed, ask
from posthouse.operate.cli.options import desk_of, directory_option, json_option
from posthouse.operate.cli.output import print_json
from posthouse.operate.identity_shapes import SignInBegun, SignInLook, SignInLooked, SignInRequest, TokenPurpose
from posthouse.operate.operations import IDENTITY_LIST, IDENTITY_LOOK, IDENTITY_SIGN_IN
from posthouse.operate.shapes import Nothing

if TYPE_CHECKING:
    from posthouse.operate.desk import Desk

_MAX_FIELDS = 20


@click.command(epilog="Example: posthouse identity login scanner")
@click.argument("name")
@click.option("--for", "purpose", type=click.Choice(["smtp", "graph"]), help="What to ask consent for.")
@click.option("--paste", is_flag=True, help="The browser runs elsewhere: paste the address that it ends on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port for the browser to come back to.")
@json_option
@directory_option
@click.pass_context
def login(
    ctx: click.Context,
    /,
    directory: Path,
    as_json: bool,
    name: str,
    purpose: TokenPurpose | None,
    paste: bool,
    port: int,
) -> None:
    """Sign a person in, once; the node keeps the sign-in alive."""
    desk = desk_of(ctx, directory)
    kinds = {view.name: view.kind for view in ask(desk, IDENTITY_LIST, Nothing()).identities}
    if kinds.get(name) == "authorization_code":
        done = _by_browser(desk, name, purpose, port, paste=paste)
    else:
        done = _by_code(desk, name, purpose)
    if as_json:
        print_json(done)
        return
    click.echo(f"{done.user} is signed in for {name}.", err=True)
    if done.resumed:
        click.echo(f"Sending again: {', '.join(done.resumed)}.", err=True)


def _by_code(desk: Desk, name: str, purpose: TokenPurpose | None) -> SignInLooked:
    begun = ask(desk, IDENTITY_SIGN_IN, SignInRequest(name=name, purpose=purpose))
    click.echo(f"{begun.user} opens {begun.url} on any device and types the code", err=True)
    click.echo(click.style(f"  {begun.user_code}", bold=True), err=True)
    interval = begun.interval
    while datetime.now(UTC) < begun.expires_at:
        _wait(interval, begun.expires_at)
        looked = ask(desk, IDENTITY_LOOK, SignInLook(name=name, state=begun.state))
        if looked.done:
            _end_of_line()
            return looked
        interval = looked.interval
    _end_of_line()
    raise CommandFailed("nobody typed the code in time; begin again", code=TRY_AGAIN)


def _by_browser(desk: Desk, name: str, purpose: TokenPurpose | None, port: int, *, paste: bool) -> SignInLooked:
    with _Listener(port) as listener:
        redirect = f"http://localhost:{listener.server_port}"
        begun = ask(desk, IDENTITY_SIGN_IN, SignInRequest(name=name, purpose=purpose, redirect=redirect))
        click.echo(f"{begun.user} signs in at\n  {begun.url}", err=True)
        if paste:
            click.echo("The browser ends on an address that it cannot show. Paste it here:", err=True)
            response = parameters(sys.stdin.readline())
        else:
            if sys.stdout.isatty():
                webbrowser.open(begun.url)
            response = listener.wait(begun)
    return ask(desk, IDENTITY_LOOK, SignInLook(name=name, state=begun.state, response=response))


def parameters(address: str) -> dict[str, str]:
    """The parameters of an address that a browser came back to."""
    return dict(parse_qsl(urlsplit(address.strip()).query, max_num_fields=_MAX_FIELDS))


class _Listener(HTTPServer):
    """Waits on this machine for the browser to come back."""

    def __init__(self, port: int) -> None:
        try:
            super().__init__(("127.0.0.1", port), _ComesBack)
        except OSError as error:
            raise CommandFailed(f"port {port} cannot be used: {(error.strerror or 'unknown').lower()}") from error
        self.timeout = 1.0
        self.response: dict[str, str] = {}

    def wait(self, begun: SignInBegun) -> dict[str, str]:
        """The parameters, once they have come."""
        while not self.response:
            if datetime.now(UTC) > begun.expires_at:
                raise CommandFailed("nobody signed in in time; begin again", code=TRY_AGAIN)
            self.handle_request()
        return self.response


class _ComesBack(BaseHTTPRequestHandler):
    server: _Listener
    timeout = 5

    def do_GET(self) -> None:
        """Take the parameters; other requests of a browser are none of ours."""
        found = parameters(self.path)
        is_answer = "state" in found and ("code" in found or "error" in found)
        if is_answer:
            self.server.response = found
        text = b"You may close this window and go back to the terminal." if is_answer else b"Nothing here."
        self.send_response(200 if is_answer else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the address has the code."""


def _wait(seconds: float, until: datetime) -> None:
    left = (until - datetime.now(UTC)).total_seconds()
    if sys.stderr.isatty():
        click.echo(f"\rWaiting; the code ends in {max(0, int(left // 60))} min. ", nl=False, err=True)
    time.sleep(max(0.0, min(seconds, left)))


def _end_of_line() -> None:
    if sys.stderr.isatty():
        click.echo(err=True)
