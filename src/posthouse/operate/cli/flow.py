"""``posthouse flow``: the mail flow, its revisions, and the way back."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from posthouse.operate.account_shapes import FlowApplied, FlowApply, RevisionRequest, RevisionView
from posthouse.operate.cli.failure import FOUND_WRONG, CommandFailed, settled
from posthouse.operate.cli.failure import ask as ask_desk
from posthouse.operate.cli.options import confirm, desk_of, directory_option, installation_of, json_option, yes_option
from posthouse.operate.cli.output import Row, print_json, print_table, show_time
from posthouse.operate.desk import Desk
from posthouse.operate.flow_file import write_file
from posthouse.operate.names import FLOW_FILE
from posthouse.operate.operations import FLOW_APPLY, FLOW_HISTORY, FLOW_SHOW
from posthouse.operate.shapes import Nothing, Refusal

_number = click.argument("number", type=click.IntRange(1), required=False)


@click.group(epilog="Example: posthouse flow diff && posthouse flow apply")
def flow() -> None:
    """Show and change the mail flow.

    flow.toml is the file to be edited; every version that was put into use is kept as a numbered revision.
    """


@flow.command(epilog="Example: posthouse flow show 3")
@_number
@json_option
@directory_option
@click.pass_context
def show(ctx: click.Context, /, directory: Path, as_json: bool, number: int | None) -> None:
    """Print a revision, the newest by default."""
    found = ask_desk(desk_of(ctx, directory), FLOW_SHOW, RevisionRequest(number=number))
    if as_json:
        print_json(found)
    else:
        click.echo(found.text, nl=False)


@flow.command(epilog="Example: posthouse flow history")
@json_option
@directory_option
@click.pass_context
def history(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """List revisions, newest first."""
    found = ask_desk(desk_of(ctx, directory), FLOW_HISTORY, Nothing())
    if as_json:
        print_json(found)
        return
    rows = [Row((str(view.number), show_time(view.at), view.by, view.comment)) for view in found.revisions]
    if rows:
        print_table(("REVISION", "APPLIED", "BY", "COMMENT"), rows, flexible=3)
    else:
        click.echo("No flow has been applied yet.")


@flow.command(epilog="Example: posthouse flow diff 3")
@_number
@directory_option
@click.pass_context
def diff(ctx: click.Context, /, directory: Path, number: int | None) -> None:
    """Compare flow.toml with a revision, the newest by default; exit code 1 where they differ."""
    base = _newest(desk_of(ctx, directory), number)
    if _print_diff(base, _read(directory / FLOW_FILE)):
        ctx.exit(FOUND_WRONG)


@flow.command(epilog='Example: posthouse flow apply --comment "second printer"')
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--comment", default="", metavar="TEXT", help="Why, for the history.")
@yes_option
@json_option
@directory_option
@click.pass_context
def apply(ctx: click.Context, /, directory: Path, as_json: bool, yes: bool, comment: str, file: Path | None) -> None:
    """Put flow.toml, or another FILE in its place, into use as a new revision."""
    desk, target = desk_of(ctx, directory), directory / FLOW_FILE
    if file is not None and target.exists() and not file.samefile(target) and _read(file) != _read(target):
        confirm(f"Replace {target} by {file}?", yes=yes)
    _report(_apply(ctx, desk, directory, _read(file or target), comment), as_json)


@flow.command(epilog="Example: posthouse flow rollback 3")
@click.argument("number", type=click.IntRange(1))
@yes_option
@json_option
@directory_option
@click.pass_context
def rollback(ctx: click.Context, /, directory: Path, as_json: bool, yes: bool, number: int) -> None:
    """Put an older revision into use again, as a new one."""
    desk, target = desk_of(ctx, directory), directory / FLOW_FILE
    wanted, newest = _newest(desk, number), _newest(desk, None)
    assert wanted is not None
    if target.exists() and newest is not None and _read(target) != newest.text:
        confirm(f"{target} has changes that were never applied. Overwrite them?", yes=yes)
    _report(_apply(ctx, desk, directory, wanted.text, f"rollback to revision {number}"), as_json)


@flow.command(epilog="Example: EDITOR=nano posthouse flow edit")
@click.option("--comment", default="", metavar="TEXT", help="Why, for the history.")
@yes_option
@directory_option
@click.pass_context
def edit(ctx: click.Context, /, directory: Path, yes: bool, comment: str) -> None:
    """Open flow.toml in $EDITOR, show what changed, and apply it."""
    desk, target = desk_of(ctx, directory), directory / FLOW_FILE
    base, text = _newest(desk, None), _read(target)
    while True:
        edited = click.edit(text, extension=".toml", require_save=False)
        if edited is None or edited == text == (base.text if base else ""):
            click.echo("Nothing was changed.")
            return
        text = edited
        problems = [str(p) for p in installation_of(ctx).judge_flow(text, directory) if p.severity == "error"]
        for problem in problems:
            click.echo(f"{click.style('error', fg='red', bold=True)}  {problem}", err=True)
        if not problems:
            break
        if yes:
            raise CommandFailed("the flow has errors; nothing was changed")
        confirm("Edit again?", yes=False)
    _print_diff(base, text)
    confirm("Put this into use?", yes=yes)
    _report(_apply(ctx, desk, directory, text, comment, base=base), as_json=False)


def _newest(desk: Desk, number: int | None) -> RevisionView | None:
    answer = desk.call(FLOW_SHOW, RevisionRequest(number=number))
    if isinstance(answer, Refusal) and answer.code == "not_found" and number is None:
        return None
    return settled(answer)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no {path}", hint="posthouse init writes one") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is not UTF-8") from error


def _print_diff(base: RevisionView | None, text: str) -> bool:
    """Print what `text` changes; whether there was anything."""
    old, title = (base.text, f"revision {base.number}") if base else ("", "no revision")
    colours = {"+": "green", "-": "red", "@": "cyan"}
    lines = list(difflib.unified_diff(old.splitlines(), text.splitlines(), title, FLOW_FILE, lineterm=""))
    for line in lines:
        click.echo(click.style(line, fg=colours.get(line[:1])) if line[:1] in colours else line)
    return bool(lines)


def _apply(
    ctx: click.Context, desk: Desk, directory: Path, text: str, comment: str, base: RevisionView | None = None
) -> FlowApplied:
    errors = [str(p) for p in installation_of(ctx).judge_flow(text, directory) if p.severity == "error"]
    if errors:
        raise CommandFailed("the flow has errors; nothing was changed", details=errors)
    target = directory / FLOW_FILE
    old = _read(target) if target.exists() else None
    if old != text:
        # The operator may write the file where the node's user may not.
        write_file(target, text)
    answer = desk.call(FLOW_APPLY, FlowApply(text=text, comment=comment, base=base.number if base else None))
    if isinstance(answer, Refusal) and answer.code != "failed" and old is not None and old != text:
        write_file(target, old)
    return settled(answer)


def _report(done: FlowApplied, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    for warning in done.warnings:
        click.echo(f"Warning: {warning}", err=True)
    what = f"Revision {done.number}" if done.changed else f"Nothing changed; revision {done.number}"
    click.echo(f"{what} is in use." if done.in_use else f"{what} is stored; no node runs, the next start uses it.")
