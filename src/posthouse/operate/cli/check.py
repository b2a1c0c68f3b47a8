"""``posthouse check``: everything that is wrong, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from posthouse.decide.flow import Flow
from posthouse.deliver.secrets import Lookup
from posthouse.operate.cli.failure import FOUND_WRONG
from posthouse.operate.cli.options import directory_option, installation_of, json_option
from posthouse.operate.cli.output import print_json
from posthouse.operate.configuration import Configuration
from posthouse.operate.names import NODE_FILE
from posthouse.operate.port import Installation, NodeStatus
from posthouse.operate.problem import ConfigurationRefused, Problem
from posthouse.store.port import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. Notes are facts that are neither right nor wrong."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    notes: tuple[str, ...]


@click.command(epilog="Example: posthouse check --online")
@click.option("--online", is_flag=True, help="Also connect to the hosts that mail goes to.")
@json_option
@directory_option
@click.pass_context
def check(ctx: click.Context, /, directory: Path, as_json: bool, online: bool) -> None:
    """Find everything that is wrong with the configuration, without changing anything that runs.

    Looks at both files, ports, certificates, secrets and the store, and refuses an open relay.
    """
    installation = installation_of(ctx)
    try:
        configuration = installation.load(directory)
    except ConfigurationRefused as refused:
        report = Report(refused.errors, refused.warnings, ())
    else:
        report = _look(installation, configuration, online=online)
    if as_json:
        print_json({"ok": not report.errors, **asdict(report)})
    else:
        _print(report, directory)
    if report.errors:
        ctx.exit(FOUND_WRONG)


def _look(installation: Installation, configuration: Configuration, *, online: bool) -> Report:
    from posthouse.operate import checks

    found: list[Problem] = [*configuration.warnings]
    notes: list[str] = []
    status = _status(configuration.directory)
    if status is None:
        found += checks.listener_problems(configuration.node)
        found += _store_problems(installation, configuration)
    else:
        notes.append(f"the node runs (process {status.pid}); its ports and its store are in use by it:")
        notes += [f"  {known.address} in use by the running node, listener {known.name}" for known in status.listeners]
        found += asyncio.run(_credentials(configuration.flow, None))
    found += checks.certificate_problems(configuration)
    found += checks.authority_problems(configuration.flow)
    found += checks.exposed_files(configuration)
    if online:
        found += asyncio.run(checks.upstream_problems(configuration.flow))
    return Report(
        tuple(problem for problem in found if problem.severity == "error"),
        tuple(problem for problem in found if problem.severity == "warning"),
        tuple(notes),
    )


def _status(directory: Path) -> NodeStatus | None:
    from posthouse.operate.desk import NodeDesk, node_client
    from posthouse.operate.operations import NODE_STATUS
    from posthouse.operate.shapes import Nothing, Refusal

    client = node_client(directory)
    if client is None:
        return None
    answer = NodeDesk(client).call(NODE_STATUS, Nothing())
    return None if isinstance(answer, Refusal) else answer


async def _credentials(flow: Flow, lookup: Lookup | None) -> list[Problem]:
    from posthouse.operate import checks

    return [*await checks.secret_problems(flow, lookup), *await checks.identity_problems(flow, lookup)]


def _store_problems(installation: Installation, configuration: Configuration) -> Sequence[Problem]:
    from posthouse.operate import checks
    from posthouse.store.sealing import SealBroken

    unwritable = checks.directory_problem(configuration.node)
    if unwritable is not None:
        return (unwritable, *asyncio.run(_credentials(configuration.flow, None)))

    async def look() -> list[Problem]:
        async with installation.offline(configuration) as parts:

            async def lookup(name: str) -> str | None:
                sealed = await parts.store.secret(name)
                return parts.sealer.open(sealed, f"secret:{name}").decode() if sealed is not None else None

            said = [Problem(message=f"the store: {sentence}") for sentence in await parts.store.check()]
            return said + await _credentials(configuration.flow, lookup)

    try:
        return asyncio.run(look())
    except SealBroken as error:
        return (Problem(message=f"a secret in the store cannot be opened: {error}"),)
    except (StoreUnavailable, OSError) as error:
        return (Problem(file=NODE_FILE, key="store.directory", message=f"the store cannot be opened: {error}"),)


def _print(report: Report, directory: Path) -> None:
    for problem in report.errors:
        click.echo(f"{click.style('error', fg='red', bold=True)}    {problem}")
    for problem in report.warnings:
        click.echo(f"{click.style('warning', fg='yellow', bold=True)}  {problem}")
    for note in report.notes:
        click.echo(note)
    if report.errors:
        count = len(report.errors)
        click.echo(f"{directory}: {count} error{'s' if count > 1 else ''} to mend before mail can flow.")
    else:
        click.echo(f"{directory}: all is well." if not report.warnings else f"{directory}: usable, with warnings.")
