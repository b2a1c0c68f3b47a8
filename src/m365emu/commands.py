"""The commands that talk to a running emulator, and those that only show.

Purpose: orders from a shell. Shape: thin clients of the control over HTTP; where it listens stands in `endpoints.json`
of the directory, or is given by `--url`. Failures: one line on the standard error, exit code 1; `expect` also gives 1
when the expectations are not met. Leaves to others: everything that is done.
"""

import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import click
import msgspec

from m365emu.endpoints import read_endpoints
from m365emu.faults import Stage
from m365emu.fidelity import FLAGS, as_markdown, read_fidelity
from m365emu.scenario import read_duration, scenario_names, scenario_title

_Command = TypeVar("_Command", bound=Callable[..., Any])
_WAIT_SECONDS = 20.0


class Unreachable(Exception):
    """The emulator does not answer, or refuses; the text says why."""


def give_up(error: object) -> NoReturn:
    """Say what is in the way, and end with 1."""
    click.echo(f"m365emu: {error}", err=True)
    raise SystemExit(1)


def directory_option() -> Callable[[_Command], _Command]:
    """Return the option `--dir`."""
    return click.option(
        "--dir",
        "directory",
        default=Path("emulator"),
        show_default=True,
        envvar="M365EMU_DIR",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where everything is kept.",
    )


def _remote(command: _Command) -> _Command:
    """Add what says which emulator is meant."""
    url = click.option("--url", default="", envvar="M365EMU_URL", help="The inbox's address, instead of --dir.")
    return directory_option()(url(command))


