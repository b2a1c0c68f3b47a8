"""The root command: finds subcommands when they are needed and words every expected failure.

Shape: `LazyGroup` knows names, modules and one line of help; `main` runs the program.
Failures: expected ones become one sentence and an exit code, never a traceback.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from posthouse.operate.cli.failure import FOUND_WRONG, TRY_AGAIN, CommandFailed
from posthouse.operate.problem import ConfigurationRefused, DeskClosed

if TYPE_CHECKING:
    from posthouse.operate.port import Installation

_COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("setup:init", "Write posthouse.toml and flow.toml."),
    "check": ("check:check", "Find everything that is wrong with the configuration."),
    "run": ("node:run", "Run the node in the foreground."),
    "status": ("node:status", "Show what the running node is doing."),
    "reload": ("node:reload", "Make the running node read its configuration again."),
    "send": ("send:send", "Hand in a message, like sendmail."),
    "queue": ("queue:queue", "See and steer waiting mail."),
    "trace": ("trace:trace", "Find out what happened to a message."),
    "explain": ("explain:explain", "Say what a reply of Microsoft 365 means."),
    "account": ("account:account", "Manage accounts and app passwords."),
    "identity": ("identity:identity", "See and steer identities: sign-ins, tokens, certificates."),
    "secret": ("secret:secret", 'Keep secrets for "secret:NAME" references.'),
    "flow": ("flow:flow", "Show and change the mail flow."),
    "metrics": ("metrics:metrics", "Print metrics for Prometheus."),
    "config": ("reference:config", "Describe the configuration files."),
    "completion": ("completion:completion", "Print a shell completion script."),
}

EPILOG = """\b
Start here:
  posthouse init --upstream smtp://mail.example.com:25 --allow 192.168.1.0/24
  posthouse check
  posthouse run

Every command takes --dir (default: $POSTHOUSE_DIR, ./posthouse, /etc/posthouse).
Exit codes: 0 done, 1 found wrong, 2 used wrong, 75 try again.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which people need them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        found = _COMMANDS.get(cmd_name)
        if found is None:
            return None
        module, _, name = found[0].partition(":")
        command = getattr(importlib.import_module(f"posthouse.operate.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a typing mistake, name the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], list(_COMMANDS), n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for ``--help``, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; expected failures become sentences."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - sorted by type below; what is not expected is raised again
            _explain(error)


def _explain(error: Exception) -> NoReturn:
    from posthouse.store.port import StoreUnavailable

    match error:
        case ConfigurationRefused():
            raise _refused_configuration(error) from error
        case DeskClosed():
            raise CommandFailed(str(error), code=TRY_AGAIN if error.temporary else FOUND_WRONG) from error
        case StoreUnavailable():
            raise CommandFailed(f"the store cannot be used: {error}", code=TRY_AGAIN) from error
        case PermissionError():
            hint = "run the command as the node's user or as root"
            raise CommandFailed(f"{error.filename or ''}: permission denied", hint=hint) from error
        case _:
            raise error


def _refused_configuration(error: ConfigurationRefused) -> CommandFailed:
    errors = [str(problem) for problem in error.errors]
    count = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
    return CommandFailed(f"the configuration cannot be used ({count})", details=errors)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"posthouse {version('posthouse')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    no_args_is_help=True,
)
@click.option("--dir", "directory", metavar="D", help="Directory of the configuration.", expose_value=False,
              callback=lambda ctx, param, value: ctx.meta.__setitem__("posthouse.dir", value))  # fmt: skip
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version,
              help="Show the version and exit.")  # fmt: skip
def posthouse() -> None:
    """The mail relay for Microsoft 365: takes plain SMTP in, keeps it safe, hands it on."""


def main(installation: Installation) -> None:
    """Run the program that the user typed; never returns."""
    posthouse(obj=installation, prog_name="posthouse")
