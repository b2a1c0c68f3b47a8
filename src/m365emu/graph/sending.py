"""Sending: what Exchange asks of a message that Graph hands over.

Purpose: judge an item and give it to the transport. Source: "user: sendMail", "message: send", "Send Outlook messages
from another user", "Exchange Online limits"; what users report of Graph's MIME (an `@` in an unquoted display name
refused as SendAs, quoted-printable parts). The recipients are those of To, Cc and Bcc, nothing else; Bcc is not
delivered. The daily recipients are counted together with those of SMTP submission.
Shape: `Sender.send` judges, writes and accepts; a refusal is a `GraphError` and then nothing was taken.
Failures: `GraphError`. Leaves to others: delivery, Sent Items and the trace (`post`).
"""

import asyncio
import logging
import re
import uuid
from dataclasses import dataclass, replace
from email.utils import format_datetime

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.graph import errors
from m365emu.graph.access import Access, Caller
from m365emu.graph.call import Call
from m365emu.graph.item import Item, write
from m365emu.headers import read_head
from m365emu.hosts import FrontEnd
from m365emu.limits import RecipientQuota
from m365emu.mailbox import MessageStore
from m365emu.post import Parcel, Post
from m365emu.smtp.content import Content
from m365emu.tenant import Limits, Mailbox
from m365emu.transcript import Transcript

