"""``posthouse metrics``: what Prometheus reads, for node_exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path

import click

from posthouse.operate.cli.failure import ask
from posthouse.operate.cli.options import desk_of, directory_option
from posthouse.operate.operations import NODE_METRICS
from posthouse.operate.shapes import Nothing


@click.command(epilog="Example: posthouse metrics > /var/lib/node_exporter/posthouse.prom")
@directory_option
@click.pass_context
def metrics(ctx: click.Context, /, directory: Path) -> None:
    """Print metrics in Prometheus' text format.

    A running node also serves them on its control socket: GET /metrics.
    """
    click.echo(ask(desk_of(ctx, directory), NODE_METRICS, Nothing()).text, nl=False)
