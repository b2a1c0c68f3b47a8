"""Large messages by Graph: a draft, its files one by one, then send.

Source: "Create draft message" (MIME), "attachment: createUploadSession", "Attach large files to Outlook messages"
(pieces in order, of at most 4 MB, multiples of 320 KiB), "message: send". Needs Mail.ReadWrite.
Shape: `send_large` does all of it for one message. Files stream from the spool in pieces; what stands in memory does
not depend on the size of the message.
Failures: what fails before the request that sends takes the draft away again and is never unknown.
Leaves to others: taking the message apart (``dismantle``), what answers mean (``errors``).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from posthouse.deliver.graph.client import Answer, Answered, GraphClient, Request
from posthouse.deliver.graph.dismantle import File, Source, dismantle
from posthouse.deliver.graph.errors import judge, read_error, too_large
from posthouse.mail.address import Address
from posthouse.mail.message import Content
from posthouse.mail.outcome import Deferred, Delivered, Failed, Scope, Unknown

SESSION_FROM_OCTETS = 3 * 1024 * 1024
"""Smaller files are refused by upload sessions."""
LARGEST_FILE_OCTETS = 150 * 1024 * 1024
PIECE_OCTETS = 10 * 320 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A draft that is not sent yet."""

    client: GraphClient
    path: str
    headers: Mapping[str, str]
    mailbox: str

    async def post(self, path: str, value: object) -> Answered:
        """Post JSON below the draft."""
        body = json.dumps(value).encode()
        request = Request(
            method="POST", path=self.path + path, body=body, content_type="application/json", headers=self.headers
        )
        return await self.client.ask(request)

    async def send(self) -> Answered:
        """The one request after which nothing is certain but an answer."""
        return await self.client.ask(Request(method="POST", path=f"{self.path}/send", headers=self.headers))

    async def remove(self) -> None:
        """Take it away; what stays behind in Drafts harms nobody."""
        await self.client.ask(Request(method="DELETE", path=self.path, headers=self.headers))


async def send_large(
    client: GraphClient,
    content: Content,
    recipients: Sequence[Address],
    *,
    path: str,
    headers: Mapping[str, str],
    mailbox: str,
    most_octets: int,
) -> Answered | Deferred | Failed:
    """Send a message that is too large for one request.

    Args:
        recipients: Of this transaction.
        path: Of the mailbox.
        headers: For every request.
        most_octets: Of a draft as MIME.

    Returns:
        The answer to the request that sends, or what kept it from being made.

    Raises:
        OSError: The spool cannot be read before anything was begun.
    """
    source = Source(content)
    parts = await asyncio.to_thread(dismantle, source, recipients, most_octets)
    if isinstance(parts, str):
        return too_large(parts)
    largest = max((file.size_octets for file in parts.files), default=0)
    if largest > LARGEST_FILE_OCTETS:
        return too_large(f"a file has {largest} octets, and Graph takes {LARGEST_FILE_OCTETS}")
    request = Request(
        method="POST",
        path=f"{path}/messages",
        body=base64.b64encode(parts.draft),
        content_type="text/plain",
        headers=headers,
    )
    created = await client.ask(request)
    name = _text_of(created, "id")
    if not name:
        return _not_begun(created, mailbox)
    draft = _Draft(client=client, path=f"{path}/messages/{quote(name, safe='')}", headers=headers, mailbox=mailbox)
    is_sent = False
    try:
        for file in parts.files:
            problem = await _attach(draft, source, file)
            if problem is not None:
                return problem
        # Whoever breaks off from here on must not take away what may have been sent.
        is_sent = True
        answered = await draft.send()
        outcome = judge(answered, on_unknown="hold", mailbox=mailbox)
        is_sent = isinstance(outcome, Delivered | Unknown)
        return answered
    finally:
        if not is_sent:
            await draft.remove()


async def _attach(draft: _Draft, source: Source, file: File) -> Deferred | Failed | None:
    """Add one file; None when it is there."""
    try:
        if file.size_octets < SESSION_FROM_OCTETS:
            return await _attach_small(draft, source, file)
        return await _attach_large(draft, source, file)
    except OSError as error:
        reason = f"the content cannot be read: {error.strerror or error}"
        return Deferred(reason=reason, scope=Scope.MESSAGE, is_glitch=True)


async def _attach_small(draft: _Draft, source: Source, file: File) -> Deferred | Failed | None:
    octets = await asyncio.to_thread(lambda: b"".join(source.decoded(file.leaf)))
    described = file.described
    value = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": described.name,
        "contentType": described.media_type,
        "contentBytes": base64.b64encode(octets).decode(),
        "isInline": described.is_inline,
        **({"contentId": described.content_id} if described.content_id else {}),
    }
    return _refused(await draft.post("/attachments", value), draft.mailbox)


async def _attach_large(draft: _Draft, source: Source, file: File) -> Deferred | Failed | None:
    described = file.described
    item = {
        "attachmentType": "file",
        "name": described.name,
        "size": file.size_octets,
        "contentType": described.media_type,
        "isInline": described.is_inline,
        **({"contentId": described.content_id} if described.content_id else {}),
    }
    created = await draft.post("/attachments/createUploadSession", {"attachmentItem": item})
    url = _text_of(created, "uploadUrl")
    if not url.startswith("https://"):
        return _refused(created, draft.mailbox) or Deferred(
            reason="Graph gave no place to upload to", scope=Scope.MESSAGE
        )
    position = 0
    async for piece in _pieces(source, file):
        last = position + len(piece) - 1
        request = Request(
            method="PUT",
            path=url,
            body=piece,
            content_type="application/octet-stream",
            headers={"Content-Range": f"bytes {position}-{last}/{file.size_octets}"},
        )
        problem = _refused(await draft.client.ask_without_token(request), draft.mailbox)
        if problem is not None:
            return problem
        position += len(piece)
    return None


async def _pieces(source: Source, file: File) -> AsyncIterator[bytes]:
    """The file in pieces of the size that an upload wants."""
    decoded = source.decoded(file.leaf)

    def next_piece(rest: bytes) -> bytes:
        collected = bytearray(rest)
        while len(collected) < PIECE_OCTETS and (more := next(decoded, None)) is not None:
            collected += more
        return bytes(collected)

    rest = b""
    while collected := await asyncio.to_thread(next_piece, rest):
        yield collected[:PIECE_OCTETS]
        rest = collected[PIECE_OCTETS:]


def _refused(answered: Answered, mailbox: str) -> Deferred | Failed | None:
    """What a request that only prepares was refused with; None where it was not."""
    outcome = judge(answered, on_unknown="hold", mailbox=mailbox, sends=False)
    return outcome if isinstance(outcome, Deferred | Failed) else None


def _not_begun(answered: Answered, mailbox: str) -> Deferred | Failed:
    if isinstance(answered, Answer) and answered.status == 403 and read_error(answered).code == "ErrorAccessDenied":
        # Only large messages need this right: the mailbox goes on with all others.
        return Deferred(
            reason="messages of more than 3 MB need the right Mail.ReadWrite in Microsoft Graph",
            scope=Scope.MESSAGE,
            explanation_id="graph-access-denied",
        )
    refused = _refused(answered, mailbox)
    return refused or Deferred(reason="Graph made no draft", scope=Scope.MESSAGE)


def _text_of(answered: Answered, name: str) -> str:
    """A text of the object that was answered; empty where there is none."""
    if not isinstance(answered, Answer) or not 200 <= answered.status < 300:
        return ""
    value = answered.value
    text = value.get(name) if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""
