"""From Graph's JSON message to an item.

Purpose: build the header and the body that the properties of a message mean. Source: "message resource type",
"fileAttachment resource type"; RFC 5322 3.6, RFC 2047. Shape: `new_item` for a whole message, `changed_item` for a
PATCH; unknown properties are refused with the service's words, read-only ones are passed over.
internetMessageHeaders takes at most five, whose names begin with `x-`. Failures: `GraphError`.
Leaves to others: who may send (`sending`).
"""

import base64
import binascii
import re
import uuid
from dataclasses import replace
from datetime import datetime

import msgspec
from msgspec import Struct, field

from m365emu.graph import errors
from m365emu.graph.item import Attachment, Field, Item, header_text, text_item

_ADDRESS = re.compile(r"[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]{1,64}@[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]{1,255}")
_MOST_RECIPIENTS = 5_000
_MOST_HEADERS = 5
_READ_ONLY = frozenset(
    (
        *("id", "changeKey", "createdDateTime", "lastModifiedDateTime", "receivedDateTime", "sentDateTime"),
        *("hasAttachments", "bodyPreview", "parentFolderId", "conversationId", "conversationIndex", "isRead"),
        *("isDraft", "webLink", "uniqueBody", "categories", "flag", "inferenceClassification", "extensions"),
        *("isDeliveryReceiptRequested", "isReadReceiptRequested", "internetMessageId", "mentionsPreview"),
        *("singleValueExtendedProperties", "multiValueExtendedProperties"),
    )
)


class EmailAddress(Struct, frozen=True, kw_only=True):
    """An address with a display name."""

    address: str = ""
    name: str | None = None


class Recipient(Struct, frozen=True, kw_only=True, rename="camel"):
    """What Graph wraps an address in."""

    email_address: EmailAddress


class ItemBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A text and what kind of text it is."""

    content: str | None = None
    content_type: str = "text"


class InternetHeader(Struct, frozen=True, kw_only=True):
    """A field of one's own."""

    name: str
    value: str


class FileAttachment(Struct, frozen=True, kw_only=True, rename="camel"):
    """A file within a request."""

    type: str = field(name="@odata.type", default="#microsoft.graph.fileAttachment")
    name: str = ""
    content_type: str | None = None
    content_bytes: str | None = None
    content_id: str | None = None
    is_inline: bool | None = None


class MessageInput(Struct, frozen=True, kw_only=True, rename="camel"):
    """The properties of a message that a client may set; `UNSET` means that it did not."""

    subject: str | msgspec.UnsetType | None = msgspec.UNSET
    body: ItemBody | msgspec.UnsetType | None = msgspec.UNSET
    from_: Recipient | msgspec.UnsetType | None = field(name="from", default=msgspec.UNSET)
    sender: Recipient | msgspec.UnsetType | None = msgspec.UNSET
    reply_to: list[Recipient] | msgspec.UnsetType = msgspec.UNSET
    to_recipients: list[Recipient] | msgspec.UnsetType = msgspec.UNSET
    cc_recipients: list[Recipient] | msgspec.UnsetType = msgspec.UNSET
    bcc_recipients: list[Recipient] | msgspec.UnsetType = msgspec.UNSET
    importance: str | msgspec.UnsetType = msgspec.UNSET
    internet_message_headers: list[InternetHeader] | msgspec.UnsetType = msgspec.UNSET
    internet_message_id: str | msgspec.UnsetType | None = msgspec.UNSET
    attachments: list[FileAttachment] | msgspec.UnsetType = msgspec.UNSET


_KNOWN = _READ_ONLY | {known.encode_name for known in msgspec.structs.fields(MessageInput)}


def read_message(value: object) -> MessageInput:
    """Read the JSON of a message; raises `GraphError`."""
    if not isinstance(value, dict):
        raise errors.unreadable_body("The message must be a JSON object.")
    for name in value:
        if name not in _KNOWN and "@odata." not in name:
            raise errors.unreadable_body(
                f"The property '{name[:100]}' does not exist on type 'microsoft.graph.message'. Make sure to only "
                "use property names that are defined by the type or mark the type as open type."
            )
    try:
        return msgspec.convert(value, MessageInput, strict=False)
    except msgspec.ValidationError as error:
        raise errors.unreadable_body(f"An unexpected value was found in the request: {error}.") from error


def new_item(message: MessageInput, now: datetime, *, takes_message_id: bool) -> Item:
    """Make an item of a message; raises `GraphError`.

    Args:
        message: what the client said.
        now: when the attachments count as added.
        takes_message_id: whether internetMessageId is heeded.
    """
    attachments = (
        ()
        if message.attachments is msgspec.UNSET
        else tuple(read_attachment(attachment, now) for attachment in message.attachments[:1_000])
    )
    item = changed_item(text_item((), "", is_html=False), message, takes_message_id=takes_message_id)
    return replace(item, attachments=attachments)


