"""``posthouse send``: the sendmail command of this machine.

Source: sendmail(8) as Postfix and Exim keep it; exit code 75 (EX_TEMPFAIL) when the message cannot be kept just now.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from posthouse.operate.cli.failure import TRY_AGAIN, CommandFailed, settled
from posthouse.operate.cli.options import desk_of, directory_option, json_option
from posthouse.operate.cli.output import print_json
from posthouse.operate.problem import ConfigurationRefused

_IGNORED = ("-B", "-e", "-N", "-O", "-R", "-V")


@click.command(epilog='Example: echo "Subject: test" | posthouse send -f me@example.com bob@example.com')
@click.argument("recipients", nargs=-1, metavar="[RECIPIENT]...")
@click.option("-f", "-r", "sender", metavar="ADDRESS", help="Envelope sender; default is your login name.")
@click.option("-F", "full_name", metavar="NAME", default="", help="Your name, where the message has no From.")
@click.option("-t", "from_header", is_flag=True, help="Also take recipients from To, Cc and Bcc; Bcc is removed.")
@click.option("-i", "ignore_dots", is_flag=True, help="A line with a single dot does not end the message.")
@click.option("-o", "options", multiple=True, metavar="OPTION", help="-oi is the same as -i; others are ignored.")
@click.option("-b", "mode", metavar="MODE", default="m", help="Only -bm: read a message from standard input.")
@click.option(*_IGNORED, "ignored", multiple=True, hidden=True)
@click.option("-m", "-v", "flags", is_flag=True, hidden=True)
@json_option
@directory_option
@click.pass_context
def send(
    ctx: click.Context,
    /,
    directory: Path,
    as_json: bool,
    recipients: tuple[str, ...],
    sender: str | None,
    full_name: str,
    from_header: bool,
    ignore_dots: bool,
    options: tuple[str, ...],
    mode: str,
    ignored: tuple[str, ...],
    flags: bool,
) -> None:
    """Hand in a message from standard input, like sendmail.

    The node takes it at once; while no node runs, it waits in the store.
    """
    from posthouse.operate.desk import local_domain, login_name
    from posthouse.operate.sendmail import Unaddressed, address_message, read_message
    from posthouse.operate.shapes import SubmissionEnvelope

    if mode != "m":
        raise click.UsageError(f"-b{mode} is not available; only -bm is. The queue is shown by `posthouse queue list`.")
    domain = local_domain(directory)
    message = address_message(
        read_message(sys.stdin.buffer.read(), dot_ends=not (ignore_dots or "i" in options)),
        arguments=recipients,
        sender=login_name() if sender is None else sender,
        full_name=full_name,
        from_header=from_header,
        domain=domain,
    )
    if isinstance(message, Unaddressed):
        raise CommandFailed(message.reason)
    try:
        desk = desk_of(ctx, directory)
    except ConfigurationRefused as error:
        # The message is not at fault: whoever called may keep it and try again.
        details = [str(problem) for problem in error.errors]
        raise CommandFailed("the configuration cannot be used", details=details, code=TRY_AGAIN) from error
    envelope = SubmissionEnvelope(sender=message.sender, recipients=message.recipients)
    taken = settled(desk.submit(envelope, message.content))
    if as_json:
        print_json(taken)
