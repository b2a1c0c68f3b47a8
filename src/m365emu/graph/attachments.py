"""Requests for attachments, and the sessions that upload large ones.

Purpose: the handlers below `/messages/{id}/attachments`, and of the URL that an upload session gives out. Source:
"Add attachment", "attachment: createUploadSession", "Attach large files to Outlook messages or events".
A file of 3 MB and more needs a session; pieces come in order, at most 4 MB each. Other upload sessions of Graph want
multiples of 320 KiB; the documentation's own example for Outlook has other pieces, so that is a switch. The URL
needs no token: whoever knows it may upload.
Shape: `Attachments` has one method for each request. Octets go straight to a file. Failures: `GraphError`.
Leaves to others: drafts (`drafts`), sending.
"""

import asyncio
import base64
import re
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.graph import errors
from m365emu.graph.access import Caller
from m365emu.graph.call import Answer, Call, json_body
from m365emu.graph.composing import FileAttachment, read_attachment
from m365emu.graph.drafts import Draft, Drafts, Upload
from m365emu.graph.folders import Folders
from m365emu.graph.item import Attachment
from m365emu.graph.throttle import Throttle
from m365emu.graph.views import message_key, read_message_key
from m365emu.tenant import Limits

_SMALL = 3 * 1_048_576
_LARGEST = 157_286_400
_PIECE = 4 * 1_048_576
_STEP = 320 * 1_024
_RANGE = re.compile(r"bytes (\d{1,12})-(\d{1,12})/(\d{1,12})")


