"""One transaction on the client's side: from MAIL to the answer that counts.

Source: RFC 5321 3.3 and 4.1.1; RFC 2920 3.1 (what may be said before the answers are in); RFC 3030 2 and 4.2 (BDAT).
Shape: `RunningTransaction` asks through a `Channel`, takes the replies of the stages MAIL, RCPT, DATA and CONTENT, and
says with a `Step` how things stand.
Failures: `OutOfStep` when the server's answer fits nothing; the session must end then.
Leaves to others: the session around it (``wire.smtp.client``).
"""

from __future__ import annotations

from enum import Enum, auto

from posthouse.mail.reply import Reply
from posthouse.wire.smtp.client_channel import Channel, Command, Mark
from posthouse.wire.smtp.client_commands import mail_command, needs_smtputf8, rcpt_command, why_unsendable
from posthouse.wire.smtp.client_content import END_OF_DATA, DotStuffer, stuff
from posthouse.wire.smtp.client_events import Answer, CannotSend, NoAnswer, RecipientResult, Stage, Transaction
from posthouse.wire.smtp.client_extensions import Extensions

BUNDLE_OCTETS = 64 * 1024
"""Content up to this size may leave together with its MAIL, RCPT and BDAT."""

_MAIL, _RCPT, _DATA, _CONTENT = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT
_MAIL_MARK: Mark = (_MAIL, 0)
_CONTENT_MARK: Mark = (_CONTENT, 0)
_DATA_COMMAND: Command = (b"DATA\r\n", (_DATA, 0))


class Step(Enum):
    """How a transaction stands after a reply."""

    GOING = auto()
    CONTENT_WANTED = auto()
    DONE = auto()
    DONE_UNTIDY = auto()
    """All are settled, but the server's transaction is still open: RSET."""
    REFUSED_HALFWAY = auto()
    """All are settled, but the server is in the middle of the content: only closing helps."""


_GOING = Step.GOING


class OutOfStep(Exception):
    """Server and client are not at the same point, so nothing that the server says can be trusted any more."""

    def __init__(self, stage: Stage, reply: Reply) -> None:
        super().__init__(f"the server is out of step: it answered {stage} with {reply}")
        self.stage = stage


