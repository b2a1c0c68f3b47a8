"""The command `m365emu`.

Purpose: prepare a directory and run the emulator in it; the commands that talk to a running one are in `commands`.
Shape: exit code 0 done, 1 something in the way (and why, on one line), 2 used wrong. `run` prints one line that begins
with `m365emu ready` and then serves until SIGTERM or SIGINT. Every option can come from the environment, as
`M365EMU_SUBMISSION` and so on. The servers are imported where they are started: the other commands answer at once.
"""

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from m365emu.clock import OffsetClock, SystemClock
from m365emu.commands import COMMANDS, directory_option, give_up
from m365emu.scenario import ScenarioError, read_scenario
from m365emu.tenant import TenantError
from m365emu.tenant_file import read_tenant, tenant_file

if TYPE_CHECKING:
    from m365emu.emulator import Emulator

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])


class _Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT, with square brackets around an IPv6 address."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65_535:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


@click.group(context_settings={"auto_envvar_prefix": "M365EMU"})
@click.version_option(package_name="posthouse", prog_name="m365emu")
def main() -> None:
    """An offline Microsoft 365: submission host, MX, Entra, Graph and inbox on this machine."""


@main.command()
@directory_option()
def init(directory: Path) -> None:
    """Write certificates and a first tenant.toml, and end."""
    from m365emu.emulator import prepare

    try:
        prepare(directory, SystemClock())
        read_tenant(tenant_file(directory))
    except (OSError, TenantError, ValueError) as error:
        give_up(error)
    click.echo(f"m365emu: {directory} is ready; passwords and the client secret are in {tenant_file(directory).name}")


_MX_PORT = 2526


def _listen(name: str, default: str | None, what: str) -> Callable[[Wrapped], Wrapped]:
    """Return an option that says where something listens."""
    variable = f"M365EMU_{name.upper()}"
    return click.option(
        f"--{name}", type=_Address(), default=default, show_default=bool(default), envvar=variable, help=what
    )


@main.command()
@directory_option()
@_listen("submission", "127.0.0.1:2587", "SMTP submission, as smtp.office365.com.")
@_listen("mx", None, f"SMTP, as the MX. [default: port {_MX_PORT}, or a free one if --submission has port 0]")
@_listen("https", "127.0.0.1:2443", "Entra and Graph.")
@_listen("http", "127.0.0.1:2580", "Inbox and control.")
@click.option("--scenario", default="", envvar="M365EMU_SCENARIO", help="A scenario's name, or a file of your own.")
@click.option("--clock-speed", type=float, default=1.0, show_default=True, help="Time runs so many times faster.")
@click.option("--seed", type=int, default=None, help="Instead of the scenario's own seed, where odds are asked for.")
def run(
    directory: Path,
    submission: tuple[str, int],
    mx: tuple[str, int] | None,
    https: tuple[str, int],
    http: tuple[str, int],
    scenario: str,
    clock_speed: float,
    seed: int | None,
) -> None:
    """Run until SIGTERM or SIGINT; on the first start, write what `init` writes."""
    from m365emu.emulator import Emulator

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="m365emu: %(message)s")
    try:
        emulator = Emulator(
            directory,
            submission=submission,
            mx=mx or (submission[0], _MX_PORT if submission[1] else 0),
            https=https,
            http=http,
            clock=OffsetClock(clock_speed),
            scenario=scenario,
            seed=seed,
        )
        if scenario:
            read_scenario(scenario, emulator.tenant)
        asyncio.run(_run(emulator))
    except (OSError, TenantError, ScenarioError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            hint = "is another emulator running? Port 0 takes a free one: --submission 127.0.0.1:0"
            give_up(f"{error.strerror}; {hint}")
        give_up(error)


async def _run(emulator: "Emulator") -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with emulator:
        click.echo(emulator.ready_line())
        await stop.wait()


for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
