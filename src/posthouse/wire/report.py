"""Read a notice that another mail system sent: whom it speaks of, and what servers said.

Source: RFC 3464 2 (message/delivery-status), RFC 6533 (its global form), RFC 6522; X-Supplementary-Info as Exchange
Online writes it.
Shape: `read_report` turns the octets of a message into a `StatusReport`, or gives None where the message is no report.
Failures: none. Fields that are missing are empty; encodings that are broken are read as far as they go. Numbers of
recipients and characters are bounded.
Leaves to others: what the words mean (``microsoft.replies``), writing notices (``wire.dsn``).
"""

from __future__ import annotations

import binascii
import quopri
import re
from dataclasses import dataclass

from posthouse.wire.header import HeaderIndex
from posthouse.wire.mime import Part, walk

MAX_RECIPIENTS = 200
MAX_HUMAN = 64_000
_MAX_VALUE = 8_000
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60}):[ \t]?(.*)")
_TAG = re.compile(r"<[^<>]{0,500}>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRecipient:
    """What a notice says about one recipient.

    Attributes:
        address: Final recipient.
        action: ``failed``, ``delayed``, ``delivered``, ``relayed``, ``expanded``, or empty. It decides what happened:
            a failed recipient may bear a status of class 4.
        status: Enhanced status code, or empty.
        diagnostic: Words of the server, without their type.
        remote: Host that spoke, or empty.
        supplement: X-Supplementary-Info, or empty.
    """

    address: str
    action: str
    status: str
    diagnostic: str
    remote: str
    supplement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A notice.

    Attributes:
        reporter: Host that wrote it, or empty.
        recipients: At most `MAX_RECIPIENTS`.
        human: The part for people as plain text.
    """

    reporter: str
    recipients: tuple[ReportedRecipient, ...]
    human: str


def read_report(data: bytes) -> StatusReport | None:
    """Read a notice; None where the octets are no multipart/report with a delivery status."""
    if b"delivery-status" not in data:
        return None
    status: Part | None = None
    plain, html = "", ""
    for part in walk(data):
        kind = part.content_type.media_type
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            status = part
            break
        if kind == "text/plain" and not plain:
            plain = _text(part)
        elif kind == "text/html" and not html:
            html = _TAG.sub(" ", _text(part))
    if status is None or not _is_message(data):
        return None
    groups = _groups(_text(status))
    recipients = [_recipient(group) for group in groups if "final-recipient" in group or "action" in group]
    return StatusReport(
        reporter=_untyped(groups[0].get("reporting-mta", "")) if groups else "",
        recipients=tuple(recipients[:MAX_RECIPIENTS]),
        human=plain or html,
    )


def _is_message(data: bytes) -> bool:
    index = HeaderIndex.scan(data)
    return index.unfolded("content-type") is not None


def _text(part: Part) -> str:
    body = part.body[: MAX_HUMAN * 4]
    if part.encoding == "base64":
        try:
            body = binascii.a2b_base64(body)
        except binascii.Error:
            body = b""
    elif part.encoding == "quoted-printable":
        body = quopri.decodestring(body)
    charset = part.content_type.parameters.get("charset", "utf-8")
    try:
        text = body.decode(charset, "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    return text[:MAX_HUMAN]


def _groups(text: str) -> list[dict[str, str]]:
    """Groups of fields between empty lines; folded values on one line."""
    groups: list[dict[str, str]] = [{}]
    name = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            if groups[-1]:
                groups.append({})
            name = ""
        elif line[0] in " \t" and name:
            before = groups[-1][name]
            if len(before) < _MAX_VALUE:
                groups[-1][name] = f"{before} {line.strip()}"
        elif (match := _FIELD.match(line)) is not None:
            name = match[1].lower()
            groups[-1].setdefault(name, match[2].strip()[:_MAX_VALUE])
    return [group for group in groups if group][: MAX_RECIPIENTS + 1]


def _recipient(group: dict[str, str]) -> ReportedRecipient:
    return ReportedRecipient(
        address=_untyped(group.get("final-recipient", "") or group.get("original-recipient", "")),
        action=group.get("action", "").lower(),
        status=group.get("status", "").partition(" ")[0],
        diagnostic=_untyped(group.get("diagnostic-code", "")),
        remote=_untyped(group.get("remote-mta", "")),
        supplement=group.get("x-supplementary-info", ""),
    )


def _untyped(value: str) -> str:
    """``smtp;550 ...`` without its type; a value without one as it is."""
    kind, mark, rest = value.partition(";")
    return rest.strip() if mark and re.fullmatch(r"[A-Za-z0-9-]{1,30}", kind.strip()) else value
