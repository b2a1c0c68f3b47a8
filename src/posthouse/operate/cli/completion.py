"""``posthouse completion``: click's own scripts for the three shells that it knows."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(epilog="Example: posthouse completion bash > /etc/bash_completion.d/posthouse")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print a shell completion script."""
    known = get_completion_class(shell)
    assert known is not None
    click.echo(known(ctx.find_root().command, {}, "posthouse", "_POSTHOUSE_COMPLETE").source())
