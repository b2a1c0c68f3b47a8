"""Content of a message: from the go-ahead to the last octet.

Source: RFC 5321 4.1.1.4 (DATA), RFC 3030 2 (BDAT), RFC 1870 6.2 (too large while it comes).
Shape: ``agree`` is the driver's answer to `ContentRequested`; ``read_content`` takes what has come and gives an event,
``NEED_DATA``, or None when the turn is the next command's.
Failures: a `Fault` becomes `ContentAborted` at once and a reply at the end of the swallowed message.
Leaves to others: the octets themselves (``wire.smtp.content``).
"""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.mail.envelope import Body
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.content import ChunkReader, Discard, DotReader, Fault
from posthouse.wire.smtp.events import NEED_DATA, ContentAborted, ContentChunk, ServerEvent, Wait
from posthouse.wire.smtp.order import State
from posthouse.wire.smtp.session import Session

_REFUSALS: Mapping[Fault, Reply] = {
    Fault.BARE_NEWLINE: replies.BARE_NEWLINE,
    Fault.TOO_LARGE: replies.MESSAGE_TOO_LARGE,
    Fault.LINE_TOO_LONG: replies.LINE_TOO_LONG,
}


def agree_to_data(session: Session, reply: Reply) -> None:
    """The driver's answer to DATA; anything but 354 ends the transaction."""
    session.say(reply)
    if reply.code != replies.START_MAIL_INPUT.code:
        session.end_transaction()
        session.state = State.READY
        return
    offer = session.offer
    session.reader = DotReader(session.bare_newlines, offer.max_message_octets, offer.max_line_octets)
    session.state = State.CONTENT


def agree_to_chunks(session: Session, reply: Reply) -> None:
    """The driver's answer to the first BDAT. The go-ahead is not sent: the octets are on their way already."""
    octets, is_last = session.chunk
    if reply.code != replies.START_MAIL_INPUT.code:
        session.end_transaction()
        session.state = State.READY
        discard(session, octets, reply)
        return
    offer = session.offer
    policy = None if session.body is Body.BINARY_MIME else session.bare_newlines
    session.chunks = ChunkReader(policy, offer.max_message_octets, offer.max_line_octets)
    session.state = State.CHUNKS
    next_chunk(session, session.chunks, octets, is_last)


def next_chunk(session: Session, chunks: ChunkReader, octets: int, is_last: bool) -> None:
    """Read the octets of one BDAT."""
    chunks.begin(octets, is_last=is_last)
    session.chunk = (octets, is_last)
    session.reader = chunks


def discard(session: Session, octets: int, reply: Reply) -> None:
    """Answer a BDAT with `reply` after its octets have gone by."""
    session.reader = Discard(octets)
    session.refusal = reply


def read_content(session: Session, reader: DotReader | ChunkReader | Discard) -> ServerEvent | Wait | None:
    """Take what has come."""
    data, start = session.input.peek()
    # A BDAT of no octets is ended before it begins.
    if start == len(data) and (isinstance(reader, DotReader) or reader.remaining):
        return _wait_for_more(session)
    body, stop = reader.feed(data, start)
    session.input.advance(stop)
    if isinstance(reader, Discard):
        return _after_discard(session, reader)
    guard = reader.guard
    if guard.fault is not None:
        return _abort(session, reader, guard.fault)
    if not reader.is_ended:
        return ContentChunk(body, False, guard.repaired_lines) if body else None
    session.reader = None
    if isinstance(reader, DotReader) or reader.is_last:
        session.answer = settle
        return ContentChunk(body, True, guard.repaired_lines)
    session.say(replies.chunk_received(session.chunk[0]))
    return ContentChunk(body, False, guard.repaired_lines) if body else None


def settle(session: Session, reply: Reply) -> None:
    """The driver's final answer to a message."""
    session.say(reply)
    session.end_transaction()
    session.state = State.READY
    if reply.is_positive:
        session.errors = 0


def _wait_for_more(session: Session) -> Wait | ServerEvent | None:
    if not session.is_peer_gone:
        return NEED_DATA
    event = None if session.is_aborted or isinstance(session.reader, Discard) else ContentAborted("connection lost")
    session.close("connection lost")
    return event


def _after_discard(session: Session, reader: Discard) -> ServerEvent | None:
    if reader.is_ended:
        session.reader = None
        refusal, session.refusal = session.refusal, None
        if refusal is not None and refusal.is_permanent:
            session.fail(refusal)
        elif refusal is not None:
            session.say(refusal)
    return None


def _abort(session: Session, reader: DotReader | ChunkReader, fault: Fault) -> ServerEvent | None:
    """Say so once and swallow the rest; answer when it has gone by."""
    event = None if session.is_aborted else ContentAborted(fault.value)
    session.is_aborted = True
    if reader.is_ended:
        session.end_transaction()
        session.state = State.READY
        session.fail(_REFUSALS[fault])
        if fault is Fault.BARE_NEWLINE and isinstance(reader, DotReader):
            # The sender may believe that the message ended at the bare newline. What comes next was then written to be
            # obeyed as commands by somebody who sees only text, so nothing of it is read.
            session.close("bare newline in content")
    return event
