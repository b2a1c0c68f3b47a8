"""One mail transaction: MAIL, RCPT, then the content by DATA or BDAT, up to the final reply.

Purpose: the part of the dialogue that carries a message. Source: RFC 5321 3.3; RFC 3030 (BDAT, BINARYMIME);
RFC 3461 (DSN parameters); RFC 6531 (SMTPUTF8); refusals that depend on the mailbox come at the end of DATA, as
Exchange Online has it. Shape: `Transaction` belongs to one session and is cleared and used again.
Failures: none rise; what cannot be kept is refused for now. Leaves to others: the order of commands
(`smtp.order`), whether the message is taken (`smtp.desk`).
"""

from datetime import datetime
from typing import TYPE_CHECKING

from m365emu import replies
from m365emu.headers import read_head
from m365emu.replies import Reply
from m365emu.smtp.commands import Path, read_chunk, read_recipient, read_sender
from m365emu.smtp.content import Content, DotReader
from m365emu.smtp.desk import Submission
from m365emu.smtp.order import State

if TYPE_CHECKING:
    from m365emu.smtp.session import Session


class Transaction:
    """The message under way in a session, if there is one."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._number: int | None = None
        self._sender: Path | None = None
        self._began: datetime | None = None
        self._recipients: list[Path] = []
        self._content: Content | None = None
        self._reader: DotReader | None = None
        self._chunk_left = 0
        self._chunk_size = 0
        self._chunk_is_last = False
        self._chunk_refusal: Reply | None = None
        self._in_chunk = False
        self._submission: Submission | None = None

    @property
    def takes_content(self) -> bool:
        """Whether the next octets are content, not commands."""
        return self._reader is not None or self._in_chunk

    def clear(self) -> None:
        """Forget the transaction and everything that belongs to it."""
        session = self._session
        if self._number is not None:
            session.desk.end(session.visit, self._number)
        if self._content is not None:
            self._content.discard()
        self._number = self._sender = self._content = self._reader = self._submission = self._began = None
        self._recipients = []

    def mail(self, argument: str) -> None:
        """Take MAIL."""
        session = self._session
        if session.desk.takes_logons and session.principal is None:
            session.say(session.not_authenticated())
            return
        path = read_sender(argument)
        if isinstance(path, Reply):
            session.say(path)
            return
        if not path.address.isascii() and "SMTPUTF8" not in path.parameters:
            session.say(replies.SMTPUTF8_MISSING)
        elif int(path.parameters.get("SIZE") or 0) > session.desk.limits.advertised_octets:
            session.say(replies.MESSAGE_TOO_BIG)
        elif not session.strike("mail"):
            self._begin(path)

    def _begin(self, path: Path) -> None:
        session = self._session
        number = session.desk.begin(session.visit, path)
        if isinstance(number, Reply):
            session.say(number)
            return
        self._number, self._sender = number, path
        session.state = State.MAIL
        session.say(replies.SENDER_OK)

    def rcpt(self, argument: str) -> None:
        """Take RCPT; who decides of a well-formed recipient is the desk."""
        session = self._session
        assert self._sender is not None
        path = read_recipient(argument)
        if isinstance(path, Reply):
            session.say(path)
        elif not path.address.isascii() and "SMTPUTF8" not in self._sender.parameters:
            session.say(replies.SMTPUTF8_MISSING)
        elif refusal := session.desk.refuse_recipient(session.visit, self._sender, self._recipients, path):
            session.say(refusal)
        elif not session.strike("rcpt"):
            self._recipients.append(path)
            session.state = State.RCPT
            session.say(replies.RECIPIENT_OK)

    def data(self, argument: str) -> None:
        """Take DATA and ask for the content."""
        session = self._session
        assert self._sender is not None
        if argument:
            session.say(replies.INVALID_ARGUMENTS)
        elif self._sender.parameters.get("BODY", "").upper() == "BINARYMIME":
            session.say(replies.BAD_SEQUENCE)  # only BDAT can carry it (RFC 3030 3)
        elif not session.strike("data"):
            self._content, self._reader = self._new_content(), DotReader()
            session.say(replies.START_INPUT)

    def bdat(self, argument: str) -> None:
        """Take BDAT; its octets follow at once."""
        session = self._session
        chunk = read_chunk(argument)
        if isinstance(chunk, Reply):
            session.say(chunk)
            return
        if self._content is None:
            self._content = self._new_content()
        session.state = State.CHUNKS
        self._await_chunk(chunk, None)

    def swallow_chunk(self, argument: str, refusal: Reply) -> None:
        """Let the octets of a refused BDAT pass, then refuse: they must not be read as commands."""
        chunk = read_chunk(argument)
        if isinstance(chunk, Reply):
            self._session.say(chunk)
        else:
            self._await_chunk(chunk, refusal)

    def take(self, data: bytes) -> bytes:
        """Take octets of content and return what lies behind its end."""
        return self._take_lines(self._reader, data) if self._reader is not None else self._take_chunk(data)

    def keep(self) -> None:
        """Take the judged message and say so."""
        session, submission = self._session, self._submission
        assert submission is not None
        reply = session.desk.keep(submission)
        session.state = State.GREETED
        self.clear()
        session.say(reply)

    def _new_content(self) -> Content:
        desk = self._session.desk
        self._began = desk.now()
        return Content(limit=desk.limits.advertised_octets, directory=desk.directory_for_content)

    def _take_lines(self, reader: DotReader, data: bytes) -> bytes:
        assert self._content is not None
        content, rest = reader.feed(data)
        self._content.append(content)
        if rest is None:
            return b""
        self._reader = None
        self._finish(self._content)
        return rest

    def _await_chunk(self, chunk: tuple[int, bool], refusal: Reply | None) -> None:
        self._chunk_size, self._chunk_is_last = chunk
        self._chunk_left = self._chunk_size
        self._chunk_refusal = refusal
        self._in_chunk = True
        if not self._chunk_left:
            self._end_chunk()

    def _take_chunk(self, data: bytes) -> bytes:
        part = data[: self._chunk_left]
        self._chunk_left -= len(part)
        if self._chunk_refusal is None and self._content is not None:
            self._content.append(part)
        if not self._chunk_left:
            self._end_chunk()
        return data[len(part) :]

    def _end_chunk(self) -> None:
        self._in_chunk = False
        if self._chunk_refusal is not None:
            self._session.say(self._chunk_refusal)
            return
        assert self._content is not None
        if self._chunk_is_last:
            self._finish(self._content)
        elif self._content.too_big:
            self._refuse(replies.MESSAGE_TOO_BIG)
        else:
            self._session.say(replies.chunk_received(self._chunk_size))

    def _refuse(self, reply: Reply) -> None:
        session = self._session
        session.state = State.GREETED
        self.clear()
        session.say(reply)

    def _finish(self, content: Content) -> None:
        """The whole content is here: decide, now or later."""
        session = self._session
        session.transcript.client(f"(message content, {content.size} octets)")
        submission = self._submission = self._as_submission(content)
        fault = session.ordered_fault("end-of-data")
        if fault is not None:
            self._strike(submission, keep=fault.keep)
            session.state = State.GREETED
            session.carry_out(fault)
            return
        verdict = session.desk.judge(submission)
        if isinstance(verdict, Reply):
            self._refuse(verdict)
        elif verdict <= session.desk.now():
            self.keep()
        else:
            session.wait(verdict)

    def _strike(self, submission: Submission, *, keep: bool) -> None:
        if keep:
            self._session.desk.keep(submission)
        self.clear()

    def _as_submission(self, content: Content) -> Submission:
        session = self._session
        assert self._sender is not None and self._number is not None
        return Submission(
            visit=session.visit,
            number=self._number,
            sender=self._sender,
            recipients=tuple(self._recipients),
            content=content,
            head=read_head(content.head),
            began=self._began or session.desk.now(),
        )
