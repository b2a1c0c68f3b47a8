"""``posthouse init``: a directory with both configuration files that relays at once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from posthouse.operate.cli.failure import CommandFailed, ask
from posthouse.operate.cli.options import directory_option, installation_of, yes_option
from posthouse.operate.flow_file import write_file
from posthouse.operate.names import FLOW_FILE, NODE_FILE
from posthouse.operate.port import Installation
from posthouse.operate.problem import ConfigurationRefused
from posthouse.operate.starter import flow_text, node_text
from posthouse.operate.upstream import FORMS, Upstream, UpstreamRefused, read_upstream


@click.command(
    epilog="Example: posthouse init --upstream smtp://mail.example.com:25 --listen 0.0.0.0:25 --allow 192.168.1.0/24"
)
@click.option("--upstream", metavar="URL", help=f"Where mail goes: {', '.join(FORMS)}.")
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="Where mail comes in; repeatable.")
@click.option("--allow", multiple=True, metavar="CIDR", help="Network that may send without a log-in; repeatable.")
@click.option("--domain", "domains", multiple=True, metavar="NAME", help="A domain of ours; repeatable.")
@click.option("--hostname", metavar="NAME", default="", help="Name of this relay; default the machine's.")
@click.option("--password-stdin", is_flag=True, help="Read the password or client secret from standard input.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@yes_option
@directory_option
@click.pass_context
def init(
    ctx: click.Context,
    /,
    directory: Path,
    yes: bool,
    force: bool,
    password_stdin: bool,
    hostname: str,
    domains: tuple[str, ...],
    allow: tuple[str, ...],
    listen: tuple[str, ...],
    upstream: str | None,
) -> None:
    """Write posthouse.toml and flow.toml; without --yes, missing answers are asked for."""
    _refuse_to_overwrite(directory, force=force)
    is_asking = not yes and sys.stdin.isatty()
    if upstream is None:
        if not is_asking:
            raise click.UsageError("Say where mail goes: --upstream URL.")
        upstream = click.prompt(f"Where shall mail go? ({', '.join(FORMS)})", err=True)
    chosen = read_upstream(upstream)
    if isinstance(chosen, UpstreamRefused):
        raise CommandFailed(f"--upstream: {chosen.reason}", hint=chosen.hint)
    if not listen:
        usual = "0.0.0.0:25" if os.geteuid() == 0 else "127.0.0.1:2525"
        listen = (click.prompt("Where shall mail come in?", default=usual, err=True) if is_asking else usual,)
    if not allow and is_asking:
        answer = click.prompt("Which network may send without a log-in? (empty: none)", default="", err=True)
        allow = tuple(answer.replace(",", " ").split())
    secret = _read_secret(chosen, from_stdin=password_stdin)
    texts = {NODE_FILE: node_text(listen, hostname), FLOW_FILE: flow_text(chosen.toml, allow, domains)}
    installation = installation_of(ctx)
    _judge(installation, texts)
    _write(directory, texts)
    if secret is not None and chosen.secret is not None:
        _keep_secret(installation, directory, chosen.secret, secret)
    _say_what_next(directory, listen, allow)


def _refuse_to_overwrite(directory: Path, *, force: bool) -> None:
    there = [name for name in (NODE_FILE, FLOW_FILE) if (directory / name).exists()]
    if there and not force:
        raise CommandFailed(
            f"{directory} holds {' and '.join(there)} already; nothing was changed",
            hint="choose another --dir, or replace the files with --force",
        )


def _read_secret(upstream: Upstream, *, from_stdin: bool) -> str | None:
    from posthouse.operate.cli.secret import read_secret

    if upstream.secret is None:
        return None
    if not from_stdin and not sys.stdin.isatty():
        raise click.UsageError(
            f"{upstream.prompt}: without a terminal it comes from standard input (--password-stdin)."
        )
    return read_secret(upstream.prompt, from_stdin=from_stdin)


def _judge(installation: Installation, texts: dict[str, str]) -> None:
    """Read the files as the node would, before anything is written where it counts."""
    with tempfile.TemporaryDirectory(prefix="posthouse-init-") as place:
        for name, text in texts.items():
            (Path(place) / name).write_text(text, encoding="utf-8")
        try:
            installation.load(Path(place))
        except ConfigurationRefused as refused:
            details = [problem.sentence + (f"; {problem.hint}" if problem.hint else "") for problem in refused.errors]
            raise CommandFailed(
                "these answers make no usable configuration; nothing was written", details=details
            ) from refused


def _write(directory: Path, texts: dict[str, str]) -> None:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        for name, text in texts.items():
            write_file(directory / name, text)
    except OSError as error:
        raise CommandFailed(f"{directory} cannot be written: {error.strerror}") from error


def _keep_secret(installation: Installation, directory: Path, name: str, value: str) -> None:
    from posthouse.operate.account_shapes import NewSecret
    from posthouse.operate.desk import open_desk
    from posthouse.operate.operations import SECRET_SET

    ask(open_desk(installation, directory), SECRET_SET, NewSecret(name=name, value=value))


def _say_what_next(directory: Path, listen: Sequence[str], allow: Sequence[str]) -> None:
    click.echo(f"Wrote {directory / NODE_FILE} and {directory / FLOW_FILE}.")
    who = f"{', '.join(allow)} may send without a log-in." if allow else "Nobody may send without an account."
    click.echo(f"Mail comes in on {', '.join(listen)}. {who}")
    click.echo(f"Next: posthouse check --dir {directory} && posthouse run --dir {directory}")
    if not allow:
        click.echo(f"An account: posthouse account add NAME --dir {directory}")
