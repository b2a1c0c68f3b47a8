"""The sender as a connector wants it: as it is, or rewritten to the mailbox that sends.

Source: Exchange Online checks MAIL FROM, From and Sender against the mailbox that logged in and refuses others (554
5.2.252 SendAsDenied); RFC 5322 3.6.2; an ``@`` in a display name is taken for an address by Microsoft Graph.
Shape: `shape_sender` gives the message that a way out may carry. Content in the spool gets a new prefix in the place of
its header and is never written anew.
Failures: ``OSError`` from the spool is left to the carrier, which reads the same file: the message stays as it is. A
header that goes on behind what is looked at stays as it is too.
Leaves to others: which mailbox sends (``queue.budget``), recipients (``wire.rebuild``).

Only the fields From, Sender and Reply-To change. A DKIM signature of the original author's domain covers From and does
not survive that; Microsoft signs for the domain that now stands in From. The null sender of a notice stays null, and
only its From changes, because a notice about a notice must never come into being. A mailbox sends a notice under its
own name even where senders stay as they are: Exchange would refuse the author that it names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from posthouse.decide.outbound import Acs, FromMailboxes
from posthouse.decide.patterns import sender_is_listed
from posthouse.decide.ways import Way
from posthouse.deliver.content import read_spooled
from posthouse.mail.address import Address, AddressError
from posthouse.mail.message import Content, InlineContent, Message, SpooledContent
from posthouse.wire.header import MAX_HEADER_OCTETS, HeaderIndex
from posthouse.wire.mailboxes import Listed, read_mailboxes, write_field

MaySend = Callable[[str], bool]
_IN_A_THREAD = 32 * 1024


async def shape_sender(way: Way, message: Message, mailbox: str) -> Message:
    """Give the message the sender that its way out asks for.

    Args:
        mailbox: The mailbox that sends; empty where none does.
    """
    connector = way.connector
    allowed: tuple[str, ...] = ()
    if isinstance(connector, FromMailboxes) and connector.sender_handling == "rewrite":
        allowed = connector.allowed_senders
    elif isinstance(connector, FromMailboxes) and message.envelope.sender is None:
        # What notices and alerts name as author is this node, and no mailbox may send as that.
        allowed = ()
    elif isinstance(connector, Acs) and connector.sender:
        mailbox = connector.sender
    else:
        return message
    if not mailbox:
        return message

    def may_send(address: str) -> bool:
        return address.lower() == mailbox.lower() or _is_listed(allowed, address)

    content = message.content
    if isinstance(content, SpooledContent):
        shaped: Content = await asyncio.to_thread(_shape_spooled, content, mailbox, may_send)
    elif content.size_octets < _IN_A_THREAD:
        shaped = _shape_inline(content, mailbox, may_send)
    else:
        shaped = await asyncio.to_thread(_shape_inline, content, mailbox, may_send)
    sender = message.envelope.sender
    if sender is not None and not may_send(str(sender)):
        sender = Address.parse(mailbox)
    if shaped is content and sender is message.envelope.sender:
        return message
    return replace(message, content=shaped, envelope=replace(message.envelope, sender=sender))


def _shape_inline(content: InlineContent, mailbox: str, may_send: MaySend) -> InlineContent:
    index = HeaderIndex.scan(content.data)
    header = _rewritten(index, mailbox, may_send)
    return content if header is None else InlineContent(header + _gap(index) + content.data[index.end :])


def _shape_spooled(content: SpooledContent, mailbox: str, may_send: MaySend) -> SpooledContent:
    try:
        head = read_spooled(content, MAX_HEADER_OCTETS + 2)
    except OSError:
        return content
    index = HeaderIndex.scan(head)
    header = _rewritten(index, mailbox, may_send)
    if header is None:
        return content
    before = len(content.prefix)
    if index.end <= before:
        # All of the header stands in the prefix, or there is none.
        return replace(content, prefix=header + _gap(index) + head[index.end : before])
    return replace(content, prefix=header, skip_octets=content.skip_octets + index.end - before)


def _gap(index: HeaderIndex) -> bytes:
    """A message without any field gets a blank line behind those that it is given."""
    return b"" if index.fields or index.body_start > index.end else b"\r\n"


def _rewritten(index: HeaderIndex, mailbox: str, may_send: MaySend) -> bytes | None:
    """The fields with the mailbox as author, or None where they may stay as they are."""
    if index.is_truncated:
        return None
    authors = [listed for field in index.all("from") for listed in _listed(index, field.value_start, field.end)]
    senders = [listed for field in index.all("sender") for listed in _listed(index, field.value_start, field.end)]
    keeps_from = bool(authors) and all(may_send(author.address) for author in authors)
    keeps_sender = all(may_send(sender.address) for sender in senders)
    if keeps_from and keeps_sender:
        return None
    pieces, is_written = list[bytes](), keeps_from
    for field in index.fields:
        octets = index.data[field.start : field.end]
        if field.name == b"from" and not keeps_from:
            if not is_written:
                pieces += _new_author(authors, mailbox, has_reply_to=bool(index.all("reply-to")))
                is_written = True
            pieces.append(b"X-Original-From:" + _ended(index.data[field.value_start : field.end]))
        elif field.name != b"sender" or keeps_sender:
            pieces.append(_ended(octets))
    if not is_written:
        pieces += _new_author(authors, mailbox, has_reply_to=True)
    return b"".join(pieces)


def _new_author(authors: list[Listed], mailbox: str, *, has_reply_to: bool) -> list[bytes]:
    name = ""
    if authors:
        name = (authors[0].name or authors[0].address).replace("@", " at ")
    fields = [write_field("From", [Listed(mailbox, name)])]
    if authors and not has_reply_to:
        fields.append(write_field("Reply-To", authors))
    return fields


def _listed(index: HeaderIndex, start: int, end: int) -> tuple[Listed, ...]:
    return read_mailboxes(index.data[start:end])


def _ended(octets: bytes) -> bytes:
    """A field that ends the message may lack its line end."""
    return octets if octets.endswith(b"\n") else octets + b"\r\n"


def _is_listed(patterns: tuple[str, ...], address: str) -> bool:
    try:
        return bool(patterns) and sender_is_listed(patterns, Address.parse(address))
    except AddressError:
        return False
