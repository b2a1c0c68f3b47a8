"""``posthouse secret``: what stands behind ``secret:NAME`` references. Secrets go in and never come out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from posthouse.operate.account_shapes import NewSecret
from posthouse.operate.cli.failure import CommandFailed, ask
from posthouse.operate.cli.options import confirm, desk_of, directory_option, json_option, yes_option
from posthouse.operate.cli.output import Row, print_json, print_table, show_time
from posthouse.operate.operations import SECRET_LIST, SECRET_REMOVE, SECRET_SET
from posthouse.operate.shapes import Named, Nothing


@click.group(epilog="Example: posthouse secret set upstream-password")
def secret() -> None:
    """Keep secrets for "secret:NAME" references, encrypted in the store."""


@secret.command("set", epilog="Example: pass show relay | posthouse secret set upstream-password --stdin")
@click.argument("name")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the secret from standard input.")
@directory_option
@click.pass_context
def set_(ctx: click.Context, /, directory: Path, name: str, from_stdin: bool) -> None:
    """Keep a secret, in place of an older one of that name."""
    desk = desk_of(ctx, directory)
    ask(desk, SECRET_SET, NewSecret(name=name, value=read_secret(f"Secret {name}", from_stdin=from_stdin)))
    click.echo(f'Kept. The configuration refers to it as "secret:{name}".')


def read_secret(prompt: str, *, from_stdin: bool) -> str:
    """All of standard input without its last line end, or asked for on the terminal."""
    if from_stdin or not sys.stdin.isatty():
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    else:
        value = click.prompt(prompt, hide_input=True, err=True)
    if not value:
        raise CommandFailed("the secret is empty; nothing was changed")
    return value


@secret.command("list", epilog="Example: posthouse secret list")
@json_option
@directory_option
@click.pass_context
def list_(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """List names and the times of their last change."""
    found = ask(desk_of(ctx, directory), SECRET_LIST, Nothing())
    if as_json:
        print_json(found)
    elif found.secrets:
        rows = [Row((view.name, show_time(view.changed_at))) for view in found.secrets]
        print_table(("NAME", "CHANGED"), rows, flexible=0)
    else:
        click.echo("No secrets are kept.")


@secret.command(epilog="Example: posthouse secret remove upstream-password")
@click.argument("name")
@yes_option
@directory_option
@click.pass_context
def remove(ctx: click.Context, /, directory: Path, yes: bool, name: str) -> None:
    """Forget a secret."""
    desk = desk_of(ctx, directory)
    confirm(f"Forget secret {name}?", yes=yes)
    ask(desk, SECRET_REMOVE, Named(name))
    click.echo(f"Secret {name} is forgotten.")
