"""``posthouse identity``: who Posthouse is where it has to log in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from posthouse.operate.cli.failure import FOUND_WRONG, ask
from posthouse.operate.cli.identity_login import login
from posthouse.operate.cli.options import desk_of, directory_option, json_option
from posthouse.operate.cli.output import Row, print_fields, print_json, print_table, show_time, wrapped
from posthouse.operate.explanation import explanation_in, explanation_of
from posthouse.operate.identity_shapes import IdentityView, ResumeRequest, RotateRequest, Step, TokenView
from posthouse.operate.operations import (
    IDENTITY_LIST,
    IDENTITY_RESUME,
    IDENTITY_ROTATE,
    IDENTITY_STEPS,
    IDENTITY_TEST,
)
from posthouse.operate.shapes import Named, Nothing


@click.group(epilog="Example: posthouse identity list")
def identity() -> None:
    """See and steer identities: sign-ins, tokens, certificates."""


identity.add_command(login)


@identity.command("list", epilog="Example: posthouse identity list --json")
@json_option
@directory_option
@click.pass_context
def list_(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """List identities: state, what ends when, last token."""
    found = ask(desk_of(ctx, directory), IDENTITY_LIST, Nothing())
    if as_json:
        print_json(found)
        return
    if not found.identities:
        click.echo("The mail flow names no identities.")
        return
    rows = [
        Row(
            (view.name, view.kind, view.tenant or "-", ", ".join(view.connectors) or "-", view.state, _end(view)),
            note=_note(view),
        )
        for view in found.identities
    ]
    print_table(("IDENTITY", "KIND", "TENANT", "USED BY", "STATE", "ENDS"), rows, flexible=2)
    shown = {f"identity:{view.name}" for view in found.identities if view.state == "paused"}
    for pause in found.pauses:
        reason = "" if pause.account in shown else f": {pause.reason}"
        click.echo(f"{pause.account} rests {_until(pause.until)}{reason}")
        known = explanation_of(pause.reply) or explanation_in(pause.reason)
        advice = [("  Who must act", known.who_in_words), ("  What to do", known.remedy)] if known is not None else []
        print_fields([*advice, ("  Then", f"posthouse identity resume {pause.account.partition(':')[2]}")])


@identity.command(epilog="Example: posthouse identity test contoso")
@click.argument("name")
@json_option
@directory_option
@click.pass_context
def test(ctx: click.Context, /, directory: Path, as_json: bool, name: str) -> None:
    """Get fresh tokens and show what they allow, never the tokens."""
    tested = ask(desk_of(ctx, directory), IDENTITY_TEST, Named(name))
    if as_json:
        print_json(tested)
    else:
        for token in tested.tokens:
            _show_token(token)
    if any(token.is_needed and not token.ok for token in tested.tokens):
        ctx.exit(FOUND_WRONG)


@identity.command(epilog="Example: posthouse identity resume contoso")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="All identities, mailboxes and connectors.")
@json_option
@directory_option
@click.pass_context
def resume(ctx: click.Context, /, directory: Path, as_json: bool, name: str | None, everything: bool) -> None:
    """Let an identity or mailbox send again after its cause was mended."""
    if (name is None) is not everything:
        raise click.UsageError("Name an identity or mailbox, or say --all.")
    resumed = ask(desk_of(ctx, directory), IDENTITY_RESUME, ResumeRequest(name=name))
    if as_json:
        print_json(resumed)
    elif resumed.accounts:
        click.echo(f"Sending again: {', '.join(resumed.accounts)}.")
    else:
        click.echo("Nothing rests.")


@identity.command(epilog="Example: posthouse identity rotate contoso")
@click.argument("name")
@click.option("--upload", is_flag=True, help="Add it to the application by Graph, proven by the old one.")
@click.option("--finish", is_flag=True, help="Get a token with the new certificate and take it into use.")
@json_option
@directory_option
@click.pass_context
def rotate(ctx: click.Context, /, directory: Path, as_json: bool, name: str, upload: bool, finish: bool) -> None:
    """Make a new certificate beside the old one, which serves until the new one is proven."""
    if upload and finish:
        raise click.UsageError("First --upload, then --finish: Entra needs some minutes between them.")
    request = RotateRequest(name=name, upload=upload, finish=finish)
    view = ask(desk_of(ctx, directory), IDENTITY_ROTATE, request)
    if as_json:
        print_json(view)
        return
    click.echo(f"The new certificate of {name} is in use." if view.in_use else f"A new certificate of {name} is made.")
    print_fields(
        [
            ("File", view.file),
            ("Public part", "" if view.in_use else view.public),
            ("SHA-1", view.sha1),
            ("SHA-256", view.sha256),
            ("Ends", show_time(view.ends_at)),
        ]
    )
    _show_steps(view.steps)


@identity.command("show-steps", epilog="Example: posthouse identity show-steps contoso")
@click.argument("name")
@json_option
@directory_option
@click.pass_context
def show_steps(ctx: click.Context, /, directory: Path, as_json: bool, name: str) -> None:
    """Print what to do in Entra and Exchange, ready to type."""
    found = ask(desk_of(ctx, directory), IDENTITY_STEPS, Named(name))
    if as_json:
        print_json(found)
        return
    click.secho(found.title, bold=True)
    _show_steps(found.steps)


def _show_steps(steps: tuple[Step, ...]) -> None:
    for number, step in enumerate(steps, 1):
        click.echo()
        first, *rest = wrapped(step.text, indent=3) or [""]
        click.echo(f"{number}. {first.strip()}")
        for line in rest:
            click.echo(line)
        for command in step.commands:
            click.echo(f"     {command}")


def _show_token(token: TokenView) -> None:
    what = {"smtp": "SMTP", "graph": "Graph"}[token.purpose]
    suffix = "" if token.is_needed else " (no connector needs it)"
    if not token.ok:
        click.echo(f"{what}: {click.style('no token', fg='red')}{suffix}")
        explained_by = f"posthouse explain {token.code}" if token.code.startswith("AADSTS") else ""
        print_fields([("  Reason", token.problem), ("  Explained by", explained_by)])
        return
    click.echo(f"{what}: {click.style('token', fg='green')}{suffix}")
    print_fields(
        [
            ("  Audience", token.audience),
            ("  Roles", ", ".join(token.roles)),
            ("  Scopes", ", ".join(token.scopes)),
            ("  Of", token.subject),
            ("  Tenant", token.tenant),
            ("  Ends", show_time(token.ends_at) if token.ends_at else ""),
        ]
    )
    if not token.roles and not token.scopes:
        click.echo("  It names no permission. With RBAC for Applications that is right; else consent is missing.")


def _end(view: IdentityView) -> str:
    if view.ends_at is None:
        return "not known" if view.ends_source else "never"
    return f"{view.ends_at:%Y-%m-%d} ({view.days_left} d)"


def _note(view: IdentityView) -> str:
    parts = []
    if view.because:
        until = f" {_until(view.until)}" if view.state == "paused" else ""
        parts.append(f"{view.state.replace('_', ' ')}{until}: {view.because}")
    if view.ends_at is not None:
        parts.append(f"the end of the {view.ends} is known from: {view.ends_source}")
    if view.renewed_at is not None:
        parts.append(f"renewed {show_time(view.renewed_at)}")
    elif view.ends_source and view.ends_at is None and view.state != "not_signed_in":
        parts.append(f"when it ends is not known: {view.ends_source}")
    if view.waits:
        parts.append(f"a new certificate waits for `posthouse identity rotate {view.name} --finish`")
    if view.token_at is not None:
        parts.append(f"last token {show_time(view.token_at)}")
    return "; ".join(parts)


def _until(until: datetime | None) -> str:
    return f"until {show_time(until)}" if until is not None else "until a person acts"
