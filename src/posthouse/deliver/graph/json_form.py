"""A message as Graph's JSON, the only form that leaves no copy in Sent Items.

Source: "user: sendMail" and "message resource type": subject, one body as text or HTML, addresses, files, at most five
header fields of one's own, whose names begin with ``x-``.
Shape: `message_json` gives the request's body, or says why the message does not fit into it.
Failures: `Unfit` as a value. What JSON cannot say (signed parts, calendars, threads, notices) is never lost silently.
Leaves to others: recipients, which the header it is given has right already (``wire.rebuild``).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from posthouse.wire.attachment import decode, describe
from posthouse.wire.header import HeaderIndex, decode_text
from posthouse.wire.mailboxes import Listed, read_mailboxes
from posthouse.wire.mime import MAX_PARTS, Part, children, whole

MAX_OWN_FIELDS = 5
_CANNOT = ("in-reply-to", "references", "auto-submitted", "list-unsubscribe", "list-id", "disposition-notification-to")
_IMPORTANCE = {"high": "high", "urgent": "high", "low": "low", "non-urgent": "low", "1": "high", "2": "high"}


@dataclass(frozen=True, slots=True)
class Unfit:
    """The message cannot be said in JSON; `reason` is half a sentence."""

    reason: str


class _CannotSay(Exception):
    """Carries the reason out of the recursion."""


@dataclass(slots=True)
class _Contents:
    """Text and files found so far."""

    text: tuple[str, str] | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    parts: int = 0


def message_json(mime: bytes, most_octets: int) -> bytes | Unfit:
    """Write the body of a request that sends a message and keeps no copy.

    Args:
        mime: The message; To, Cc and Bcc name its recipients.
        most_octets: Of the request's body.
    """
    root = whole(mime)
    lost = next((name for name in _CANNOT if root.header.all(name)), None)
    if lost is not None:
        return Unfit(f"JSON cannot carry the field {lost}")
    contents = _Contents()
    try:
        _collect(root, contents)
    except _CannotSay as failure:
        return Unfit(str(failure))
    kind, text = contents.text or ("text", "")
    message: dict[str, Any] = {
        "subject": root.header.get("subject") or "",
        "body": {"contentType": kind, "content": text},
        **_people(root.header),
        "internetMessageHeaders": _own_fields(root.header),
        "attachments": contents.files,
    }
    if message_id := root.header.get("message-id"):
        message["internetMessageId"] = message_id
    if importance := _importance(root.header):
        message["importance"] = importance
    body = json.dumps({"message": {k: v for k, v in message.items() if v != []}, "saveToSentItems": False}).encode()
    return body if len(body) <= most_octets else Unfit("the message is too large for JSON")


def _collect(part: Part, contents: _Contents, container: str = "") -> None:
    contents.parts += 1
    if contents.parts > MAX_PARTS:
        raise _CannotSay("it has too many parts")
    kind = part.content_type.media_type
    if kind in ("multipart/signed", "multipart/encrypted", "multipart/report") or kind.startswith("message/"):
        raise _CannotSay(f"JSON cannot carry {kind}")
    if kind in ("text/calendar", "application/pkcs7-mime"):
        raise _CannotSay(f"JSON cannot carry {kind}")
    inside = list(children(part))
    if part.is_multipart and kind == "multipart/alternative":
        # Exchange makes the plain text from the other itself.
        _collect_best(inside, contents)
    elif part.is_multipart:
        for child in inside:
            _collect(child, contents, kind)
    else:
        _collect_leaf(part, contents, container)


def _collect_best(inside: list[Part], contents: _Contents) -> None:
    for child in inside:
        if not child.content_type.media_type.startswith(("text/", "multipart/")):
            raise _CannotSay(f"JSON cannot carry {child.content_type.media_type} as an alternative")
        if child.content_type.media_type == "text/calendar":
            raise _CannotSay("JSON cannot carry text/calendar")
    if inside:
        wanted = [c for c in inside if c.content_type.media_type != "text/plain"]
        _collect((wanted or inside)[-1], contents)


def _collect_leaf(part: Part, contents: _Contents, container: str) -> None:
    header = part.header.data[part.header.start : part.header.end]
    described, octets = describe(header, container), decode(part.body, part.encoding)
    if part.content_type.media_type in ("text/plain", "text/html") and not described.is_attachment:
        if contents.text is not None:
            raise _CannotSay("it has more than one text")
        kind = "html" if part.content_type.media_type == "text/html" else "text"
        contents.text = kind, _text(octets, part.content_type.parameters.get("charset", "utf-8"))
        return
    contents.files.append(
        {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": described.name,
            "contentType": described.media_type,
            "contentBytes": base64.b64encode(octets).decode(),
            "isInline": described.is_inline,
            **({"contentId": described.content_id} if described.content_id else {}),
        }
    )


def _text(octets: bytes, charset: str) -> str:
    try:
        return octets.decode(charset)
    except (LookupError, ValueError):
        # Some of Python's codecs are no character sets of mail and raise other errors than decoding ones.
        return octets.decode("utf-8", "replace")


def _people(header: HeaderIndex) -> dict[str, Any]:
    found: dict[str, Any] = {
        "toRecipients": [],
        "ccRecipients": [],
        "bccRecipients": [],
        "replyTo": [],
    }
    for name, key in (
        ("to", "toRecipients"),
        ("cc", "ccRecipients"),
        ("bcc", "bccRecipients"),
        ("reply-to", "replyTo"),
    ):
        for listed in header.all(name):
            found[key] += [_person(m) for m in read_mailboxes(header.data[listed.value_start : listed.end])]
    for name in ("from", "sender"):
        if people := read_mailboxes(header.raw(name) or b""):
            found[name] = _person(people[0])
    return found


def _person(mailbox: Listed) -> dict[str, Any]:
    return {"emailAddress": {"address": mailbox.address, **({"name": mailbox.name} if mailbox.name else {})}}


def _own_fields(header: HeaderIndex) -> list[dict[str, str]]:
    """The fields that may be kept, what we added first."""
    own = [f for f in header.fields if f.name.startswith(b"x-")]
    own.sort(key=lambda f: not f.name.startswith(b"x-original-"))
    named = [(f.name.decode("ascii"), decode_text(header.data[f.value_start : f.end])) for f in own]
    return [{"name": name, "value": value} for name, value in named if value][:MAX_OWN_FIELDS]


def _importance(header: HeaderIndex) -> str:
    for name in ("importance", "priority", "x-priority"):
        found = _IMPORTANCE.get((header.get(name) or "").strip().lower()[:10])
        if found:
            return found
    return ""
