"""``posthouse run``, ``status`` and ``reload``: the node itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.operate.cli.failure import CommandFailed, ask
from posthouse.operate.cli.options import directory_option, installation_of, json_option
from posthouse.operate.cli.output import Row, print_fields, print_json, print_table, show_length
from posthouse.operate.explanation import explanation_in

if TYPE_CHECKING:
    from posthouse.operate.desk import NodeDesk


@click.command(epilog="Example: posthouse run --dir /etc/posthouse")
@directory_option
@click.pass_context
def run(ctx: click.Context, /, directory: Path) -> None:
    """Run the node in the foreground.

    SIGHUP reads configuration and certificates again; SIGTERM finishes what runs and ends.
    """
    installation = installation_of(ctx)
    ctx.exit(installation.run(installation.load(directory)))


@click.command(epilog="Example: posthouse status --json")
@json_option
@directory_option
@click.pass_context
def status(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """Show what the running node is doing."""
    from posthouse.operate.operations import NODE_STATUS
    from posthouse.operate.shapes import Nothing

    found = ask(_node_desk(directory), NODE_STATUS, Nothing())
    if as_json:
        print_json(found)
        return
    print_fields(
        [
            ("Node", f"{found.hostname}, posthouse {found.version}, process {found.pid}"),
            ("State", f"{found.state} for {show_length(datetime.now(UTC) - found.started_at)}"),
            ("Waiting copies", found.open_copies),
            ("Flow revision", found.flow_revision),
        ]
    )
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")
        if (known := explanation_in(warning)) is not None:
            click.echo(f"  Who must act: {known.who_in_words}; what to do: posthouse explain {known.id}")
    click.echo()
    rows = [Row((known.name, known.address, known.tls, str(known.connections))) for known in found.listeners]
    print_table(("LISTENER", "ADDRESS", "TLS", "CONNECTIONS"), rows, flexible=0)


@click.command(epilog="Example: posthouse reload")
@json_option
@directory_option
@click.pass_context
def reload(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """Make the running node read configuration and certificates again."""
    from posthouse.operate.operations import NODE_RELOAD
    from posthouse.operate.shapes import Nothing

    done = ask(_node_desk(directory), NODE_RELOAD, Nothing())
    if as_json:
        print_json(done)
    elif not done.problems:
        click.echo(f"Reloaded; flow revision {done.flow_revision} is in use.")
        for name in done.needs_restart:
            click.echo(f"{name} changed; only a restart takes it over.")
    if done.problems:
        raise CommandFailed("nothing was taken over; the node goes on as before", details=done.problems)


def _node_desk(directory: Path) -> NodeDesk:
    from posthouse.operate.desk import NodeDesk, node_client

    client = node_client(directory)
    if client is None:
        raise CommandFailed(f"no node runs in {directory}", hint=f"start it: posthouse run --dir {directory}")
    return NodeDesk(client)
