"""What a notice says to people: what happened, why, what to do, and the facts that an administrator asks for.

Source: RFC 3463 3 (meaning of status codes); the order of the sections follows the notices of Exchange Online.
Shape: `describe` turns a `Report` into blocks. `explain` looks up cause and advice by the enhanced status code without
its class: subject and detail first, then the subject alone.
Failures: none; an unknown code is explained in general terms, and the server's own words always stand beside it.
Leaves to others: what Microsoft 365 means by its own texts (``microsoft``), rendering (``wire.notice_text``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from posthouse.wire.dsn import Action, RecipientReport, Report, trim_reply
from posthouse.wire.header import HeaderIndex
from posthouse.wire.notice_text import Block, Facts, Heading, Paragraph, Table, Title, Verbatim, clean
from posthouse.wire.received import Hop, hops

MAX_SHOWN_RECIPIENTS = 50
"""Recipients told of in words; the part for programs names all."""
MAX_SHOWN_HEADER_LINES = 60
_MAX_SAID = 600
_EXPIRED = ".4.7"
_MAX_HEADER_LINE = 300

_MAILBOX_ADVICE = "Check the address for typing errors, then send the message again."
_POLICY_ADVICE = "Ask the administrator of your mail system, and show this message."
_RECIPIENT_ADVICE = "Reach the recipient in another way, so that their administrator can correct this."
_EXPLANATIONS: dict[str, tuple[str, str]] = {
    "1.1": ("The address does not exist.", _MAILBOX_ADVICE),
    "1.10": ("The address does not exist.", _MAILBOX_ADVICE),
    "1.2": ("The domain of the address does not exist or takes no mail.", _MAILBOX_ADVICE),
    "1.3": ("The address is not written correctly.", _MAILBOX_ADVICE),
    "1.6": ("The mailbox has moved, and no new address is known.", "Ask the recipient for the new address."),
    "1.7": ("The sender address is not written correctly.", _POLICY_ADVICE),
    "1.8": ("The sender address is not accepted.", _POLICY_ADVICE),
    "2.1": ("The mailbox is disabled and takes no mail.", _RECIPIENT_ADVICE),
    "2.2": ("The mailbox is full.", "Wait until the recipient has made room, then send the message again."),
    "2.3": ("The message is too large for this recipient.", "Make the message smaller, or share the file by a link."),
    "2.252": ("The sender may not send in the name that stands in From.", _POLICY_ADVICE),
    "3.4": ("The message is too large for the mail system.", "Make the message smaller, or share the file by a link."),
    "4.1": ("The mail server of the recipient gave no answer or refused the recipient.", _RECIPIENT_ADVICE),
    "4.4": ("No way to the recipient's domain is known.", _MAILBOX_ADVICE),
    "4.6": ("The message went round in a circle between mail servers.", _POLICY_ADVICE),
    "4.7": ("The message could not be handed on before its time was over.", "Send the message again later."),
    "4.14": ("The message went round in a circle between mail servers.", _POLICY_ADVICE),
    "4.300": ("The message could not be handed on before its time was over.", "Send the message again later."),
    "6.3": ("The message needs a form that the receiving server cannot take.", "Send the message in a simpler form."),
    "6.7": ("The receiving server takes no addresses outside ASCII.", "Use another address of the recipient."),
    "7.1": ("The receiving side does not permit this message.", _POLICY_ADVICE),
    "7.26": ("The receiving side could not confirm that the message comes from its sender.", _POLICY_ADVICE),
    "7.57": ("The mail system is not signed in at the next server.", _POLICY_ADVICE),
    "7.60": ("The sender may not send in the name that stands in From.", _POLICY_ADVICE),
    "1": ("The address was not accepted.", _MAILBOX_ADVICE),
    "2": ("The mailbox cannot take the message.", _RECIPIENT_ADVICE),
    "3": ("The receiving mail system cannot take the message.", _RECIPIENT_ADVICE),
    "4": ("The way to the receiving mail system is disturbed.", "Send the message again later."),
    "5": ("The mail servers did not understand each other.", _POLICY_ADVICE),
    "6": ("The content of the message was not accepted.", "Change the message, or send it in a simpler form."),
    "7": ("The message was refused for reasons of security or policy.", _POLICY_ADVICE),
}
_UNKNOWN = ("The receiving side did not take the message.", _POLICY_ADVICE)


def explain(status: str) -> tuple[str, str]:
    """Cause and advice for an enhanced status code of any class (``5.1.1``, ``4.4.7``)."""
    _, _, rest = status.partition(".")
    return _EXPLANATIONS.get(rest) or _EXPLANATIONS.get(rest.partition(".")[0]) or _UNKNOWN


def describe(report: Report) -> tuple[Block, ...]:
    """All that people read in a notice."""
    blocks: list[Block] = [Title(_title(report))]
    if report.action is Action.DELAYED:
        blocks.append(Paragraph("You need not do anything. The message waits and is tried again by itself."))
    elif report.action is Action.RELAYED:
        blocks.append(
            Paragraph("It was handed to a server that gives no further confirmations, so no other notice may follow.")
        )
    shown = report.recipients[:MAX_SHOWN_RECIPIENTS]
    for each in shown:
        blocks += _about_recipient(report, each)
    left = len(report.recipients) - len(shown)
    if left:
        blocks.append(
            Paragraph(f"The same holds for {left} further recipients; the attached report names all of them.")
        )
    blocks += _about_message(report)
    return tuple(blocks)


def _title(report: Report) -> str:
    count = len(report.recipients)
    who = str(report.recipients[0].recipient.address) if count == 1 else f"{count} recipients"
    match report.action:
        case Action.FAILED:
            return f"Your message to {who} could not be delivered."
        case Action.DELAYED:
            return f"Your message to {who} has not been delivered yet."
        case Action.DELIVERED:
            return f"Your message to {who} was delivered."
        case Action.RELAYED:
            return f"Your message to {who} was handed on."


def _about_recipient(report: Report, each: RecipientReport) -> Iterator[Block]:
    yield Heading(str(each.recipient.address))
    if each.action is Action.FAILED:
        yield from _why(each)
    pairs = [("Status", each.shown_status)]
    if each.reason:
        pairs.append(("Reason", clean(each.reason, _MAX_SAID)))
    if each.remote:
        pairs.append(("Remote server", each.remote))
    if each.said:
        pairs.append(("It said", clean(trim_reply(each.said), _MAX_SAID)))
    if each.retry_until is not None:
        pairs.append(("Tried until", _show_time(each.retry_until)))
    yield Facts(tuple(pairs))


def _why(each: RecipientReport) -> Iterator[Block]:
    """Known words of a server are explained; otherwise the status code says what it can."""
    cause, advice = explain(each.shown_status)
    if not each.meaning:
        yield Paragraph(cause)
        yield Paragraph(f"What you can do: {advice}")
        return
    if each.shown_status.endswith(_EXPIRED):
        yield Paragraph(f"{cause} The last answer explains why.")
    yield Paragraph(f"What this means: {clean(each.meaning, _MAX_SAID)}")
    yield Paragraph(f"Who can help: {clean(each.who_can_help, _MAX_SAID)}")


def _about_message(report: Report) -> Iterator[Block]:
    original = report.original
    yield Heading("Your message")
    yield Facts(
        (
            ("Subject", original.subject or "(none)"),
            ("Accepted", _show_time(original.received_at)),
            ("Sender", str(original.sender)),
            ("Size", f"{original.size_octets:,} octets"),
            ("Message-ID", original.message_id or "(none)"),
        )
    )
    yield Heading("For administrators")
    yield Facts((("Reported by", f"{report.hostname} (Posthouse)"), ("Trace", original.shown_id)))
    index = HeaderIndex.scan(original.data)
    path = hops(index)
    if path:
        yield Heading("Path of the message")
        yield Table(
            ("Hop", "Time (UTC)", "From", "To", "With", "Delay"),
            tuple(_hop_row(number, hop) for number, hop in enumerate(path, 1)),
        )
    if index.end > index.start:
        yield Heading("Header of the message")
        yield Verbatim(_header_lines(index))


def _header_lines(index: HeaderIndex) -> tuple[str, ...]:
    octets = index.data[index.start : index.end]
    lines = [
        clean(line[: _MAX_HEADER_LINE * 4].decode("utf-8", "replace").rstrip(), _MAX_HEADER_LINE)
        for line in octets.split(b"\n", MAX_SHOWN_HEADER_LINES)
    ]
    if len(lines) > MAX_SHOWN_HEADER_LINES:
        lines[-1] = "(more lines follow in the attached original)"
    return tuple(line for line in lines if line)


def _hop_row(number: int, hop: Hop) -> tuple[str, ...]:
    return (
        str(number),
        _show_time(hop.at) if hop.at is not None else "",
        hop.from_host or hop.from_ip,
        hop.by_host,
        hop.protocol,
        show_delay(hop.delay),
    )


def show_delay(delay: timedelta | None) -> str:
    """``3 s``, ``2 min``; ``*`` where it cannot be told."""
    if delay is None or delay < timedelta(0):
        return "*"
    seconds = round(delay.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def _show_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
