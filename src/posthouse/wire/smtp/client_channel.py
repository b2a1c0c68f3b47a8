"""Commands out and the marks of the answers that are due.

Source: RFC 5321 4.2 (each command gets one reply, in order), RFC 2920 3.1 (groups of commands).
Shape: `Channel` is shared by the session and its transactions. Commands that may not leave yet, because the server does
not pipeline, wait in a plan and leave one by one as answers come.
Failures: none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from posthouse.wire.smtp.client_events import Stage

Mark = tuple[Stage, int]
"""What a reply will be the answer to: the stage, and a number that the stage gives a meaning to."""

Command = tuple[bytes, Mark]


class Channel:
    """The way to the server.

    Attributes:
        is_pipelining: Commands may leave before earlier ones were answered.
        transcript: Lines for the protocol log, or None.
    """

    __slots__ = ("_awaiting", "_out", "_plan", "is_pipelining", "transcript")

    def __init__(self, *, keeps_transcript: bool, first: Mark) -> None:
        self.is_pipelining = False
        self.transcript: list[tuple[str, str]] | None = [] if keeps_transcript else None
        self._out: list[bytes] = []
        self._awaiting: deque[Mark] = deque((first,))
        self._plan: deque[Command] = deque()

    @property
    def awaiting(self) -> Mark | None:
        """What the next reply answers."""
        return self._awaiting[0] if self._awaiting else None

    @property
    def is_quiet(self) -> bool:
        """Nothing is to be answered and nothing is planned."""
        return not self._awaiting and not self._plan

    def ask(self, line: str, mark: Mark, *, shown: str | None = None) -> None:
        """Send one command, now or when its turn comes.

        Args:
            shown: What the transcript shows instead, for credentials.
        """
        command = line.encode() + b"\r\n"
        if self._awaiting and not self.is_pipelining:
            self._plan.append((command, mark))
            return
        self._out.append(command)
        self._awaiting.append(mark)
        if self.transcript is not None:
            self.transcript.append((">", shown or line))

    def ask_all(self, commands: Sequence[Command]) -> None:
        """Send a group of commands, together or one by one."""
        if self.is_pipelining:
            for command, mark in commands:
                self._out.append(command)
                self._awaiting.append(mark)
            if self.transcript is not None:
                self.transcript += [(">", _shown(command)) for command, _ in commands]
        else:
            self._plan.extend(commands)
            self.ask_next()

    def ask_next(self) -> None:
        """Send the next planned command if nothing else is to be answered."""
        if self._plan and not self._awaiting:
            command, mark = self._plan.popleft()
            self._out.append(command)
            self._awaiting.append(mark)
            if self.transcript is not None:
                self.transcript.append((">", _shown(command)))

    def send(self, octets: bytes, mark: Mark | None = None) -> None:
        """Send octets that are no command; with a mark where they will be answered."""
        self._out.append(octets)
        if mark is not None:
            self._awaiting.append(mark)

    def take_mark(self) -> Mark | None:
        """Take out the mark that the reply at hand belongs to; None when nothing was asked."""
        return self._awaiting.popleft() if self._awaiting else None

    def drop_plan(self) -> None:
        """Do not send what is planned."""
        self._plan.clear()

    def drop_all(self) -> None:
        """The session is over."""
        self._plan.clear()
        self._awaiting.clear()
        self._out.clear()

    def take_output(self) -> bytes:
        """Take out the octets to send."""
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data


def _shown(command: bytes) -> str:
    return command.decode(errors="replace").rstrip()
