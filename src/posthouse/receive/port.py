"""What receiving asks of the layer below it: a place that keeps messages.

Shape: `Intake` is implemented by the queue; tests have one in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Protocol

from posthouse.mail.event import Event
from posthouse.mail.ids import MessageId
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.store.port import SpoolFile


class NotTaken(ValueError):
    """The intake will not have the message, although its recipients were accepted one by one.

    The flow may have changed between RCPT and the end of the content.

    Attributes:
        reply: What the client reads.
    """

    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply


class Intake(Protocol):
    """Keeps messages."""

    inline_octets: int
    """Content up to this size is handed over in memory, larger content in a spool file."""

    def refusal(self) -> tuple[Reply, str] | None:
        """Why no message can be taken just now (disk, queue): a reply and a reason. Cheap; asked at MAIL and RCPT."""

    def new_id(self, now: datetime) -> MessageId:
        """A name for a message."""

    def expires_at(self, received_at: datetime) -> datetime:
        """When attempts to deliver a message end."""

    def enqueue(self, message: Message) -> Awaitable[None]:
        """Keep a message. When it is done, the message is on disk and ours to deliver.

        Raises (from the call or from the awaitable):
            StoreUnavailable: Nothing was kept; the client must try again.
            NotTaken: Nothing was kept, and the reply says why.
        """

    def open_spool(self) -> SpoolFile:
        """Begin a large content. Raises `StoreUnavailable`."""

    def refused(self, event: Event) -> None:
        """Note what happened at the door; the implementation bounds how much of it is kept."""
