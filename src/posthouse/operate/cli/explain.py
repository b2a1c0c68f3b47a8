"""``posthouse explain``: what a reply of Microsoft 365 means, and who must do what."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.operate.cli.failure import CommandFailed
from posthouse.operate.cli.options import json_option
from posthouse.operate.cli.output import Row, print_json, print_table, printable, wrapped

if TYPE_CHECKING:
    from posthouse.operate.explanation_shapes import ReplyExplanation, ReplyFinding

MAX_OCTETS = 5_000_000
UNKNOWN = 1
_NAME_OF_FILE = re.compile(r"\S+\.(?:eml|msg|txt|log)|\.{0,2}/\S*")


@click.command(epilog='Example: posthouse explain "535 5.7.3 Authentication unsuccessful"')
@click.argument("words", nargs=-1, metavar="TEXT|FILE|-")
@click.option("--list", "as_list", is_flag=True, help="List everything that is known.")
@click.option("--markdown", is_flag=True, help="With --list: the whole catalogue as a page.")
@json_option
@click.pass_context
def explain(ctx: click.Context, /, words: tuple[str, ...], as_list: bool, markdown: bool, as_json: bool) -> None:
    """Explain a reply, an AADSTS or Graph error, a notice, or a log excerpt.

    TEXT is taken as it stands; it may be an ID of the list. A FILE may be a
    saved notice (.eml) or a log; "-" reads standard input. Ends with 0 if something was explained, else 1.
    """
    if as_list or markdown:
        _print_catalogue(as_json, markdown)
        return
    if not words:
        raise click.UsageError('Give a text, a file, or "-".')
    from posthouse.operate.explanation import explain as read
    from posthouse.operate.explanation import explain_entry

    found = explain_entry(" ".join(words)) or read(_input(words))
    if as_json:
        print_json(found)
    else:
        _print_findings(found.findings)
    if not found.is_known:
        ctx.exit(UNKNOWN)


def _input(words: tuple[str, ...]) -> bytes:
    if words == ("-",):
        return sys.stdin.buffer.read(MAX_OCTETS)
    text = " ".join(words)
    if len(words) == 1 and _is_file(text):
        with Path(text).open("rb") as file:
            return file.read(MAX_OCTETS)
    if len(words) == 1 and _NAME_OF_FILE.fullmatch(text):
        raise CommandFailed(f"there is no file {printable(text)}")
    return text.encode("utf-8", "surrogateescape")[:MAX_OCTETS]


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _print_findings(findings: tuple[ReplyFinding, ...]) -> None:
    if not findings:
        click.echo("Nothing in this text has the form of a reply that is known.")
        return
    for number, finding in enumerate(findings):
        if number:
            click.echo()
        if finding.explanation is None:
            _print_unknown(finding)
        else:
            _print_known(finding, finding.explanation)


def _print_unknown(finding: ReplyFinding) -> None:
    is_success = finding.general.startswith("success")
    click.secho("No refusal" if is_success else "Not known", bold=True)
    _print_said(finding)
    if finding.general:
        _paragraph(f"In general such codes mean: {finding.general} (RFC 3463).")
    if not is_success:
        _paragraph("It is no reply of Microsoft 365 that Posthouse knows, so it says no more than that.")


def _print_known(finding: ReplyFinding, known: ReplyExplanation) -> None:
    click.secho(printable(known.title), bold=True)
    _print_said(finding)
    _paragraph(known.meaning)
    if known.cause:
        _paragraph(f"Cause: {known.cause}")
    _paragraph(f"Who must act: {known.who_in_words}.")
    if known.remedy:
        _paragraph(f"What to do: {known.remedy}")
    if known.portal:
        _paragraph(f"Where: {known.portal}")
    for command in known.powershell:
        click.echo(f"    {printable(command)}")
    _paragraph(f"Posthouse {known.relay}")
    _paragraph(f"How sure: {known.evidence_in_words}. Source: {known.source}.")


def _print_said(finding: ReplyFinding) -> None:
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    whom = f"{finding.recipient}: " if finding.recipient else ""
    _paragraph(f"{whom}{finding.said}{times}")


def _paragraph(text: str) -> None:
    for line in wrapped(text, indent=2):
        click.echo(line)


def _print_catalogue(as_json: bool, markdown: bool) -> None:
    from posthouse.microsoft.replies import catalogue
    from posthouse.operate.explanation import describe_entry
    from posthouse.operate.explanation_page import catalogue_page

    if markdown:
        click.echo(catalogue_page(), nl=False)
    elif as_json:
        print_json([describe_entry(entry) for entry in catalogue()])
    else:
        rows = [Row((entry.id, entry.who.value, entry.title)) for entry in catalogue()]
        print_table(("ID", "WHO MUST ACT", "MEANING"), rows, flexible=2)