class AttachmentItem(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a session is opened for."""

    attachment_type: str
    name: str
    size: int
    content_type: str | None = None
    is_inline: bool | None = None
    content_id: str | None = None


class Attachments:
    """Answers requests about attachments."""

    def __init__(
        self, *, directory: Directory, folders: Folders, drafts: Drafts, throttle: Throttle, clock: Clock
    ) -> None:
        self._directory = directory
        self._folders = folders
        self._drafts = drafts
        self._throttle = throttle
        self._clock = clock

    async def listing(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET …/attachments."""
        bare = "$select" in call.query and "contentbytes" not in call.query["$select"].lower()
        shown = [_shown(attachment, with_octets=not bare) for attachment in self._of(call, mailbox)]
        return Answer(json={"value": shown})

    async def get(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET …/attachments/{id}."""
        bare = "$select" in call.query and "contentbytes" not in call.query["$select"].lower()
        return Answer(json=_shown(self._wanted(call, mailbox), with_octets=not bare))

    async def value(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """GET …/attachments/{id}/$value."""
        attachment = self._wanted(call, mailbox)
        if isinstance(attachment.source, Path):
            return Answer(file=attachment.source, content_type=attachment.content_type)
        return Answer(octets=attachment.source, content_type=attachment.content_type)

    async def add(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST …/attachments."""
        draft = self._folders.draft(mailbox, call.params["message"])
        body = await json_body(call, self._limits(mailbox).graph_request_octets)
        try:
            given = msgspec.convert(body, FileAttachment)
        except msgspec.ValidationError as error:
            raise errors.unreadable_body(f"An unexpected value was found in the request: {error}.") from error
        attachment = read_attachment(given, self._clock.now())
        if attachment.size >= _SMALL:
            raise errors.GraphError(
                413,
                "ErrorAttachmentSizeLimitExceeded",
                "The attachment is too large for one request.",
                reason="graph_too_large",
            )
        # The draft may have changed while the body came in.
        draft = self._folders.draft(mailbox, call.params["message"])
        self._drafts.attach(draft, attachment, self._clock.now(), self._limits(mailbox).stored_octets)
        return Answer(status=201, json=_shown(attachment, with_octets=True))

    async def remove(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """DELETE …/attachments/{id}."""
        draft = self._folders.draft(mailbox, call.params["message"])
        if not self._drafts.detach(draft, _attachment(call.params["attachment"]), self._clock.now()):
            raise errors.item_not_found()
        return Answer(status=204)

    async def create_session(self, call: Call, caller: Caller, mailbox: str) -> Answer:
        """POST …/attachments/createUploadSession."""
        draft = self._folders.draft(mailbox, call.params["message"])
        body = await json_body(call, self._limits(mailbox).graph_request_octets)
        try:
            wanted = msgspec.convert(body.get("attachmentItem"), AttachmentItem)
        except msgspec.ValidationError as error:
            raise errors.unreadable_body(f"An unexpected value was found in the request: {error}.") from error
        if wanted.size < _SMALL:
            raise errors.GraphError(
                400,
                "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
                "Attachment size must be greater than the minimum size.",
            )
        if wanted.size > _LARGEST:
            raise errors.GraphError(
                413, "ErrorAttachmentSizeLimitExceeded", "The attachment is too large.", reason="graph_too_large"
            )
        now, limits = self._clock.now(), self._limits(mailbox)
        upload = self._drafts.begin_upload(
            draft,
            _announced(wanted, now),
            application=caller.client_id,
            now=now,
            life=timedelta(seconds=limits.graph_upload_session_seconds),
            most_octets=limits.stored_octets,
        )
        url = f"{_place(call.origin, upload)}/AttachmentSessions('{upload.id}')?authtoken={upload.key}"
        shown = {
            "@odata.context": f"{call.root}/$metadata#microsoft.graph.uploadSession",
            "uploadUrl": url,
            "expirationDateTime": upload.expires,
            "nextExpectedRanges": ["0-"],
        }
        return Answer(status=201, json=shown)

    async def upload(self, call: Call) -> Answer:
        """PUT, GET or DELETE on the URL of a session."""
        now = self._clock.now()
        upload = self._drafts.upload(call.params["session"], call.query.get("authtoken", ""), now)
        draft = self._drafts.get(upload.mailbox, upload.draft) if upload is not None else None
        if upload is None or draft is None:
            raise errors.GraphError(404, "ErrorItemNotFound", "The upload session was not found or has expired.")
        limits = self._limits(upload.mailbox)
        with self._throttle.request(upload.application, upload.mailbox, now, limits):
            if call.method == "DELETE":
                self._drafts.end_upload(upload)
                return Answer(status=204)
            if call.method == "PUT":
                return await self._piece(call, upload)
            return Answer(json=_progress(call, upload))

    async def _piece(self, call: Call, upload: Upload) -> Answer:
        tenant = self._directory.tenant_of(upload.mailbox) or self._directory.tenant
        first, last = _range(call, upload, in_steps=tenant.assumptions.graph_upload_pieces == "320-kib")
        octets = await call.read(_PIECE)
        if len(octets) != last - first + 1:
            raise errors.GraphError(400, "ErrorInvalidRequest", "Content-Length does not match Content-Range.")
        if first != upload.received:
            raise _out_of_order(upload)
        limits = self._limits(upload.mailbox)
        self._throttle.upload(upload.application, upload.mailbox, len(octets), self._clock.now(), limits)
        upload.received = last + 1
        try:
            await asyncio.to_thread(_append, upload.path, first, octets)
        except OSError as error:
            upload.received = first
            raise errors.no_resources() from error
        if upload.received < upload.size:
            return Answer(json=_progress(call, upload))
        return self._finish(call, upload)

    def _finish(self, call: Call, upload: Upload) -> Answer:
        draft = self._drafts.get(upload.mailbox, upload.draft)
        if draft is None:
            self._drafts.end_upload(upload)
            raise errors.item_not_found()
        attachment = replace(upload.attachment, source=upload.path)
        # The session goes first, or its octets would be counted twice.
        self._drafts.end_upload(upload, keep_file=True)
        try:
            self._drafts.attach(draft, attachment, self._clock.now(), self._limits(upload.mailbox).stored_octets)
        except errors.GraphError:
            upload.path.unlink(missing_ok=True)
            raise
        location = f"{_place(call.origin, upload)}/Attachments('{_key(attachment)}')"
        return Answer(status=201, headers={"Location": location})

    def _of(self, call: Call, mailbox: str) -> list[Attachment]:
        found = self._folders.find(mailbox, call.params["message"], call.params.get("folder"))
        view = self._folders.view(mailbox, call.params["message"])
        inside = [
            Attachment(
                id=f"part-{part.number}",
                name=part.name,
                content_type=part.content_type,
                size=len(part.octets),
                is_inline=part.is_inline,
                content_id=part.content_id,
                source=part.octets,
                modified=view.modified,
            )
            for part in view.parts
        ]
        return [*inside, *found.item.attachments] if isinstance(found, Draft) else inside

    def _wanted(self, call: Call, mailbox: str) -> Attachment:
        wanted = _attachment(call.params["attachment"])
        for attachment in self._of(call, mailbox):
            if attachment.id == wanted:
                return attachment
        raise errors.item_not_found()

    def _limits(self, mailbox: str) -> Limits:
        return self._directory.limits_of(mailbox)


def _announced(wanted: AttachmentItem, now: datetime) -> Attachment:
    if wanted.attachment_type.lower() != "file":
        raise errors.unreadable_body("Only attachments of type 'file' can be uploaded.")
    return Attachment(
        id=str(uuid.uuid4()),
        name=wanted.name[:255],
        content_type=wanted.content_type or "application/octet-stream",
        size=wanted.size,
        is_inline=bool(wanted.is_inline),
        content_id=(wanted.content_id or "")[:255],
        source=b"",
        modified=now,
    )


def _range(call: Call, upload: Upload, *, in_steps: bool) -> tuple[int, int]:
    match = _RANGE.fullmatch(call.headers.get("content-range", ""))
    if match is None:
        raise errors.GraphError(400, "ErrorInvalidRequest", "The Content-Range header is missing or malformed.")
    first, last, total = int(match[1]), int(match[2]), int(match[3])
    if total != upload.size or not first <= last < total:
        raise errors.GraphError(400, "ErrorInvalidRequest", "Content-Range does not fit the announced size.")
    if first != upload.received:
        raise _out_of_order(upload)
    if in_steps and last + 1 < total and (last - first + 1) % _STEP:
        raise errors.GraphError(400, "ErrorInvalidRequest", "All ranges but the last must be a multiple of 320 KiB.")
    return first, last


def _out_of_order(upload: Upload) -> errors.GraphError:
    return errors.GraphError(
        416, "ErrorInvalidRange", f"Ranges must be uploaded in order; {upload.received} is expected next."
    )


def _progress(call: Call, upload: Upload) -> dict[str, object]:
    return {
        "@odata.context": f"{call.origin}/api/v2.0/$metadata#{_message(upload)}/AttachmentSessions/$entity",
        "ExpirationDateTime": upload.expires,
        "nextExpectedRanges": [str(upload.received)],
    }


def _place(origin: str, upload: Upload) -> str:
    return f"{origin}/api/v2.0/{_message(upload)}"


def _message(upload: Upload) -> str:
    return f"Users('{upload.mailbox}')/Messages('{message_key(upload.draft, 'drafts')}')"


def _append(path: Path, place: int, octets: bytes) -> None:
    """Write a piece at its place; what a failed try left behind it is written over."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(place)
        file.truncate()
        file.write(octets)


def _key(attachment: Attachment) -> str:
    return message_key(attachment.id, "attachment")


def _attachment(key: str) -> str:
    found = read_message_key(key)
    if found is None or found[1] != "attachment":
        raise errors.malformed_id()
    return found[0]


def _shown(attachment: Attachment, *, with_octets: bool) -> dict[str, object]:
    shown: dict[str, object] = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "@odata.mediaContentType": attachment.content_type,
        "id": _key(attachment),
        "lastModifiedDateTime": attachment.modified,
        "name": attachment.name,
        "contentType": attachment.content_type,
        "size": attachment.size,
        "isInline": attachment.is_inline,
        "contentId": attachment.content_id or None,
        "contentLocation": None,
    }
    if with_octets:
        with attachment.open() as file:
            shown["contentBytes"] = base64.b64encode(file.read()).decode()
    return shown
