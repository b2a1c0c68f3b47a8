"""``posthouse queue budgets``: how much of each limit is used, when it resets, and when it will be reached."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from posthouse.operate.budget_shapes import BudgetRow
from posthouse.operate.cli.failure import ask
from posthouse.operate.cli.options import desk_of, directory_option, json_option
from posthouse.operate.cli.output import Row, print_json, print_table, show_length, show_time
from posthouse.operate.operations import QUEUE_BUDGETS
from posthouse.operate.shapes import Nothing

_GAUGE = 12


@click.command("budgets", epilog="Example: posthouse queue budgets --all")
@click.option("--all", "with_all", is_flag=True, help="Also limits of which nothing is used.")
@json_option
@directory_option
@click.pass_context
def budgets(ctx: click.Context, directory: Path, as_json: bool, with_all: bool) -> None:
    """Show what is used of each limit of Microsoft 365, and a forecast."""
    found = ask(desk_of(ctx, directory), QUEUE_BUDGETS, Nothing())
    if as_json:
        print_json(found)
        return
    rows = [row for row in found.budgets if with_all or row.used or row.rests_because]
    if not rows:
        told = "Nothing is used of any limit." if found.budgets else "No outbound connector has limits."
        click.echo(told + (" --all lists them." if found.budgets else ""))
        return
    columns = ("Account", "Limit", "Used", "", "Resets in")
    print_table(columns, [_line(row, found.at) for row in rows], flexible=0)


def _line(row: BudgetRow, now: datetime) -> Row:
    span = show_length(timedelta(seconds=row.window_seconds))
    resets = show_length(row.resets_at - now) if row.resets_at is not None else "-"
    cells = (
        row.account.partition(":")[2],
        f"{row.limit:,} {row.what} in {span}",
        f"{row.used:,}",
        _gauge(row.used, row.limit),
        resets,
    )
    return Row(cells, note=_note(row, now))


def _gauge(used: int, limit: int) -> str:
    full = min(_GAUGE, round(_GAUGE * used / limit))
    return f"[{'#' * full}{'.' * (_GAUGE - full)}] {100 * used // limit} %"


def _note(row: BudgetRow, now: datetime) -> str:
    if row.rests_because:
        until = f"until {show_time(row.rests_until)}" if row.rests_until is not None else "until a person acts"
        return f"rests {until}: {row.rests_because}"
    if row.full_at is None:
        return ""
    if row.used >= row.limit:
        return "used up; mail waits"
    return f"at this rate the limit is reached at {show_time(row.full_at)}"
