"""Options that many commands share, and how they read times and directories."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from posthouse.operate.names import NODE_FILE

if TYPE_CHECKING:
    from posthouse.operate.desk import Desk
    from posthouse.operate.port import Installation

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

DIRECTORY_HELP = "Directory of the configuration."

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def find_directory(given: str | None) -> Path:
    """The directory that a command works on: given, $POSTHOUSE_DIR, ./posthouse, /etc/posthouse."""
    if given:
        return Path(given)
    if named := os.environ.get("POSTHOUSE_DIR"):
        return Path(named)
    local, system = Path("posthouse"), Path("/etc/posthouse")
    return system if (system / NODE_FILE).exists() and not (local / NODE_FILE).exists() else local


def directory_option(function: FunctionT) -> FunctionT:
    """``--dir D``, handed to the command as `directory`."""

    def choose(ctx: click.Context, param: click.Parameter, value: str | None) -> Path:
        return find_directory(value or ctx.meta.get("posthouse.dir"))

    kind = click.Path(file_okay=False, readable=False)
    return click.option("--dir", "directory", metavar="D", type=kind, callback=choose, help=DIRECTORY_HELP)(function)


def json_option(function: FunctionT) -> FunctionT:
    """``--json``, handed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def yes_option(function: FunctionT) -> FunctionT:
    """``--yes``, handed to the command as `yes`."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def installation_of(ctx: click.Context) -> Installation:
    """What the program was started with."""
    return cast("Installation", ctx.find_root().obj)


def desk_of(ctx: click.Context, directory: Path) -> Desk:
    """The running node of a directory, or its store."""
    from posthouse.operate.desk import open_desk

    return open_desk(installation_of(ctx), directory)


class Moment(click.ParamType[datetime]):
    """A time: back from now (``2h``, ``30m``, ``7d``), or ISO 8601 (UTC where no zone is given)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        if text[-1:] in _UNITS and text[:-1].isdigit():
            try:
                return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
            except OverflowError:
                self.fail(f"{text!r} is too long ago", param, ctx)
        try:
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f'{text!r} is no time: expected "2h", "7d", "2026-01-31" or "2026-01-31T14:00"', param, ctx)


MOMENT = Moment()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that is hard to undo; without a terminal, ``--yes`` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Without a terminal this needs --yes.")
    click.confirm(question, abort=True, err=True)
