"""``posthouse queue``: what waits, why, when next; hold, release, retry, cancel."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

from posthouse.operate.cli.budgets import budgets
from posthouse.operate.cli.failure import CommandFailed, ask
from posthouse.operate.cli.options import confirm, desk_of, directory_option, json_option, yes_option
from posthouse.operate.cli.output import (
    Row,
    print_fields,
    print_json,
    print_table,
    show_distance,
    show_length,
    show_size,
    show_time,
)
from posthouse.operate.operations import QUEUE_CHANGE, QUEUE_HOPS, QUEUE_LIST
from posthouse.operate.shapes import HopRow, Nothing, QueueAction, QueueChanged, QueueRow, QueueRows, QueueSelection

Action = Literal["hold", "release", "retry", "cancel"]
_STATES = click.Choice(["pending", "leased", "held", "unknown"], case_sensitive=False)


@click.group(epilog="Example: posthouse queue list --recipient @example.com")
def queue() -> None:
    """See and steer waiting mail."""


queue.add_command(budgets)


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        click.option("--id", "more_ids", multiple=True, metavar="ID", help="Only these messages; repeatable."),
        click.option("--sender", metavar="ADDRESS", help="Sender: an address or @domain."),
        click.option("--recipient", metavar="ADDRESS", help="Recipient: an address or @domain."),
        click.option("--hop", metavar="NAME", help="Waiting line; NAME also means NAME/..."),
        click.option("--state", "states", multiple=True, type=_STATES, help="Only this state; repeatable."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _selection(limit: int = 1000, **filters: Any) -> QueueSelection:
    return QueueSelection(
        ids=(*filters["ids"], *filters["more_ids"]),
        sender=filters["sender"],
        recipient=filters["recipient"],
        hop=filters["hop"],
        states=tuple(filters["states"]),
        limit=limit,
    )


@queue.command("list", epilog="Example: posthouse queue list --hop upstream --state held")
@_filters
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 10000), help="Most rows.")
@json_option
@directory_option
@click.pass_context
def list_(ctx: click.Context, /, directory: Path, as_json: bool, limit: int, **filters: Any) -> None:
    """List waiting copies, oldest first: one for each recipient."""
    found = ask(desk_of(ctx, directory), QUEUE_LIST, _selection(limit, **filters))
    if as_json:
        print_json(found)
        return
    if not found.copies:
        click.echo("Nothing waits.")
        return
    now = datetime.now(UTC)
    rows = [
        Row(
            (copy.id, copy.status, _when(copy, now), str(copy.attempts), f"{copy.sender or '<>'} > {copy.recipient}"),
            note=_why(copy),
        )
        for copy in found.copies
    ]
    print_table(("ID", "STATUS", "NEXT", "TRIES", "SENDER > RECIPIENT"), rows, flexible=4)
    if found.more:
        click.echo(f"There are more; only the first {limit} are shown (--limit).", err=True)


@queue.command(epilog="Example: posthouse queue show 06H2V3K4M5N6P")
@click.argument("message_id", metavar="ID")
@json_option
@directory_option
@click.pass_context
def show(ctx: click.Context, /, directory: Path, as_json: bool, message_id: str) -> None:
    """Show why each waiting copy of a message waits, and when it is tried next."""
    found = ask(desk_of(ctx, directory), QUEUE_LIST, QueueSelection(ids=(message_id,)))
    if not found.copies:
        raise CommandFailed(
            f"no copy of {message_id} waits", hint=f"`posthouse trace show {message_id}` tells its story"
        )
    if as_json:
        print_json(found)
        return
    now, first = datetime.now(UTC), found.copies[0]
    print_fields(
        [
            ("Message", first.id),
            ("Sender", first.sender or "<>"),
            ("Subject", first.subject),
            ("Size", show_size(first.size_octets)),
            ("Accepted", f"{show_time(first.received_at)} ({show_distance(first.received_at, now)})"),
            ("Expires", f"{show_time(first.expires_at)} ({show_distance(first.expires_at, now)})"),
        ]
    )
    for copy in found.copies:
        click.echo()
        known = copy.explanation
        print_fields(
            [
                ("Recipient", copy.recipient),
                ("Status", copy.status),
                ("Waiting line", copy.hop),
                ("Attempts", copy.attempts),
                ("Next attempt", _when(copy, now)),
                ("Why", _why(copy) or "not attempted yet"),
                ("Meaning", known.meaning if known is not None else ""),
                ("Who must act", known.who_in_words if known is not None else ""),
                ("What to do", known.remedy if known is not None else ""),
            ]
        )


@queue.command(epilog="Example: posthouse queue hops --json")
@json_option
@directory_option
@click.pass_context
def hops(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """List waiting lines: one for each next hop."""
    found = ask(desk_of(ctx, directory), QUEUE_HOPS, Nothing())
    if as_json:
        print_json(found)
        return
    if not found.hops:
        click.echo("Nothing waits.")
        return
    now = datetime.now(UTC)
    rows = [
        Row(
            (
                hop.hop,
                str(hop.pending + hop.leased),
                str(hop.held),
                str(hop.unknown),
                show_length(now - hop.oldest_at),
                "-" if hop.next_at is None else show_distance(max(hop.next_at, now), now),
            ),
            note=_explained(hop),
        )
        for hop in found.hops
    ]
    print_table(("WAITING LINE", "PENDING", "HELD", "UNKNOWN", "OLDEST", "NEXT"), rows, flexible=0)


def _when(copy: QueueRow, now: datetime) -> str:
    match copy.state:
        case "pending":
            return "now" if copy.next_at <= now else show_distance(copy.next_at, now)
        case "leased":
            return "now"
        case _:
            return "-"


def _why(copy: QueueRow) -> str:
    why = _explained(copy)
    match copy.state:
        case "held":
            return f"held by an operator or a rule; {why}".rstrip("; ")
        case "unknown":
            return f"the answer after the last octet was lost; {why}".rstrip("; ")
        case _:
            return why


def _explained(waiting: QueueRow | HopRow) -> str:
    """What a known reply means stands before its words, who must act behind them."""
    known = waiting.explanation
    if known is None:
        return waiting.why
    what = waiting.why if waiting.why.startswith(known.title) else f"{known.title} ({waiting.why})"
    return f"{what}; who must act: {known.who_in_words}"


def _add_action(action: Action, summary: str, done: str) -> None:
    @queue.command(action, help=summary, epilog=f"Example: posthouse queue {action} --recipient @example.com")
    @_filters
    @click.option("--all", "everything", is_flag=True, help="All waiting mail.")
    @yes_option
    @json_option
    @directory_option
    @click.pass_context
    def act(ctx: click.Context, /, directory: Path, as_json: bool, yes: bool, everything: bool, **filters: Any) -> None:
        selection = _selection(**filters)
        if everything == (selection != QueueSelection()):
            raise click.UsageError("Say which mail: IDs, filters, or --all.")
        desk = desk_of(ctx, directory)
        # What is cancelled does not come back, so a script has to say that it means it.
        is_sure = yes or (action != "cancel" and not sys.stdin.isatty())
        _be_sure(ask(desk, QUEUE_LIST, replace(selection, limit=10_000)), action, is_sure)
        changed = ask(desk, QUEUE_CHANGE, QueueAction(action=action, selection=selection))
        _report(changed, done, as_json)


def _be_sure(found: QueueRows, action: Action, yes: bool) -> None:
    if len(found.copies) > 1:
        count = f"more than {len(found.copies):,}" if found.more else str(len(found.copies))
        confirm(f"{action.capitalize()} {count} copies?", yes=yes)


def _report(changed: QueueChanged, done: str, as_json: bool) -> None:
    if as_json:
        print_json(changed)
    elif changed.copies:
        click.echo(f"{done}: {changed.copies} copies of {changed.messages} messages.")
    if not changed.copies:
        raise CommandFailed("nothing that waits matched, so nothing was changed")


_add_action("hold", "Stop attempts until the mail is released.", "Held")
_add_action("release", "Let held or unknown mail go on.", "Released")
_add_action("retry", "Try pending mail now.", "Tried now")
_add_action("cancel", "Throw waiting mail away; the sender is not told.", "Cancelled")
