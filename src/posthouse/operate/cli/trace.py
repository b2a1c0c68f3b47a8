"""``posthouse trace``: search, the story of one message, following."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from posthouse.mail.ids import read_message_id
from posthouse.mail.message import RecipientState
from posthouse.operate.cli.failure import CommandFailed, ask
from posthouse.operate.cli.options import MOMENT, desk_of, directory_option, json_option
from posthouse.operate.cli.output import (
    Row,
    print_fields,
    print_json,
    print_table,
    printable,
    show_size,
    show_time,
    wrapped,
)
from posthouse.operate.desk import NodeDesk, node_client
from posthouse.operate.operations import TRACE_DOOR, TRACE_FOLLOW, TRACE_MICROSOFT, TRACE_SEARCH, TRACE_SHOW
from posthouse.operate.other_half_shapes import OtherHalves
from posthouse.operate.shapes import (
    DoorSelection,
    FollowedEvent,
    FollowRequest,
    Named,
    StoryStep,
    StoryView,
    TraceLine,
    TraceSelection,
)
from posthouse.store.port import TraceRow
from posthouse.trace.search import csv_text
from posthouse.trace.status import STATUSES

FOLLOW_SECONDS = 0.5


@click.group(epilog="Example: posthouse trace search --recipient bob@example.com --since 2h")
def trace() -> None:
    """Find out what happened to a message."""


@trace.command(epilog='Example: posthouse trace search --sender "scan*@example.com" --status Failed --since 1d')
@click.option("--sender", metavar="ADDRESS", help="Address, @domain, or a part with *.")
@click.option("--recipient", metavar="ADDRESS", help="Address, @domain, or a part with *.")
@click.option("--subject", metavar="TEXT", help="Part of the subject.")
@click.option("--message-id", metavar="ID", help="Message-ID of the header, or Posthouse's own id.")
@click.option("--connector", metavar="NAME", help="Connector, account or listener.")
@click.option("--status", "statuses", multiple=True, metavar="STATUS", help=f"{', '.join(STATUSES)}; repeatable.")
@click.option("--since", type=MOMENT, help="Accepted after: 2h, 7d, 2026-01-31, 2026-01-31T14:00.")
@click.option("--until", type=MOMENT, help="Accepted before.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10000), help="Most rows.")
@click.option("--before", metavar="CURSOR", help='Continue below an earlier answer ("next" in its JSON).')
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@directory_option
@click.pass_context
def search(ctx: click.Context, /, directory: Path, as_json: bool, as_csv: bool, **filters: Any) -> None:
    """Search messages, newest first: one row for each recipient."""
    if as_json and as_csv:
        raise click.UsageError("Choose --json or --csv.")
    found = ask(desk_of(ctx, directory), TRACE_SEARCH, TraceSelection(**filters))
    if as_json:
        print_json(found)
    elif as_csv:
        click.echo(csv_text(map(_as_row, found.rows)), nl=False)
    elif not found.rows:
        click.echo("Nothing found.")
    else:
        _print_rows(found.rows)
    if found.next and not as_json:
        click.echo(f"There are more: --limit, or --before {found.next}", err=True)


def _print_rows(rows: tuple[TraceLine, ...]) -> None:
    table = [
        Row(
            (show_time(row.received_at), row.id, row.status, f"{row.sender or '<>'} > {row.recipient}"),
            note=row.subject,
        )
        for row in rows
    ]
    print_table(("ACCEPTED", "ID", "STATUS", "SENDER > RECIPIENT"), table, flexible=3)


def _as_row(line: TraceLine) -> TraceRow:
    return TraceRow(
        message_id=read_message_id(line.id),
        index=line.recipient_index,
        received_at=line.received_at,
        sender=line.sender,
        recipient=line.recipient,
        subject=line.subject,
        state=RecipientState(line.state),
        peer_ip=line.from_ip,
        remote=line.to_ip,
        size_octets=line.size_octets,
        header_message_id=line.message_id,
        principal=line.principal,
        connector=line.connector,
        last_reply=line.last_reply,
    )


@trace.command(epilog="Example: posthouse trace show 06H2V3K4M5N6P")
@click.argument("message_id", metavar="ID")
@click.option("--microsoft", is_flag=True, help="Ask Microsoft's message trace for its half of the story, too.")
@json_option
@directory_option
@click.pass_context
def show(ctx: click.Context, /, directory: Path, as_json: bool, microsoft: bool, message_id: str) -> None:
    """Tell the story of a message, by its id or its Message-ID."""
    desk = desk_of(ctx, directory)
    story = ask(desk, TRACE_SHOW, Named(message_id))
    other = ask(desk, TRACE_MICROSOFT, Named(story.id)) if microsoft else None
    if as_json:
        print_json(story if other is None else {"story": story, "microsoft": other.halves})
        return
    _print_story(story)
    if other is not None:
        _print_other_half(other)


def _print_other_half(other: OtherHalves) -> None:
    click.echo("\nMicrosoft's half of the story:")
    if not other.halves:
        click.echo("  No copy left through Microsoft 365.")
    for half in other.halves:
        if half.reason:
            click.echo(printable(f"  {half.connector}: {half.reason}"))
        for traced in half.recipients:
            when = show_time(traced.received_at) if traced.received_at is not None else "?"
            click.echo(printable(f"{when}  {traced.status} for {traced.recipient} ({half.connector})"))
            for event in traced.events:
                at = show_time(event.at) if event.at is not None else "?"
                click.echo(printable(f"    {at}  {event.event}: {event.description}"))


def _print_story(story: StoryView) -> None:
    print_fields(
        [
            ("Message", story.id),
            ("Message-ID", story.header_message_id),
            ("Subject", story.subject),
            ("Sender", story.sender or "<>"),
            ("Accepted", show_time(story.received_at)),
            ("Size", show_size(story.size_octets) + ("" if story.has_content else " (content removed by retention)")),
            ("Origin", "" if story.origin == "smtp" else story.origin.replace("_", " ")),
            ("About", story.parent),
            ("Came from", " ".join(part for part in (story.peer_ip, f"({story.helo})" if story.helo else "") if part)),
            ("By", f"{story.listener}, {story.protocol}" + (f", {story.tls}" if story.tls else "")),
            ("As", story.principal),
            ("Session", story.session),
            ("Notices", ", ".join(story.notices)),
        ]
    )
    for repair in story.repairs:
        click.echo(f"Repaired: {printable(repair)}")
    click.echo()
    rows = [Row((row.status, row.recipient, row.connector, row.to_ip), note=row.last_reply) for row in story.recipients]
    print_table(("STATUS", "RECIPIENT", "CONNECTOR", "SERVER"), rows, flexible=1)
    click.echo()
    told: set[str] = set()
    for step in story.timeline:
        whom = f" [{step.recipient}]" if step.recipient and len(story.recipients) > 1 else ""
        click.echo(printable(f"{show_time(step.at)}  {step.headline}{whom}"))
        for detail in (*step.details, *_explained(step, told)):
            for line in wrapped(detail, indent=23):
                click.echo(line)


def _explained(step: StoryStep, told: set[str]) -> tuple[str, ...]:
    """What a refusal means; in full where it comes for the first time."""
    known = step.explanation
    if known is None:
        return ()
    if known.id in told:
        return (f"meaning: {known.title}",)
    told.add(known.id)
    return (
        f"meaning: {known.title}. {known.meaning}",
        f"who must act: {known.who_in_words}; {known.remedy}",
        f"more: posthouse explain {known.id}",
    )


@trace.command(epilog="Example: posthouse trace door --since 2h")
@click.option("--since", type=MOMENT, help="Not before: 2h, 7d, 2026-01-31, 2026-01-31T14:00; default a day ago.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10000), help="Most lines.")
@json_option
@directory_option
@click.pass_context
def door(ctx: click.Context, /, directory: Path, as_json: bool, since: datetime | None, limit: int) -> None:
    """Show what was refused at the door, and who logged in, newest first."""
    found = ask(desk_of(ctx, directory), TRACE_DOOR, DoorSelection(since=since, limit=limit))
    if as_json:
        print_json(found)
        return
    if not found.events:
        click.echo("Nobody was refused, nobody logged in.")
    for event in found.events:
        click.echo(printable(f"{show_time(event.at)} {event.event}: {event.text}"))


@trace.command(epilog="Example: posthouse trace follow --json")
@json_option
@directory_option
def follow(directory: Path, as_json: bool) -> None:
    """Print events as they happen, until Ctrl-C."""
    client = node_client(directory)
    if client is None:
        raise CommandFailed(
            f"no node runs in {directory}, so nothing happens", hint="`posthouse trace search` looks back"
        )
    desk = NodeDesk(client)
    cursor = ask(desk, TRACE_FOLLOW, FollowRequest()).cursor
    click.echo("Following; Ctrl-C ends.", err=True)
    try:
        while True:
            found = ask(desk, TRACE_FOLLOW, FollowRequest(cursor=cursor))
            cursor = found.cursor
            for event in found.events:
                click.echo(msgspec.json.encode(event) if as_json else _follow_line(event))
            if not found.events:
                time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return


def _follow_line(event: FollowedEvent) -> str:
    where = f" #{event.recipient_index}" if event.recipient_index is not None else ""
    return printable(f"{show_time(event.at)} {event.id or '-'}{where} {event.event}: {event.text}")