_log = logging.getLogger(__name__)
_QUOTED_PRINTABLE = re.compile(rb"^content-transfer-encoding:[ \t]*quoted-printable", re.IGNORECASE | re.MULTILINE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"(?!@)|\((?:[^()\\]|\\.)*\)')
_GROUP = re.compile(r"^[^,:;<>@]*:|;")
_ADDRESS = re.compile(r"(?:[^\s@<>\x00-\x1f\x7f]{1,64}|\"[^\"\x00-\x1f\x7f]{1,62}\")@[^\s@<>\x00-\x1f\x7f]{1,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who sends, and to whom."""

    sender: str
    recipients: tuple[str, ...]


class Sender:
    """Judges and hands over."""

    def __init__(
        self,
        *,
        directory: Directory,
        access: Access,
        post: Post,
        store: MessageStore,
        quota: RecipientQuota,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._access = access
        self._post = post
        self._store = store
        self._quota = quota
        self._clock = clock

    def check_mime(self, caller: Caller, octets: bytes) -> None:
        """Judge MIME before it is taken apart; raises `GraphError`."""
        refuses = caller.tenant.assumptions.graph_quoted_printable == "refuse"
        if refuses and _QUOTED_PRINTABLE.search(octets):
            raise errors.mime_invalid()

    def completed(self, caller: Caller, mailbox: str, item: Item, *, keeps_message_id: bool) -> Item:
        """Return the item with the fields that Exchange gives every new message: From and Message-ID."""
        if not item.values("from"):
            name = self._mailbox(mailbox).name
            author = f'"{name}" <{mailbox}>' if name.isascii() and name.replace(" ", "").isalnum() else mailbox
            item = replace(item, fields=(("From", author.encode()), *item.fields))
        if not item.values("message-id") or not keeps_message_id:
            message_id = f"<{uuid.uuid4().hex.upper()}@{self._server(caller, '')}>"
            item = replace(item, fields=item.replacing("Message-ID", message_id.encode()))
        return item

    async def send(self, call: Call, caller: Caller, mailbox: str, item: Item, *, save_copy: bool) -> None:
        """Send an item that is complete from a mailbox; raises `GraphError`, and then nothing was sent."""
        self._check_mailbox(mailbox)
        if not item.values("date"):
            item = replace(item, fields=(*item.fields, ("Date", format_datetime(self._clock.now()).encode())))
        envelope = self._envelope(caller, mailbox, item)
        content = await self._content(mailbox, item)
        try:
            # Judged last and counted at once: what ran meanwhile has counted its own.
            self._check_quota(mailbox, len(envelope.recipients))
            self._accept(call, caller, mailbox, envelope, content, save_copy=save_copy)
        finally:
            content.discard()

    def _check_mailbox(self, address: str) -> None:
        mailbox = self._mailbox(address)
        if mailbox.restricted:
            raise errors.restricted_sender()
        if mailbox.spam_verdict:
            raise errors.outbound_spam(mailbox.spam_verdict)
        if mailbox.full:
            raise errors.mailbox_full()

    def _envelope(self, caller: Caller, mailbox: str, item: Item) -> Envelope:
        authors, senders = _texts(item, "from"), _texts(item, "sender")
        accepts_at = caller.tenant.assumptions.graph_at_sign_in_name == "accept"
        if not accepts_at and any("@" in _names(text) for text in (*authors, *senders)):
            raise errors.send_as_denied()
        claimed = [address for text in (*authors, *senders) for address in _addresses(text)]
        for address in claimed or [""]:
            if not self._access.may_send_as(caller, mailbox, address):
                raise errors.send_as_denied()
        return Envelope(
            sender=claimed[-1] if senders else claimed[0], recipients=self._recipients(caller, mailbox, item)
        )

    def _recipients(self, caller: Caller, mailbox: str, item: Item) -> tuple[str, ...]:
        found: dict[str, str] = {}
        for name in ("to", "cc", "bcc"):
            for text in _texts(item, name):
                for address in _addresses(text):
                    if not _ADDRESS.fullmatch(address):
                        raise errors.invalid_recipients(_CONTROL.sub(" ", address))
                    found.setdefault(address.lower(), address)
        if not found:
            raise errors.no_recipients()
        reports = caller.tenant.assumptions.too_many_recipients == "report"
        if len(found) > self._recipient_limit(mailbox) and not reports:
            raise errors.too_many_recipients()
        return tuple(found.values())

    async def _content(self, mailbox: str, item: Item) -> Content:
        limit = self._mailbox(mailbox).send_octets or self._limits(mailbox).mailbox_send_octets
        content = Content(limit=limit, directory=self._store.directory)
        try:
            await asyncio.to_thread(write, item, content.append)
        except OSError as error:
            content.discard()
            raise errors.no_resources() from error
        except BaseException:
            content.discard()
            raise
        if content.too_big or content.failed:
            content.discard()
            raise errors.message_too_big() if content.too_big else errors.no_resources()
        return content

    def _check_quota(self, mailbox: str, recipients: int) -> None:
        limit = self._limits(mailbox).recipients_per_day
        if not self._quota.has_room(mailbox, recipients, self._clock.now(), limit):
            raise errors.submission_quota_exceeded()

    def _accept(
        self, call: Call, caller: Caller, mailbox: str, envelope: Envelope, content: Content, *, save_copy: bool
    ) -> None:
        transcript = Transcript()
        transcript.client(f"{call.method} /{'/'.join(call.path)}"[:500])
        transcript.note(f"application {caller.client_id}" + (f", user {caller.user}" if caller.user else ""))
        parcel = Parcel(
            tenant=caller.tenant,
            mailbox=mailbox,
            way="Graph",
            sender=envelope.sender,
            recipients=envelope.recipients,
            content=content,
            head=read_head(content.head),
            server=self._server(caller, call.request_id),
            client=call.client,
            tls_version=call.tls_version,
            session_id=call.request_id,
            transcript=transcript,
            save_copy=save_copy,
            recipient_limit=self._recipient_limit(mailbox),
        )
        try:
            record = self._post.accept(parcel)
        except OSError as error:
            _log.error("a message could not be kept: %s", error.strerror)
            raise errors.no_resources() from error
        self._quota.use(mailbox, len(envelope.recipients), self._clock.now())
        transcript.server(f"202 Accepted {record.message_id}")
        self._store.session_ended(call.request_id)

    def _server(self, caller: Caller, session: str) -> str:
        return FrontEnd(service=caller.tenant.service, session_id=session).mailbox_server

    def _mailbox(self, address: str) -> Mailbox:
        return self._directory.mailbox(address) or Mailbox()

    def _recipient_limit(self, address: str) -> int:
        return self._mailbox(address).recipient_limit or self._limits(address).recipients_per_message

    def _limits(self, address: str) -> Limits:
        return self._directory.limits_of(address)


def _texts(item: Item, name: str) -> list[str]:
    return [value.decode("utf-8", "replace").replace("\r\n", "") for value in item.values(name)[:100]]


def _addresses(text: str) -> list[str]:
    """Return the addresses of a field; what should be one and is not is returned as it stands.

    Lenient where the standard parser gives up on the whole field, as Exchange is (RFC 5322 4.4).
    """
    parts = [_GROUP.sub("", part.strip()).strip() for part in _QUOTED.sub("", text).split(",")]
    return [_angled(part) for part in parts if part]


def _angled(part: str) -> str:
    before, less, after = part.rpartition("<")
    return after.partition(">")[0].strip() if less else before or after


def _names(text: str) -> str:
    """Return the display names of a field that are not quoted."""
    return " ".join(part.rpartition("<")[0] for part in _QUOTED.sub("", text).split(","))
