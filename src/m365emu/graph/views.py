"""A message as Graph shows it.

Purpose: the JSON properties of a received, a sent or a drafted message. Source: "message resource type",
"fileAttachment resource type". Shape: `View` is a message whose header and body are read when a property asks for
them; `PROPERTIES` maps each name to the function that gives it; `render` picks. An id tells message and folder
apart, because the same message lies in several mailboxes.
Failures: none, hostile MIME gives empty properties. Leaves to others: finding messages (`folders`).
"""

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from functools import cached_property

from m365emu.headers import Head, read_head

_PREVIEW = 255
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]{0,2000}>", re.IGNORECASE | re.DOTALL)
_MOST_LISTED = 1_000
_MOST_BOUNDARIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An attachment found in a message's MIME."""

    number: int
    name: str
    content_type: str
    content_id: str
    is_inline: bool
    octets: bytes


class View:
    """A message in one folder of one mailbox.

    Attributes:
        id: the id within Graph.
        folder: `inbox`, `sentitems` or `drafts`.
        message_id: as the transport knows it; empty for a draft without one.
        envelope: who gets or got it; the hidden ones among them are shown in Sent Items.
    """

    def __init__(
        self,
        *,
        id: str,
        folder: str,
        message_id: str,
        subject: str,
        received: datetime,
        modified: datetime,
        is_read: bool,
        envelope: Iterable[str],
        read: Callable[[], bytes],
        more_attachments: bool = False,
    ) -> None:
        """Keep what is known without reading; `read` gives the first octets, header and body, when they are needed."""
        self.id = id
        self.folder = folder
        self.message_id = message_id
        self.subject = subject
        self.received = received
        self.modified = modified
        self.is_read = is_read
        self.envelope = tuple(envelope)
        self.more_attachments = more_attachments
        self._read = read

    @cached_property
    def octets(self) -> bytes:
        return self._read()

    @cached_property
    def head(self) -> Head:
        return read_head(self.octets)

    @cached_property
    def mime(self) -> Message:
        if self.octets.count(b"boundary") > _MOST_BOUNDARIES:
            return Message()
        try:
            return message_from_bytes(self.octets)
        except (MessageError, ValueError, LookupError, RecursionError):
            return Message()

    @cached_property
    def leaves(self) -> list[Message]:
        """The parts that hold octets."""
        try:
            return [part for part in self.mime.walk() if not part.is_multipart()][:_MOST_LISTED]
        except RecursionError:
            return []

    @cached_property
    def text(self) -> tuple[str, str]:
        """The body shown, HTML before plain text, and which of the two it is."""
        found = {part.get_content_type(): part for part in reversed(self.leaves) if not _is_attachment(part)}
        for content_type, name in (("text/html", "html"), ("text/plain", "text")):
            if content_type in found:
                return _decoded(found[content_type]), name
        return "", "text"

    @cached_property
    def parts(self) -> list[Part]:
        """The attachments."""
        found = [part for part in self.leaves if _is_attachment(part)]
        return [_part(number, part) for number, part in enumerate(found)]

    def addresses(self, name: str) -> list[dict[str, object]]:
        """Return the addresses of a field in Graph's form."""
        pairs = getaddresses(self.head.all(name)[:100])[:_MOST_LISTED]
        return [_recipient(display, address) for display, address in pairs if address]

    def hidden(self) -> list[dict[str, object]]:
        """Return the recipients that the header does not name; only who sent the message sees them."""
        if self.folder == "inbox":
            return []
        if self.folder == "drafts":
            return self.addresses("bcc")
        seen = {address.lower() for name in ("to", "cc") for _, address in getaddresses(self.head.all(name)[:100])}
        return [_recipient("", address) for address in self.envelope if address.lower() not in seen]


def message_key(message: str, folder: str) -> str:
    """Make the id of a message in a folder."""
    return "AAMk" + base64.urlsafe_b64encode(f"{folder}/{message}".encode()).decode()


def read_message_key(key: str) -> tuple[str, str] | None:
    """Return message and folder of an id; `None` when it is none."""
    if not key.startswith("AAMk") or len(key) > 500:
        return None
    try:
        folder, slash, message = base64.b64decode(key[4:].encode("ascii"), b"-_", validate=True).decode().partition("/")
    except (binascii.Error, UnicodeError):
        return None
    return (message, folder) if slash else None


def render(view: View, select: tuple[str, ...], *, basic: bool) -> dict[str, object]:
    """Return the properties wanted; with `basic` those that Mail.ReadBasic does not show are left out."""
    names = select or USUAL
    shown = [name for name in ("id", *names) if not (basic and name in _BEYOND_BASIC)]
    return {"@odata.etag": f'W/"{_change_key(view)}"', **{name: PROPERTIES[name](view) for name in shown}}


def _first(addresses: list[dict[str, object]]) -> dict[str, object] | None:
    return addresses[0] if addresses else None


