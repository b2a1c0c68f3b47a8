"""Send by Microsoft Graph.

Source: "user: sendMail" (MIME in base64, JSON, 202 Accepted), "Outlook service limits" (4 MB for a request).
Shape: `GraphCarrier.carry` sends one message to the recipients of each transaction as MIME, rebuilt so that it reaches
exactly the envelope. What is too large for one request goes by draft and upload session (``upload``); where no copy is
to stay in Sent Items, the message goes as JSON if that can express it (``json_form``).
Failures: results. Until the request that sends is on its way nothing is ever unknown.
Leaves to others: HTTP (``client``), what an answer means (``errors``), recipients and content (``wire.rebuild``), pace
and pools (``queue.budget``).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from posthouse.decide.outbound import Graph
from posthouse.decide.ways import Way
from posthouse.deliver.carrier import Carrier
from posthouse.deliver.content import octets
from posthouse.deliver.graph.client import Answer, Answered, GraphClient, Request, user_path
from posthouse.deliver.graph.errors import judge, judge_recipients
from posthouse.deliver.graph.json_form import Unfit, message_json
from posthouse.deliver.graph.upload import send_large
from posthouse.deliver.patience import Patience
from posthouse.deliver.tokens import TokenSource
from posthouse.mail.address import Address
from posthouse.mail.event import Detail
from posthouse.mail.message import Message, Waiting
from posthouse.mail.outcome import AttemptResult, Deferred, Failed, Outcome, Scope
from posthouse.wire.header import HeaderIndex
from posthouse.wire.rebuild import Impossible, rebuild_header, reencode

MAX_REQUEST_OCTETS = 4_000_000
"""Of one request, its base64 or JSON included."""
MAX_MIME_OCTETS = MAX_REQUEST_OCTETS // 4 * 3
RECIPIENTS = 500
_IN_A_THREAD = 32 * 1024


@dataclass(slots=True, kw_only=True)
class Sending:
    """One message on its way to the recipients of one transaction.

    Attributes:
        client_request_id: Our name for the request, a GUID that holds the message's id.
        detail: Facts for the trace.
    """

    message: Message
    chunk: Sequence[Waiting]
    mailbox: str
    client_request_id: str
    detail: dict[str, str | int | float | bool | list[str] | None] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """What every request of it bears."""
        return {"client-request-id": self.client_request_id, "return-client-request-id": "true"}

    @property
    def path(self) -> str:
        """The mailbox that sends."""
        return user_path(self.mailbox)


class GraphCarrier(Carrier):
    """One ``graph`` connector at work."""

    def __init__(self, way: Way, tokens: TokenSource, patience: Patience) -> None:
        super().__init__(way)
        assert isinstance(way.connector, Graph)
        self._connector = way.connector
        self._client = GraphClient(way, tokens, patience)

    def close(self) -> None:
        self._client.close_soon()

    async def carry(
        self, message: Message, waiting: Sequence[Waiting], until: float, mailbox: str
    ) -> dict[int, AttemptResult]:
        most = self.way.limits.recipients_per_message or RECIPIENTS
        results: dict[int, AttemptResult] = {}
        for start in range(0, len(waiting), most):
            chunk = waiting[start : start + most]
            sending = Sending(message=message, chunk=chunk, mailbox=mailbox, client_request_id=_name(message, chunk[0]))
            results |= await self._carry_chunk(sending)
        return results

    async def _carry_chunk(self, sending: Sending) -> dict[int, AttemptResult]:
        now = asyncio.get_running_loop().time
        started = now()
        try:
            answered = await self._send(sending)
        except OSError as error:
            reason = f"the content cannot be read: {error.strerror or error}"
            answered = Deferred(reason=reason, scope=Scope.MESSAGE, is_glitch=True)
        outcome = self._judge(answered, sending) if not isinstance(answered, Deferred | Failed) else answered
        own: dict[str, Outcome] = {}
        if not isinstance(answered, Deferred | Failed):
            own = judge_recipients(answered, outcome, (str(w.recipient.address) for w in sending.chunk))
        detail: Detail = {
            "mailbox": sending.mailbox,
            **sending.detail,
            "client_request_id": sending.client_request_id,
            **({"request_id": answered.request_id} if isinstance(answered, Answer) and answered.request_id else {}),
            "duration_ms": int((now() - started) * 1000),
        }
        return {
            w.index: AttemptResult(
                index=w.index,
                outcome=own.get(str(w.recipient.address), outcome),
                connector=self.way.name,
                remote=self._client.host,
                detail=detail,
            )
            for w in sending.chunk
        }

    def _judge(self, answered: Answered, sending: Sending) -> Outcome:
        return judge(answered, on_unknown=self._connector.on_unknown, mailbox=sending.mailbox)

    async def _send(self, sending: Sending) -> Answered | Deferred | Failed:
        content = sending.message.content
        if content.size_octets > MAX_MIME_OCTETS:
            return await self._send_large(sending)
        data = await octets(content)
        mime = await _rebuilt(data, sending)
        if isinstance(mime, Impossible):
            return Failed(status="5.6.0", reason=mime.reason)
        if not self._connector.save_to_sent_items:
            written = message_json(mime, MAX_REQUEST_OCTETS)
            if not isinstance(written, Unfit):
                sending.detail["form"] = "json"
                return await self._post(sending, written, "application/json")
            sending.detail["copy_kept"] = f"a copy stays in Sent Items: {written.reason}"
        if len(mime) > MAX_MIME_OCTETS:
            return await self._send_large(sending)
        sending.detail["form"] = "mime"
        answered = await self._post(sending, base64.b64encode(mime), "text/plain")
        if isinstance(answered, Answer) and answered.status == 413:
            return await self._send_large(sending)
        return answered

    async def _send_large(self, sending: Sending) -> Answered | Deferred | Failed:
        sending.detail["form"] = "upload"
        return await send_large(
            self._client,
            sending.message.content,
            [w.recipient.address for w in sending.chunk],
            path=sending.path,
            headers=sending.headers,
            mailbox=sending.mailbox,
            most_octets=MAX_MIME_OCTETS,
        )

    async def _post(self, sending: Sending, body: bytes, content_type: str) -> Answered:
        request = Request(
            method="POST",
            path=f"{sending.path}/sendMail",
            body=body,
            content_type=content_type,
            headers=sending.headers,
        )
        return await self._client.ask(request)


async def _rebuilt(data: bytes, sending: Sending) -> bytes | Impossible:
    recipients = [w.recipient.address for w in sending.chunk]
    if len(data) < _IN_A_THREAD:
        rebuilt = _rebuild(data, recipients)
    else:
        rebuilt = await asyncio.to_thread(_rebuild, data, recipients)
    if isinstance(rebuilt, Impossible):
        return rebuilt
    mime, changes = rebuilt
    if changes:
        sending.detail["header_changes"] = list(changes)
    return mime


def _rebuild(data: bytes, recipients: Sequence[Address]) -> tuple[bytes, tuple[str, ...]] | Impossible:
    index = HeaderIndex.scan(data)
    header = rebuild_header(index, recipients)
    if isinstance(header, Impossible):
        return header
    return reencode(header.header + data[index.body_start :]), header.changes


def _name(message: Message, first: Waiting) -> str:
    """A GUID: the message's id, then the number of its attempts and the first recipient's index."""
    text = f"{int(message.id):016x}{first.attempts & 0xFFFF:04x}{first.index & 0xFFFFFFFFFFFF:012x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
