"""What every host asks of a message's content.

Purpose: refusals that depend on the octets alone. Source: recorded refusals of Exchange Online, the texts of Exchange
Server; RFC 5322 3.6.2 (From and Sender). Shape: functions that give a `Reply` or nothing.
Failures: none. Leaves to others: which limits count, and who may send as whom (`submission`, `exchanger`).
"""

from m365emu import replies
from m365emu.headers import Head
from m365emu.replies import Reply
from m365emu.smtp.content import Content
from m365emu.tenant import Limits


def content_refusal(content: Content, head: Head, limits: Limits, most_octets: int) -> Reply | None:
    """Refuse what cannot be kept, is too large, or came in parts that would have to be put together."""
    if content.failed:
        return replies.NO_RESOURCES
    if content.too_big or content.size > most_octets:
        return replies.MESSAGE_TOO_BIG
    if head.octets > limits.header_octets:
        return replies.HEADER_TOO_BIG
    if head.first("content-type").lower().startswith("message/partial"):
        return replies.PARTIAL_MESSAGE
    return None


def author_refusal(head: Head) -> Reply | None:
    """Refuse a From field without an address, and several authors of whom none is named as the sender."""
    authors = head.addresses("from")
    if head.all("from") and not all(authors):
        return replies.NO_AUTHOR
    return replies.SEVERAL_AUTHORS if len(authors) > 1 and not head.addresses("sender") else None
