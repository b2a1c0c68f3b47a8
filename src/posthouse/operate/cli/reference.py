"""``posthouse config``: the reference of both configuration files."""

from __future__ import annotations

import click

from posthouse.operate.cli.options import installation_of


@click.group(epilog="Example: posthouse config reference | less")
def config() -> None:
    """Describe the configuration files."""


@config.command(epilog="Example: posthouse config reference > configuration.md")
@click.pass_context
def reference(ctx: click.Context, /) -> None:
    """Print every setting: name, what it takes, default, meaning."""
    click.echo(installation_of(ctx).reference(), nl=False)
