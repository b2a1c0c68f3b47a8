"""``posthouse account``: who may log in, and as whom they may send."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from posthouse.operate.account_shapes import (
    AccountSenders,
    AccountSwitch,
    AccountView,
    DevicePassword,
    NewAccount,
    PasswordChange,
)
from posthouse.operate.cli.failure import ask
from posthouse.operate.cli.options import confirm, desk_of, directory_option, json_option, yes_option
from posthouse.operate.cli.output import Row, print_json, print_table, show_time
from posthouse.operate.operations import (
    ACCOUNT_ADD,
    ACCOUNT_LIST,
    ACCOUNT_PASSWORD,
    ACCOUNT_REMOVE,
    ACCOUNT_SENDERS,
    ACCOUNT_SWITCH,
    APP_PASSWORD_ADD,
    APP_PASSWORD_REVOKE,
)
from posthouse.operate.shapes import Named, Nothing


@click.group(epilog="Example: posthouse account add web@example.com")
def account() -> None:
    """Manage accounts and app passwords."""


def read_password(prompt: str, *, from_stdin: bool) -> str:
    """One line of standard input, or asked for twice on the terminal."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal the password comes from standard input: --password-stdin.")
    answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
    return answer


_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
_sender = click.option(
    "--sender", "senders", multiple=True, metavar="ADDRESS", help='Allowed sender: address, @domain or "*"; repeatable.'
)


@account.command(epilog="Example: posthouse account add web@example.com --sender @example.com")
@click.argument("name")
@_sender
@_password_stdin
@click.option("--no-password", is_flag=True, help="Only app passwords open the account.")
@json_option
@directory_option
@click.pass_context
def add(
    ctx: click.Context,
    /,
    directory: Path,
    as_json: bool,
    name: str,
    senders: tuple[str, ...],
    password_stdin: bool,
    no_password: bool,
) -> None:
    """Make an account; without --sender it may send as its own name."""
    desk = desk_of(ctx, directory)
    password = None if no_password else read_password(f"Password for {name}", from_stdin=password_stdin)
    made = ask(desk, ACCOUNT_ADD, NewAccount(name=name, password=password, senders=senders))
    _report(made, f"Account {made.name} may send as {', '.join(made.senders)}.", as_json)


@account.command("list", epilog="Example: posthouse account list --json")
@json_option
@directory_option
@click.pass_context
def list_(ctx: click.Context, /, directory: Path, as_json: bool) -> None:
    """List accounts and their app passwords."""
    found = ask(desk_of(ctx, directory), ACCOUNT_LIST, Nothing())
    if as_json:
        print_json(found)
        return
    if not found.accounts:
        click.echo("There are no accounts.")
        return
    rows = [
        Row(
            (
                view.name,
                "disabled" if view.disabled else "enabled",
                show_time(view.last_used_at) if view.last_used_at else "never",
                ", ".join(view.senders),
            ),
            note="; ".join(
                f"{known.label}: last used {show_time(known.last_used_at) if known.last_used_at else 'never'}"
                for known in view.app_passwords
            ),
        )
        for view in found.accounts
    ]
    print_table(("ACCOUNT", "STATE", "LAST USED", "SENDERS"), rows, flexible=3)


@account.command(epilog="Example: posthouse account password web@example.com")
@click.argument("name")
@_password_stdin
@json_option
@directory_option
@click.pass_context
def password(ctx: click.Context, /, directory: Path, as_json: bool, name: str, password_stdin: bool) -> None:
    """Set a new password; app passwords stay."""
    desk = desk_of(ctx, directory)
    new = read_password(f"New password for {name}", from_stdin=password_stdin)
    changed = ask(desk, ACCOUNT_PASSWORD, PasswordChange(name=name, password=new))
    _report(changed, f"{changed.name} has a new password.", as_json)


@account.command(epilog="Example: posthouse account senders web@example.com --sender @example.com")
@click.argument("name")
@_sender
@json_option
@directory_option
@click.pass_context
def senders(ctx: click.Context, /, directory: Path, as_json: bool, name: str, senders: tuple[str, ...]) -> None:
    """Set the allowed senders."""
    if not senders:
        raise click.UsageError("Name at least one --sender.")
    changed = ask(desk_of(ctx, directory), ACCOUNT_SENDERS, AccountSenders(name=name, senders=senders))
    _report(changed, f"{changed.name} may send as {', '.join(changed.senders)}.", as_json)