def changed_item(item: Item, message: MessageInput, *, takes_message_id: bool) -> Item:
    """Return the item with the properties that the client gave in place of the present ones; raises `GraphError`."""
    if message.body is not msgspec.UNSET:
        body = message.body or ItemBody()
        text = text_item(item.fields, body.content or "", is_html=body.content_type.lower() == "html")
        item = replace(text, attachments=item.attachments)
    for name, value in _field_values(message, takes_message_id=takes_message_id):
        item = replace(item, fields=item.replacing(name, value))
    return item


def read_attachment(attachment: FileAttachment, now: datetime) -> Attachment:
    """Read a file attachment; raises `GraphError` for another kind and for octets that are no base64."""
    if attachment.type.lower().rpartition(".")[2] != "fileattachment":
        raise errors.unreadable_body("Only attachments of type 'microsoft.graph.fileAttachment' are taken here.")
    try:
        octets = base64.b64decode((attachment.content_bytes or "").encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise errors.unreadable_body("Cannot convert the literal to the expected type 'Edm.Binary'.") from error
    return Attachment(
        id=str(uuid.uuid4()),
        name=attachment.name[:255],
        content_type=attachment.content_type or "application/octet-stream",
        size=len(octets),
        is_inline=bool(attachment.is_inline),
        content_id=(attachment.content_id or "")[:255],
        source=octets,
        modified=now,
    )


def address_field(recipients: list[Recipient]) -> bytes | None:
    """Write addresses as a field's value, folded; `None` when there are none. Raises `GraphError`."""
    if len(recipients) > _MOST_RECIPIENTS:
        raise errors.too_many_recipients()
    parts: list[str] = []
    for recipient in recipients:
        address = recipient.email_address.address.strip()
        if not _ADDRESS.fullmatch(address):
            raise errors.invalid_recipients(address)
        parts.append(_mailbox(recipient.email_address.name or "", address))
    return ",\r\n\t".join(parts).encode("utf-8", "replace") if parts else None


def _mailbox(name: str, address: str) -> str:
    name = header_text(name.strip()[:500])
    if not name or name == address:
        return f"<{address}>" if name else address
    if name.startswith("=?"):
        return f"{name} <{address}>"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>'


def _field_values(message: MessageInput, *, takes_message_id: bool) -> list[tuple[str, bytes | None]]:
    found: list[tuple[str, bytes | None]] = []
    for name, one in (("From", message.from_), ("Sender", message.sender)):
        if one is not msgspec.UNSET:
            found.append((name, address_field([one] if one else [])))
    for name, several in (
        ("Reply-To", message.reply_to),
        ("To", message.to_recipients),
        ("Cc", message.cc_recipients),
        ("Bcc", message.bcc_recipients),
    ):
        if several is not msgspec.UNSET:
            found.append((name, address_field(several)))
    if message.subject is not msgspec.UNSET:
        found.append(("Subject", header_text((message.subject or "")[:1_000]).encode()))
    if message.importance is not msgspec.UNSET:
        found.extend(_importance(message.importance))
    if takes_message_id and isinstance(message.internet_message_id, str):
        found.append(("Message-ID", header_text(message.internet_message_id.strip()[:900]).encode()))
    if message.internet_message_headers is not msgspec.UNSET:
        found.extend(_own_fields(message.internet_message_headers))
    return found


def _importance(importance: str) -> list[tuple[str, bytes | None]]:
    level = importance.lower()
    if level not in ("low", "normal", "high"):
        raise errors.unreadable_body("Cannot convert the literal to the expected type 'microsoft.graph.importance'.")
    return [("Importance", None if level == "normal" else level.encode())]


def _own_fields(headers: list[InternetHeader]) -> list[Field]:
    if len(headers) > _MOST_HEADERS:
        raise errors.GraphError(
            400,
            "InvalidInternetMessageHeaderCollection",
            f"Maximum number of headers in one message should be less than or equal to {_MOST_HEADERS}.",
        )
    for header in headers:
        if not re.fullmatch(r"[xX]-[!-9;-~]{1,60}", header.name):
            raise errors.GraphError(
                400,
                "InvalidInternetMessageHeader",
                f"The internet message header name '{header.name[:100]}' should start with 'x-' or 'X-'.",
            )
    return [(header.name, header_text(header.value[:900]).encode()) for header in headers]