def call(directory: Path, url: str, method: str, path: str, body: object = None) -> Any:
    """Ask the running emulator.

    Raises:
        Unreachable: it cannot be reached, or it refuses.
    """
    try:
        base = url or read_endpoints(directory)["inbox"]
    except (OSError, ValueError, KeyError) as error:
        raise Unreachable(
            f"{directory}: no running emulator is known there; start it: m365emu run --dir {directory}"
        ) from error
    data = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(
        base.rstrip("/") + path, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        raise Unreachable(_said(error.read())) from error
    except (OSError, ValueError) as error:
        raise Unreachable(f"{base} does not answer: {error}") from error


def _said(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _ask(directory: Path, url: str, method: str, path: str, body: object = None) -> Any:
    try:
        return call(directory, url, method, path, body)
    except Unreachable as error:
        give_up(error)


def _show(document: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


@click.command()
@_remote
@click.option("--wait", type=float, default=_WAIT_SECONDS, show_default=True, help="Seconds to wait until it answers.")
def env(directory: Path, url: str, wait: float) -> None:
    """Print the addresses as shell variables, once the emulator answers: eval "$(m365emu env)"."""
    end = time.monotonic() + wait
    while True:
        try:
            call(directory, url, "GET", "/api/clock")
            endpoints = read_endpoints(directory)
            break
        except (Unreachable, OSError, ValueError) as error:
            if time.monotonic() >= end:
                give_up(error)
            time.sleep(0.1)
    for name, value in endpoints.items():
        click.echo(f"export M365_{re.sub('[^A-Z0-9]', '_', name.upper())}={shlex.quote(value)}")


@click.command()
@_remote
def reset(directory: Path, url: str) -> None:
    """Remove all mail, faults and counts; the tenant and the clock stay."""
    done = _ask(directory, url, "POST", "/api/control", {"action": "reset"})
    click.echo(f"m365emu: {done['removed']} messages removed")


@click.group()
def tenant() -> None:
    """Show or change the tenant of a running emulator."""


@tenant.command("show")
@_remote
def tenant_show(directory: Path, url: str) -> None:
    """Print the whole tenant as JSON, secrets hidden."""
    _show(_ask(directory, url, "GET", "/api/tenant"))


@tenant.command("patch")
@_remote
@click.argument("patch")
def tenant_patch(directory: Path, url: str, patch: str) -> None:
    """Lay a JSON merge patch over the tenant, for example '{"switches": {"security_defaults": true}}'."""
    _ask(directory, url, "PATCH", "/api/tenant", _json(patch))
    click.echo("m365emu: changed until the emulator ends")


@tenant.command("import")
@_remote
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def tenant_import(directory: Path, url: str, file: Path) -> None:
    """Put a whole tenant from a JSON file in place; where it says (hidden), the present secret stays."""
    _ask(directory, url, "PUT", "/api/tenant", _json(file.read_text(encoding="utf-8")))
    click.echo("m365emu: replaced until the emulator ends")


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        give_up(f"not valid JSON: {error}")


@click.group()
def clock() -> None:
    """Show or move the clock of a running emulator."""


@clock.command("show")
@_remote
def clock_show(directory: Path, url: str) -> None:
    """Print the present moment."""
    click.echo(_ask(directory, url, "GET", "/api/clock")["now"])


@clock.command("advance")
@_remote
@click.argument("duration")
def clock_advance(directory: Path, url: str, duration: str) -> None:
    """Move ahead, for example 90s, 5m, 3h or "1d 12h"."""
    try:
        seconds = read_duration(duration).total_seconds()
    except ValueError as error:
        give_up(error)
    click.echo(_ask(directory, url, "POST", "/api/control", {"action": "advance", "seconds": seconds})["now"])


@clock.command("set")
@_remote
@click.argument("moment")
def clock_set(directory: Path, url: str, moment: str) -> None:
    """Move ahead to a moment, for example 2030-01-31T12:00:00Z."""
    click.echo(_ask(directory, url, "POST", "/api/control", {"action": "set-clock", "at": moment})["now"])


@clock.command("speed")
@_remote
@click.argument("factor", type=float)
def clock_speed(directory: Path, url: str, factor: float) -> None:
    """Let time run so many times faster than the machine's."""
    click.echo(_ask(directory, url, "POST", "/api/control", {"action": "run-clock", "speed": factor})["now"])


@click.command()
@_remote
@click.argument("stage", type=click.Choice((*get_args(Stage), "clear")), metavar="STAGE")
@click.option("--reply", help='What is said, for example "451 4.7.0 Try again"; without it the connection is cut.')
@click.option("--count", type=int, default=1, show_default=True, help="How many times.")
@click.option("--skip", type=int, default=0, help="How many pass unharmed first.")
@click.option("--mailbox", help="Only for this mailbox.")
@click.option("--keep", is_flag=True, help="Take the message first.")
def fault(
    directory: Path, url: str, stage: str, reply: str | None, count: int, skip: int, mailbox: str | None, keep: bool
) -> None:
    """Order a fault at a STAGE (mail, end-of-data, token, graph-send ...); the stage `clear` calls all off."""
    order: dict[str, object] = {"action": "fault", "stage": stage, "count": count, "skip": skip, "keep": keep}
    order |= {"reply": reply, "mailbox": mailbox}
    _ask(directory, url, "POST", "/api/control", {"action": "clear-faults"} if stage == "clear" else order)
    click.echo("m365emu: done")


@click.command()
@_remote
@click.argument("order", required=False)
def order(directory: Path, url: str, order: str | None) -> None:
    """Give any order as JSON; without one, list them all."""
    if order is not None:
        _show(_ask(directory, url, "POST", "/api/control", _json(order)))
        return
    for known in _ask(directory, url, "GET", "/api/control")["orders"]:
        click.echo(f"{known['action']}: {known['does']}")
        for name in known["fields"]:
            click.echo(f"    {name}{' (needed)' if name in known['required'] else ''}")


@click.command()
def scenarios() -> None:
    """List the scenarios that come with the emulator."""
    width = max(map(len, scenario_names()))
    for name in scenario_names():
        click.echo(f"{name:<{width}}  {scenario_title(name)}")


@click.command()
@_remote
@click.option("--scenario", default="", help="Another scenario than the one that is played.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def expect(directory: Path, url: str, scenario: str, as_json: bool) -> None:
    """Compare what is there with what the scenario expects; exit code 1 when it is not met."""
    found = _ask(directory, url, "GET", f"/api/scenario?name={scenario}" if scenario else "/api/scenario")
    if as_json:
        _show(found)
    else:
        width = max((len(finding["what"]) for finding in found["findings"]), default=0)
        for finding in found["findings"]:
            word = "met" if finding["met"] else "NOT MET"
            click.echo(
                f"{finding['what']:<{width}}  expected {finding['expected']:<14} found {finding['found']}  {word}"
            )
    raise SystemExit(0 if found["met"] else 1)


@click.command()
@click.option("--markdown", is_flag=True, help="Print the page of the documentation.")
def fidelity(markdown: bool) -> None:
    """Say fact by fact what is certain and what is not."""
    known = read_fidelity()
    if markdown:
        click.echo(as_markdown(known), nl=False)
        return
    for fact in known.facts:
        switch = f" [{fact.switch}]" if fact.switch else ""
        click.echo(f"{FLAGS[fact.flag]:<17} {fact.topic}: {fact.what}{switch}")
    for line in known.absent:
        click.echo(f"{'not emulated':<17} {line}")


COMMANDS: tuple[click.Command, ...] = (env, reset, tenant, clock, fault, order, scenarios, expect, fidelity)