@account.command(epilog="Example: posthouse account disable web@example.com")
@click.argument("name")
@json_option
@directory_option
@click.pass_context
def disable(ctx: click.Context, /, directory: Path, as_json: bool, name: str) -> None:
    """Refuse log-ins of an account."""
    changed = ask(desk_of(ctx, directory), ACCOUNT_SWITCH, AccountSwitch(name=name, disabled=True))
    _report(changed, f"{changed.name} is disabled.", as_json)


@account.command(epilog="Example: posthouse account enable web@example.com")
@click.argument("name")
@json_option
@directory_option
@click.pass_context
def enable(ctx: click.Context, /, directory: Path, as_json: bool, name: str) -> None:
    """Allow log-ins of an account again."""
    changed = ask(desk_of(ctx, directory), ACCOUNT_SWITCH, AccountSwitch(name=name, disabled=False))
    _report(changed, f"{changed.name} is enabled.", as_json)


@account.command(epilog="Example: posthouse account remove web@example.com")
@click.argument("name")
@yes_option
@directory_option
@click.pass_context
def remove(ctx: click.Context, /, directory: Path, yes: bool, name: str) -> None:
    """Remove an account with all its app passwords."""
    desk = desk_of(ctx, directory)
    confirm(f"Remove account {name} and its app passwords?", yes=yes)
    ask(desk, ACCOUNT_REMOVE, Named(name))
    click.echo(f"Account {name} is removed.")


@account.group("app-password", epilog='Example: posthouse account app-password add web@example.com "printer 2nd floor"')
def app_password() -> None:
    """Passwords for single devices: shown once, revocable one by one."""


@app_password.command("add", epilog='Example: posthouse account app-password add web@example.com "printer 2nd floor"')
@click.argument("name")
@click.argument("label")
@json_option
@directory_option
@click.pass_context
def add_app_password(ctx: click.Context, /, directory: Path, as_json: bool, name: str, label: str) -> None:
    """Make a password for one device and show it, this once."""
    made = ask(desk_of(ctx, directory), APP_PASSWORD_ADD, DevicePassword(account=name, label=label))
    if as_json:
        print_json(made)
        return
    click.echo(made.password)
    click.echo(f"This is the password of {made.label!r} for {made.account}. It is not shown again.", err=True)


@app_password.command("list", epilog="Example: posthouse account app-password list web@example.com")
@click.argument("name")
@json_option
@directory_option
@click.pass_context
def list_app_passwords(ctx: click.Context, /, directory: Path, as_json: bool, name: str) -> None:
    """List the devices of an account."""
    found = ask(desk_of(ctx, directory), ACCOUNT_LIST, Nothing())
    devices = [known for view in found.accounts if view.name.lower() == name.lower() for known in view.app_passwords]
    if as_json:
        print_json(devices)
        return
    rows = [
        Row(
            (known.label, show_time(known.created_at), show_time(known.last_used_at) if known.last_used_at else "never")
        )
        for known in devices
    ]
    if rows:
        print_table(("LABEL", "CREATED", "LAST USED"), rows, flexible=0)
    else:
        click.echo(f"{name} has no app passwords.")


@app_password.command(
    "revoke", epilog='Example: posthouse account app-password revoke web@example.com "printer 2nd floor"'
)
@click.argument("name")
@click.argument("label")
@yes_option
@directory_option
@click.pass_context
def revoke_app_password(ctx: click.Context, /, directory: Path, yes: bool, name: str, label: str) -> None:
    """Revoke the password of one device."""
    desk = desk_of(ctx, directory)
    confirm(f"Revoke the password of {label!r}?", yes=yes)
    ask(desk, APP_PASSWORD_REVOKE, DevicePassword(account=name, label=label))
    click.echo(f"The password of {label!r} is revoked.")


def _report(view: AccountView, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        click.echo(sentence)
