"""Delivery status notifications: one message with a part for people, one for programs, and what was sent.

Source: RFC 3464 (delivery-status), RFC 6522 (multipart/report), RFC 3461 6 (what a notice says), RFC 6533 (addresses
outside ASCII), RFC 3834 (Auto-Submitted).
Shape: `compose` turns a `Report` and the blocks for people into octets: multipart/report with multipart/alternative,
message/delivery-status and the original, in lines with CRLF. Octets are 7-bit, except for the header fields of a notice
to an address outside ASCII. There is no blank behind the ``;`` of a typed field, as Exchange writes it.
Failures: none. Whatever came from remote servers and headers is stripped of control characters, folded and bounded.
Leaves to others: whether a notice may be sent at all (``deliver.bounce``), the words (``wire.notice_words``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from enum import StrEnum

from posthouse.mail.address import Address
from posthouse.mail.envelope import Recipient
from posthouse.wire.downgrade import SevenBit, encode_base64, encode_quoted_printable, fits_seven_bit, to_seven_bit
from posthouse.wire.header import header_end
from posthouse.wire.notice_text import Block, clean, render_html, render_text
from posthouse.wire.received import safe_name, show_date

MAX_RETURNED_OCTETS = 512 * 1024
"""An original above this size comes back as its header only."""
MAX_RETURNED_HEADER_OCTETS = 64 * 1024
MAX_LINE_OCTETS = 998
_DIAGNOSTIC_OCTETS = 400_000
"""Room for the words of remote servers in one notice, shared by its recipients."""

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,500}>")


class Action(StrEnum):
    """RFC 3464 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """What became of one recipient.

    Attributes:
        recipient: From the envelope; ORCPT included.
        status: Enhanced status code; derived from the action where it is not one.
        said: Words of the remote server with its code (``550 5.1.1 ...``), or empty.
        reason: Our own sentence.
        remote: ``mx.example.net [192.0.2.1]:25`` or empty.
        attempted_at: Last attempt, aware UTC, or None.
        retry_until: For delays.
        meaning: What the words of the server mean, where that is known for certain; sentences.
        who_can_help: Who must act, and what to do; a sentence or more.
    """

    recipient: Recipient
    action: Action
    status: str = ""
    said: str = ""
    reason: str = ""
    remote: str = ""
    attempted_at: datetime | None = None
    retry_until: datetime | None = None
    meaning: str = ""
    who_can_help: str = ""

    @property
    def shown_status(self) -> str:
        """A status code that agrees with the action. A failure may bear 4.x.x: it waited until it expired."""
        classes = {Action.FAILED: "54", Action.DELAYED: "4"}.get(self.action, "2")
        if _STATUS.fullmatch(self.status) is None:
            return f"{classes[0]}.0.0"
        return self.status if self.status[0] in classes else classes[0] + self.status[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The message that a notice speaks of.

    Attributes:
        data: The message, or its header alone.
        is_whole: `data` is the whole message.
        size_octets: Of the whole message.
        received_at: When we took it in.
        received_from: Name that the client gave; empty for our own machine.
        sender: Reverse-path; the notice goes there.
        subject: Decoded.
        message_id: Header Message-ID or empty.
        shown_id: Our own name for it.
        envid: ENVID or None.
        smtputf8: It was sent with SMTPUTF8, so its sender reads RFC 6533.
    """

    data: bytes
    is_whole: bool
    size_octets: int
    received_at: datetime
    received_from: str
    sender: Address
    subject: str
    message_id: str
    shown_id: str
    envid: str | None = None
    smtputf8: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a notice is made of.

    Attributes:
        hostname: Our name.
        postmaster: Sender in the header of the notice.
        at: Now, aware UTC.
        message_id: Message-ID of the notice, with brackets.
        boundary: Letters and digits that nobody can guess, at most 50.
        recipients: At least one; all of one action.
    """

    hostname: str
    postmaster: Address
    at: datetime
    message_id: str
    boundary: str
    original: Original
    recipients: tuple[RecipientReport, ...]

    @property
    def action(self) -> Action:
        """Of all recipients."""
        return self.recipients[0].action


_SUBJECTS = {
    Action.FAILED: "Undeliverable: ",
    Action.DELAYED: "Delayed: ",
    Action.DELIVERED: "Delivered: ",
    Action.RELAYED: "Relayed: ",
}


def compose(report: Report, human: tuple[Block, ...]) -> bytes:
    """Write the notice.

    Args:
        report: What happened.
        human: Blocks for people.

    Returns:
        A whole message of at most about 1 MiB, without Received.
    """
    inner, outer = f"text-{report.boundary}", f"report-{report.boundary}"
    alternatives = _multipart(inner, _text_part("plain", render_text(human)), _text_part("html", render_html(human)))
    parts = _multipart(
        outer,
        f'Content-Type: multipart/alternative; differences=Content-Type;\r\n boundary="{inner}"\r\n\r\n'.encode()
        + alternatives,
        _status_part(report),
        _original_part(report.original),
    )
    return _header(report, outer) + b"\r\n" + parts


def _multipart(boundary: str, *parts: bytes) -> bytes:
    line = f"--{boundary}\r\n".encode()
    return b"".join(line + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def _header(report: Report, boundary: str) -> bytes:
    original = report.original
    subject = _SUBJECTS[report.action] + clean(original.subject or "(no subject)", 200)
    lines = [
        f"Date: {show_date(report.at)}",
        f'From: "Mail Delivery" <{report.postmaster}>',
        f"To: <{clean(str(original.sender), 400)}>",
        f"Subject: {_encode_subject(subject)}",
        f"Message-ID: {report.message_id}",
    ]
    if _MESSAGE_ID.fullmatch(original.message_id):
        lines += [f"In-Reply-To: {original.message_id}", f"References: {original.message_id}"]
    lines += [
        "Auto-Submitted: auto-replied",
        "Content-Language: en",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _encode_subject(text: str) -> str:
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(text, charset, maxlinelen=76, header_name="Subject").encode(linesep="\r\n")


def _text_part(kind: str, text: str) -> bytes:
    octets = text.replace("\n", "\r\n").encode("utf-8", "replace")
    if fits_seven_bit(octets, max_line=MAX_LINE_OCTETS):
        return f"Content-Type: text/{kind}; charset=us-ascii\r\n\r\n".encode() + octets
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.encode() + encode_quoted_printable(octets)


def _status_part(report: Report) -> bytes:
    """RFC 3464 2.1, or RFC 6533 4 where the sender knows it and something stands outside ASCII."""
    share = max(100, min(1000, _DIAGNOSTIC_OCTETS // len(report.recipients)))
    groups = [_message_fields(report), *(_recipient_fields(report, each, share) for each in report.recipients)]
    text = "\r\n".join("".join(map(_fold, group)) for group in groups)
    if not text.isascii() and report.original.smtputf8:
        head = "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        return head.encode() + encode_quoted_printable(text.encode("utf-8", "replace"))
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii", "replace")


def _message_fields(report: Report) -> list[tuple[str, str]]:
    original = report.original
    fields = [("Reporting-MTA", f"dns;{report.hostname}")]
    if original.envid is not None:
        fields.append(("Original-Envelope-Id", clean(original.envid, 200)))
    if original.received_from:
        fields.append(("Received-From-MTA", f"dns;{safe_name(original.received_from)}"))
    fields.append(("Arrival-Date", show_date(original.received_at)))
    return fields


def _recipient_fields(report: Report, each: RecipientReport, share: int) -> list[tuple[str, str]]:
    is_global = report.original.smtputf8
    fields: list[tuple[str, str]] = []
    if each.recipient.original is not None:
        kind, _, address = clean(each.recipient.original, 500).partition(";")
        fields.append(("Original-Recipient", f"{safe_name(kind)};{address if is_global else _unitext(address)}"))
    fields.append(("Final-Recipient", _typed_address(each.recipient.address, is_global)))
    fields.append(("Action", each.action))
    fields.append(("Status", each.shown_status))
    if each.remote:
        fields.append(("Remote-MTA", f"dns;{safe_name(each.remote.partition(' ')[0])}"))
    if each.said:
        fields.append(("Diagnostic-Code", f"smtp;{clean(trim_reply(each.said), share)}"))
    elif each.reason:
        fields.append(("Diagnostic-Code", f"x-posthouse;{clean(each.reason, share)}"))
    if each.attempted_at is not None:
        fields.append(("Last-Attempt-Date", show_date(each.attempted_at)))
    if each.retry_until is not None:
        fields.append(("Will-Retry-Until", show_date(each.retry_until)))
    return fields


def trim_reply(text: str) -> str:
    """Words of a server without the inner data that Exchange Online adds to them."""
    return text.partition("[BeginDiagnosticData]")[0].rstrip()


def _typed_address(address: Address, is_global: bool) -> str:
    text = clean(str(address), 400)
    if text.isascii():
        return f"rfc822;{text}"
    return f"utf-8;{text if is_global else _unitext(text)}"


def _unitext(text: str) -> str:
    r"""RFC 6533 3: characters outside ASCII as ``\x{HEX}``."""
    return text if text.isascii() else "".join(c if c.isascii() else rf"\x{{{ord(c):X}}}" for c in text)


def _fold(field: tuple[str, str]) -> str:
    return "\r\n ".join(_chunks(f"{field[0]}: {field[1]}".rstrip())) + "\r\n"


def _chunks(line: str) -> Iterator[str]:
    """Cut at blanks near column 76; a word that is too long stays whole up to 300 characters."""
    while len(line) > 76:
        cut = line.rfind(" ", 20, 76)
        if cut < 0:
            cut = line.find(" ", 76, 300)
        if cut < 0:
            if len(line) <= 300:
                break
            cut = 300
        yield line[:cut]
        line = line[cut:].lstrip(" ")
    if line:
        yield line


def _original_part(original: Original) -> bytes:
    if original.is_whole and len(original.data) <= MAX_RETURNED_OCTETS:
        converted = to_seven_bit(original.data, max_line=MAX_LINE_OCTETS)
        if isinstance(converted, SevenBit):
            return b"Content-Type: message/rfc822\r\n\r\n" + converted.data
        if original.smtputf8 and _is_utf8(original.data):
            head = b"Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            return head + encode_base64(original.data)
    header = original.data[: header_end(original.data)]
    if len(header) > MAX_RETURNED_HEADER_OCTETS:
        header = header[: header.rfind(b"\n", 0, MAX_RETURNED_HEADER_OCTETS) + 1]
    if fits_seven_bit(header, max_line=MAX_LINE_OCTETS):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + header
    encoding = b"Content-Transfer-Encoding: base64\r\n\r\n" + encode_base64(header)
    kind = b"message/global-headers" if original.smtputf8 and _is_utf8(header) else b"text/rfc822-headers"
    return b"Content-Type: " + kind + b"\r\n" + encoding


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
