"""The command `m365emu`.

Purpose: prepare a directory and run the emulator in it. Shape: `init` and `run`, exit code 0 done, 1 something in
the way (and why, on one line), 2 used wrong. `run` prints one line that begins with `m365emu ready` and then
serves until SIGTERM or SIGINT.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from m365emu.clock import SystemClock
from m365emu.emulator import Emulator, prepare
from m365emu.tenant import TenantError
from m365emu.tenant_file import read_tenant


class _Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT, with square brackets around an IPv6 address."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        host, colon, port = str(value).rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65_535:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


_DIR = click.option(
    "--dir",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept.",
)


@click.group()
@click.version_option(package_name="posthouse", prog_name="m365emu")
def main() -> None:
    """An offline Microsoft 365: submission host, token endpoint and inbox on this machine."""


@main.command()
@_DIR
def init(directory: Path) -> None:
    """Write certificates and a first tenant.toml, and end."""
    try:
        prepare(directory, SystemClock())
        read_tenant(directory / "tenant.toml")
    except (OSError, TenantError, ValueError) as error:
        _give_up(error)
    click.echo(f"m365emu: {directory} is ready; passwords and the client secret are in tenant.toml")


@main.command()
@_DIR
@click.option("--submission", type=_Address(), default="127.0.0.1:2587", show_default=True, help="SMTP.")
@click.option("--https", type=_Address(), default="127.0.0.1:2443", show_default=True, help="Token endpoint.")
@click.option("--http", type=_Address(), default="127.0.0.1:2580", show_default=True, help="Inbox.")
def run(directory: Path, submission: tuple[str, int], https: tuple[str, int], http: tuple[str, int]) -> None:
    """Run until SIGTERM or SIGINT; on the first start, write what `init` writes."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="m365emu: %(message)s")
    try:
        emulator = Emulator(directory, submission=submission, https=https, http=http)
        asyncio.run(_run(emulator))
    except (OSError, TenantError, ValueError) as error:
        _give_up(error)


async def _run(emulator: Emulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with emulator:
        click.echo(emulator.ready_line())
        await stop.wait()


def _give_up(error: Exception) -> None:
    click.echo(f"m365emu: {error}", err=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
