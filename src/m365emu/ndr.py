"""Reports to the sender, of failure and of delay, in the shape that Exchange Online gives them.

Purpose: tell the sender who did not get a message and why. Source: thirteen real reports in a public collection, the
list of non-delivery reports of Exchange Online; RFC 3462 (multipart/report), RFC 3464 (fields; there is no blank after
the semicolon in Exchange's), RFC 3461 4.3 (RET) and 6.2 (only the null sender is right for a report).
Shape: `report` makes the octets of a `Notice`. Everything that came from outside is stripped of line ends before it
stands in a header. Failures: none. Leaves to others: who gets it (`post`), the failures (`categorizer`).
"""

import base64
import html
import quopri
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from m365emu.categorizer import Failed
from m365emu.headers import Head
from m365emu.hosts import FrontEnd
from m365emu.mailbox import Record
from m365emu.parcel import Parcel

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")
_CAUSES = {
    "5.1.10": ("wasn't found", "Unknown To address"),
    "5.4.310": ("has a domain that doesn't exist", "Unknown To address"),
    "5.1.351": ("wasn't found at the other organization", "Recipient"),
    "5.2.2": ("has a mailbox that is full", "Recipient"),
    "5.2.3": ("does not take messages of this size", "Message too large"),
    "5.2.121": ("gets too many messages from you right now", "Recipient"),
    "5.2.122": ("gets too many messages right now", "Recipient"),
    "5.7.134": ("only takes messages from people in its own organization", "Recipient"),
    "5.7.232": ("is outside, and your organization has sent too many messages to the outside today", "Sender"),
    "5.7.233": ("is outside, and your organization has sent too many messages to the outside today", "Sender"),
    "5.7.236": ("is outside, and your organization has sent too many messages to the outside today", "Sender"),
    "5.5.3": ("is one of too many recipients of this message", "Too many recipients"),
}
_OTHER_CAUSE = ("couldn't be reached", "Recipient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a report is about.

    Attributes:
        domain: whose postmaster writes it.
        reporter: the server that gave up.
        received_from: the server that it had the message from.
        sender: who is told.
        failures: at least one.
        original_recipients: ORCPT as the client gave it, by recipient.
        envelope_id: ENVID as the client gave it, or empty.
        head: the original's header; `original`: its octets, or its header's alone.
        message_id: of the original.
        arrived, now: when the original came, and the present moment.
        retry_until: the report is of a delay, and tries go on until then; absent, it is of a failure.
    """

    domain: str
    reporter: str
    received_from: str
    sender: str
    failures: tuple[Failed, ...]
    original_recipients: dict[str, str]
    envelope_id: str
    head: Head
    original: bytes
    message_id: str
    arrived: datetime
    now: datetime
    retry_until: datetime | None = None


def notice(
    parcel: Parcel,
    record: Record,
    failures: tuple[Failed, ...],
    *,
    domain: str,
    now: datetime,
    retry_until: datetime | None = None,
) -> Notice:
    """Collect what a report about a message says; the whole original goes along when it is small and wanted."""
    content, wants_head = parcel.content, parcel.mail_parameters.get("RET", "").upper() == "HDRS"
    whole = content.size == len(content.head) and not wants_head
    original = content.head if whole else content.head[: parcel.head.octets] + b"\r\n\r\n"
    originals = {f.recipient: parcel.parameter(f.recipient, "ORCPT") for f in failures}
    exchanger = FrontEnd(service=parcel.tenant.service, session_id="", role="exchanger")
    return Notice(
        domain=domain,
        reporter=exchanger.greeting_name,
        received_from=parcel.server,
        sender=parcel.sender,
        failures=failures,
        original_recipients={recipient: orcpt for recipient, orcpt in originals.items() if orcpt},
        envelope_id=parcel.mail_parameters.get("ENVID", ""),
        head=parcel.head,
        original=original,
        message_id=record.message_id,
        arrived=record.received,
        now=now,
        retry_until=retry_until,
    )


def report(notice: Notice) -> bytes:
    """Return the whole message."""
    outer, inner = str(uuid.uuid4()), str(uuid.uuid4())
    parts = [
        _alternatives(notice, inner),
        b"Content-Type: message/delivery-status\r\n\r\n" + _status(notice),
        b"Content-Type: message/rfc822\r\n\r\n" + notice.original,
    ]
    head = "".join(f"{line}\r\n" for line in _fields(notice, outer)).encode("utf-8", "replace")
    return head + b"\r\n" + _joined(parts, outer)


def _fields(notice: Notice, boundary: str) -> list[str]:
    topic, message_id = _clean(notice.head.subject), _clean(notice.message_id)
    is_final = notice.retry_until is None
    title = "Undeliverable" if is_final else "Delivery delayed"
    return [
        f"From: Microsoft Outlook <postmaster@{notice.domain}>",
        f"To: <{_clean(notice.sender)}>",
        f"Date: {format_datetime(notice.now)}",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
        *(["X-MS-Exchange-Message-Is-Ndr:"] if is_final else []),
        "Content-Language: en-US",
        f"Message-ID: <{uuid.uuid4()}@{notice.reporter}>",
        f"In-Reply-To: {message_id}",
        f"References: {message_id}",
        f"Thread-Topic: {_encoded(topic)}",
        f"Thread-Index: {base64.b64encode(b'Ac' + uuid.uuid4().bytes + bytes(4)).decode()}",
        f"Subject: {_encoded(f'{title}: {topic}')}",
        "Auto-Submitted: auto-replied",
        "X-MS-PublicTrafficType: Email",
        f"X-MS-TrafficTypeDiagnostic: {notice.reporter.partition('.')[0]}:EE_",
        f"X-MS-Office365-Filtering-Correlation-Id: {uuid.uuid4()}",
        "Return-Path: <>",
        "MIME-Version: 1.0",
    ]


def _status(notice: Notice) -> bytes:
    lines = [
        *([f"Original-Envelope-Id: {_clean(notice.envelope_id)}"] if notice.envelope_id else []),
        f"Reporting-MTA: dns;{notice.reporter}",
        f"Received-From-MTA: dns;{notice.received_from}",
        f"Arrival-Date: {format_datetime(notice.arrived)}",
    ]
    for failure in notice.failures:
        recipient = _clean(failure.recipient)
        lines.append("")
        if failure.recipient in notice.original_recipients:
            lines.append(f"Original-Recipient: {_clean(notice.original_recipients[failure.recipient])}")
        lines += [
            f"Final-Recipient: rfc822;{recipient}",
            f"Action: {'failed' if notice.retry_until is None else 'delayed'}",
            f"Status: {failure.status}",
            f"Diagnostic-Code: smtp;{_clean(failure.diagnostic)}",
            *([f"Remote-MTA: dns;{failure.remote}"] if failure.remote else []),
            *([f"Will-Retry-Until: {format_datetime(notice.retry_until)}"] if notice.retry_until else []),
            f"X-Display-Name: {recipient}",
        ]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


def _alternatives(notice: Notice, boundary: str) -> bytes:
    text = "\r\n".join(_blocks(notice))
    page = "<html><body><pre>" + html.escape(text) + "</pre></body></html>\r\n"
    head = f'Content-Type: multipart/alternative; differences=Content-Type;\r\n\tboundary="{boundary}"\r\n\r\n'
    return head.encode() + _joined([_text("plain", text), _text("html", page)], boundary)


def _text(kind: str, text: str) -> bytes:
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    body = quopri.encodestring(text.encode("utf-8", "replace").replace(b"\r\n", b"\n"))
    return head.encode() + body.replace(b"\n", b"\r\n") + b"\r\n"


def _blocks(notice: Notice) -> list[str]:
    """Return what people read, block by block."""
    lines: list[str] = ["Microsoft Outlook", ""]
    for failure in notice.failures:
        cause, owner = _CAUSES.get(failure.status, _OTHER_CAUSE)
        lines += [
            f"Your message to {_clean(failure.recipient)} {_outcome(notice)}",
            "",
            f"{_clean(failure.recipient)} {cause}.",
            "",
            f"{_local(notice.sender)}    Office 365    {_local(failure.recipient)}",
            f"Action Required    {owner}",
            "",
        ]
    first = notice.failures[0]
    return [
        *lines,
        "How to Fix It",
        "Check the address and the reported error, and send the message again once the cause is gone.",
        "",
        "More Info for Email Admins",
        f"Status code: {first.diagnostic[:3]} {first.status}",
        "",
        *_details(notice),
        *_hops(notice),
        "Original Message Headers",
        "",
        *[f"{name}: {_clean(value)}"[:500] for name, value in notice.head.fields[:50]],
        "",
    ]


def _outcome(notice: Notice) -> str:
    if notice.retry_until is None:
        return "couldn't be delivered."
    return f"hasn't been delivered yet. Tries go on until {_moment(notice.retry_until)} (UTC)."


def _details(notice: Notice) -> list[str]:
    recipients = ", ".join(_clean(failure.recipient) for failure in notice.failures)
    lines = [
        "Original Message Details",
        f"Created Date:      {_moment(notice.arrived)}",
        f"Sender Address:    {_clean(notice.sender)}",
        f"Recipient Address: {recipients}",
        f"Subject:           {_clean(notice.head.subject)}",
        "",
        "Error Details",
    ]
    for failure in notice.failures:
        lines.append(f"Reported error:    {_clean(failure.diagnostic)}")
        lines.append(f"DSN generated by:  {notice.reporter}")
        if failure.remote:
            lines.append(f"Remote server:     {failure.remote}")
    return [*lines, ""]


def _hops(notice: Notice) -> list[str]:
    row = f"1    {_moment(notice.arrived)}    {notice.received_from}    {notice.reporter}    SMTP    *"
    return ["Message Hops", "HOP    TIME (UTC)    FROM    TO    WITH    RELAY TIME", row, ""]


def _joined(parts: list[bytes], boundary: str) -> bytes:
    line = f"--{boundary}".encode()
    return b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"


def _moment(moment: datetime) -> str:
    return f"{moment.month}/{moment.day}/{moment:%Y %I:%M:%S %p}"


def _local(address: str) -> str:
    return _clean(address.rpartition("@")[0]) or "sender"


def _clean(text: str) -> str:
    """Return a text that can stand on one line."""
    return _UNSAFE.sub(" ", text)[:2_000]


def _encoded(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=70).encode(linesep="\r\n")