def _body(view: View) -> dict[str, object]:
    content, kind = view.text
    return {"contentType": kind, "content": content}


def _preview(view: View) -> str:
    content, kind = view.text
    if kind == "html":
        content = html.unescape(_TAG.sub(" ", content[:20_000]))
    return " ".join(content[:20_000].split())[:_PREVIEW]


def _sent(view: View) -> datetime:
    try:
        found = parsedate_to_datetime(view.head.first("date"))
    except (ValueError, TypeError, IndexError):
        return view.received
    return found.astimezone(view.received.tzinfo) if found.tzinfo is not None else view.received


def _importance(view: View) -> str:
    level = view.head.first("importance").lower()
    return level if level in ("low", "high") else "normal"


def _change_key(view: View) -> str:
    return base64.b64encode(f"{view.id[-12:]}{view.modified.timestamp():.6f}".encode()).decode()


def _internet_headers(view: View) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in view.head.fields[:_MOST_LISTED] if name != "bcc"]


PROPERTIES: dict[str, Callable[[View], object]] = {
    "id": lambda view: view.id,
    "createdDateTime": lambda view: view.received,
    "lastModifiedDateTime": lambda view: view.modified,
    "changeKey": _change_key,
    "categories": lambda view: [],
    "receivedDateTime": lambda view: view.received,
    "sentDateTime": _sent,
    "hasAttachments": lambda view: view.more_attachments or any(not part.is_inline for part in view.parts),
    "internetMessageId": lambda view: view.message_id,
    "subject": lambda view: view.subject,
    "bodyPreview": _preview,
    "importance": _importance,
    "parentFolderId": lambda view: message_key("", view.folder),
    "conversationId": lambda view: message_key(view.subject[:100], "conversation"),
    "isDeliveryReceiptRequested": lambda view: None,
    "isReadReceiptRequested": lambda view: False,
    "isRead": lambda view: view.is_read,
    "isDraft": lambda view: view.folder == "drafts",
    "webLink": lambda view: f"https://outlook.office365.com/owa/?ItemID={view.id}&exvsurl=1&viewmodel=ReadMessageItem",
    "inferenceClassification": lambda view: "focused",
    "body": _body,
    "sender": lambda view: _first(view.addresses("sender") or view.addresses("from")),
    "from": lambda view: _first(view.addresses("from")),
    "toRecipients": lambda view: view.addresses("to"),
    "ccRecipients": lambda view: view.addresses("cc"),
    "bccRecipients": View.hidden,
    "replyTo": lambda view: view.addresses("reply-to"),
    "flag": lambda view: {"flagStatus": "notFlagged"},
    "internetMessageHeaders": _internet_headers,
}
USUAL = tuple(name for name in PROPERTIES if name not in ("id", "internetMessageHeaders"))
"""The properties shown when none are asked for."""

_BEYOND_BASIC = {"body", "bodyPreview", "hasAttachments"}

FILTERABLE: dict[str, Callable[[View], object]] = {
    **{
        name: PROPERTIES[name]
        for name in ("internetMessageId", "receivedDateTime", "sentDateTime", "createdDateTime", "subject", "isRead")
    },
    "lastModifiedDateTime": PROPERTIES["lastModifiedDateTime"],
    "isDraft": PROPERTIES["isDraft"],
    "hasAttachments": PROPERTIES["hasAttachments"],
    "importance": PROPERTIES["importance"],
    "conversationId": PROPERTIES["conversationId"],
    "from/emailAddress/address": lambda view: _address(view, "from"),
    "sender/emailAddress/address": lambda view: _address(view, "sender") or _address(view, "from"),
}
"""The properties that may stand in a filter or an order."""


def _address(view: View, name: str) -> str:
    return next((address for _, address in getaddresses(view.head.all(name)[:1])), "")


def _recipient(display: str, address: str) -> dict[str, object]:
    return {"emailAddress": {"name": _readable(display) or address, "address": address}}


def _readable(raw: str) -> str:
    try:
        return str(make_header(decode_header(raw)))
    except (MessageError, ValueError, LookupError):
        return raw


def _is_attachment(part: Message) -> bool:
    disposition = part.get_content_disposition()
    return disposition == "attachment" or (
        part.get_content_type() not in ("text/plain", "text/html") and part.get_content_maintype() != "multipart"
    )


def _decoded(part: Message) -> str:
    octets = part.get_payload(decode=True)
    if not isinstance(octets, bytes):
        return ""
    try:
        return octets.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")


def _part(number: int, part: Message) -> Part:
    octets = part.get_payload(decode=True)
    return Part(
        number=number,
        name=_readable(part.get_filename("") or "") or f"attachment-{number + 1}",
        content_type=part.get_content_type(),
        content_id=str(part.get("Content-ID", "")).strip("<> \r\n"),
        is_inline=part.get_content_disposition() == "inline",
        octets=octets if isinstance(octets, bytes) else b"",
    )
