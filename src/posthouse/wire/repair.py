"""What a submission server may add to a message that a device sent half finished.

Source: RFC 6409 8 (Date, Message-ID, From), RFC 5322 3.6 (which fields a message must have).
Shape: `repairs` looks at the header and gives octets to put in front, with one sentence for each thing that was added.
What is there is never touched, not even a Date that cannot be read: signatures may cover it.
Failures: none.
Leaves to others: whether a session is one of submission (``receive``), Received (``wire.received``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from posthouse.mail.address import Address
from posthouse.mail.ids import MessageId, show_message_id
from posthouse.wire.header import header_end, separator
from posthouse.wire.received import show_date

_DATE = re.compile(rb"\ndate[ \t]*:")
_MESSAGE_ID = re.compile(rb"\nmessage-id[ \t]*:")
_FROM = re.compile(rb"\nfrom[ \t]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """What is added.

    Attributes:
        prefix: Field lines, and the blank line where the message has no header; behind Received, before the message.
        sentences: One for each thing, for `Message.repairs`.
        message_id: The Message-ID that was added, with brackets, or empty.
        from_address: The From that was added, or empty.
    """

    prefix: bytes = b""
    sentences: tuple[str, ...] = ()
    message_id: str = ""
    from_address: str = ""


NOTHING = Repairs()


def repairs(
    data: bytes,
    *,
    at: datetime,
    message_id: MessageId,
    hostname: str,
    sender: Address | None,
    add_from: bool = False,
) -> Repairs:
    """Find what is missing.

    Args:
        data: The message, or the beginning of a large one with its whole header.
        at: When the message came in, aware UTC.
        message_id: Our name for the message; the Message-ID is made of it.
        hostname: Our name, for the right side of the Message-ID.
        sender: Reverse-path, for From.
        add_from: Also add From; left out for the null sender and where the sender is outside ASCII.
    """
    names = b"\n" + data[: header_end(data)].lower()
    lines: list[str] = []
    sentences: list[str] = []
    new_id = new_from = ""
    if _DATE.search(names) is None:
        lines.append(f"Date: {show_date(at)}\r\n")
        sentences.append("Date was missing; the time of acceptance was added.")
    if _MESSAGE_ID.search(names) is None:
        new_id = f"<{show_message_id(message_id)}@{hostname}>"
        lines.append(f"Message-ID: {new_id}\r\n")
        sentences.append("Message-ID was missing; one was added.")
    if add_from and sender is not None and sender.is_ascii and _FROM.search(names) is None:
        new_from = str(sender)
        lines.append(f"From: <{new_from}>\r\n")
        sentences.append(f"From was missing; the envelope sender {new_from} was added.")
    gap = separator(data)
    if gap:
        sentences.append("The message had no header; a blank line was put before its text.")
    elif not lines:
        return NOTHING
    return Repairs(
        prefix="".join(lines).encode("ascii") + gap,
        sentences=tuple(sentences),
        message_id=new_id,
        from_address=new_from,
    )