class RunningTransaction:
    """The ledger of one transaction, and what is said next.

    Attributes:
        open_count: Recipients without a result.
    """

    __slots__ = (
        "_accepted",
        "_channel",
        "_content",
        "_final_is_queued",
        "_final_is_sent",
        "_results",
        "_size_octets",
        "_stuffer",
        "_uses_bdat",
        "open_count",
    )

    def __init__(self, channel: Channel, transaction: Transaction, extensions: Extensions) -> None:
        self._channel = channel
        self._content = transaction.content
        self._size_octets = transaction.size_octets
        self._uses_bdat = extensions.chunking
        self._stuffer: DotStuffer | None = None
        self._results: list[RecipientResult | None] = [None] * len(transaction.recipients)
        self._accepted: list[int] = []
        self._final_is_queued = self._final_is_sent = False
        self.open_count = len(transaction.recipients)

    @property
    def is_outcome_unknown_if_lost(self) -> bool:
        """The final dot or the last chunk was handed out, and somebody's result hangs on the answer to it."""
        return self._final_is_sent and self.open_count > 0

    @property
    def results(self) -> tuple[RecipientResult, ...]:
        """All results; call when `open_count` is 0."""
        return tuple(result for result in self._results if result is not None)

    # Out.

    def begin(self, transaction: Transaction, extensions: Extensions, *, may_bundle: bool) -> Step:
        """Send the opening commands, as far as the server allows at once."""
        commands = self._opening(transaction, extensions)
        if not commands:
            return Step.DONE
        channel, content = self._channel, self._content
        if not channel.is_pipelining:
            channel.ask_all(commands)
        elif not self._uses_bdat:
            commands.append(_DATA_COMMAND)
            channel.ask_all(commands)
        elif may_bundle and content is not None and len(content) <= BUNDLE_OCTETS:
            commands.append(self._bdat_command())
            channel.ask_all(commands)
            channel.send(content)
            self._final_is_queued = True
        else:
            # Content without a taker would be sent in vain: wait for the answers to RCPT.
            channel.ask_all(commands)
        return _GOING

    def send_content(self, piece: bytes) -> None:
        """Queue a piece of streamed content."""
        if self.open_count and not self._final_is_queued:
            self._channel.send(self._stuffer.feed(piece) if self._stuffer is not None else piece)

    def end_content(self) -> None:
        """All pieces were given."""
        if self.open_count and not self._final_is_queued:
            if self._stuffer is not None:
                self._channel.send(self._stuffer.end())
            self._final_is_queued = True

    def handed_out(self) -> None:
        """What was queued is on its way."""
        self._final_is_sent = self._final_is_queued

    def _opening(self, transaction: Transaction, extensions: Extensions) -> list[Command]:
        """MAIL and RCPT; recipients that cannot be named to the server are settled. Empty when nobody is left."""
        obstacle = why_unsendable(transaction, extensions)
        if obstacle is not None:
            self._settle_open(obstacle)
            return []
        utf8 = extensions.smtputf8 and needs_smtputf8(transaction)
        commands: list[Command] = [(mail_command(transaction, extensions, needs_utf8=utf8), _MAIL_MARK)]
        for index, recipient in enumerate(transaction.recipients):
            command = rcpt_command(recipient, extensions)
            if isinstance(command, CannotSend):
                self._settle(index, command)
            else:
                commands.append((command, (_RCPT, index)))
        return commands if len(commands) > 1 else []

    def _bdat_command(self) -> Command:
        return (b"BDAT %d LAST\r\n" % self._size_octets, _CONTENT_MARK)

    def _ask_for_content(self) -> Step:
        if not self._uses_bdat:
            self._channel.ask_all((_DATA_COMMAND,))
            return _GOING
        self._channel.ask_all((self._bdat_command(),))
        if self._content is None:
            return Step.CONTENT_WANTED
        self._channel.send(self._content)
        self._final_is_queued = True
        return _GOING

    # In.

    def take(self, stage: Stage, index: int, reply: Reply) -> Step:
        """Take the reply to one command.

        Raises:
            OutOfStep: It fits nothing.
        """
        if stage is _RCPT:
            return self._take_rcpt(index, reply)
        if stage is _CONTENT:
            return self._take_content(reply)
        if stage is _DATA:
            return self._take_data(reply)
        return self._take_mail(reply)

    def _take_mail(self, reply: Reply) -> Step:
        if reply.code == 503:
            raise OutOfStep(_MAIL, reply)
        if reply.is_positive:
            self._channel.ask_next()
            return _GOING
        self.answer(_MAIL, reply)
        self._channel.drop_plan()
        return Step.DONE_UNTIDY if self._channel.is_quiet else _GOING

    def _take_rcpt(self, index: int, reply: Reply) -> Step:
        if self._results[index] is None:
            if reply.code == 503:
                raise OutOfStep(_RCPT, reply)
            if reply.is_positive:
                self._accepted.append(index)
            else:
                self._settle(index, Answer(_RCPT, reply))
        if not self._channel.is_quiet:
            self._channel.ask_next()
            return _GOING
        return self._ask_for_content() if self._accepted else Step.DONE_UNTIDY

    def _take_data(self, reply: Reply) -> Step:
        if reply.code >= 400:
            if reply.code == 503 and self._accepted:
                raise OutOfStep(_DATA, reply)
            self.answer(_DATA, reply)
            return Step.DONE_UNTIDY
        if not self._accepted:
            # Nobody is left, but the server waits for a message: an empty one sets it free.
            self._channel.send(END_OF_DATA, _CONTENT_MARK)
            return _GOING
        if self._content is None:
            self._channel.send(b"", _CONTENT_MARK)
            self._stuffer = DotStuffer()
            return Step.CONTENT_WANTED
        self._channel.send(stuff(self._content), _CONTENT_MARK)
        self._final_is_queued = True
        return _GOING

    def _take_content(self, reply: Reply) -> Step:
        is_early = self.open_count > 0 and not self._final_is_sent
        if is_early and reply.is_positive:
            raise OutOfStep(_CONTENT, reply)
        self.answer(_CONTENT, reply)
        if is_early:
            # The server would take the rest of the content for commands, or waits for octets that will not come.
            return Step.REFUSED_HALFWAY
        return Step.DONE_UNTIDY if self._uses_bdat and not reply.is_positive else Step.DONE

    # Results.

    def answer(self, stage: Stage, reply: Reply) -> None:
        """The server's answer counts for all that are open."""
        self._settle_open(Answer(stage, reply))

    def lose(self, stage: Stage, cause: str) -> None:
        """The connection failed: all that are open end without an answer."""
        self._settle_open(NoAnswer(stage, cause, self.is_outcome_unknown_if_lost))

    def _settle(self, index: int, result: RecipientResult) -> None:
        self._results[index] = result
        self.open_count -= 1

    def _settle_open(self, result: RecipientResult) -> None:
        if self.open_count:
            self._results = [result if known is None else known for known in self._results]
            self.open_count = 0
        self._accepted = []
