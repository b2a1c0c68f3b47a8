"""How long a server may take.

Source: RFC 5321 4.5.3.2 (time-outs), which wants clients to be patient: what is given up too early is sent twice.
Shape: `Patience` is a table of seconds; tests hand in smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.wire.smtp.client_events import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the server may take, in seconds: RFC 5321 4.5.3.2.

    Attributes:
        block: For the socket to take the next piece of content.
        final: For the answer to the final dot.
        quit: RFC 5321 names none; nothing depends on it.
        idle: How long a connection without work is kept.
        attempt: After this long no further address or connector is tried; the queue's next attempt goes on.
    """

    greeting: float = 300.0
    hello: float = 300.0
    starttls: float = 120.0
    auth: float = 120.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    reset: float = 30.0
    quit: float = 2.0
    idle: float = 5.0
    attempt: float = 300.0

    def seconds(self, stage: Stage) -> float:
        """For the answer at a stage."""
        return {
            Stage.GREETING: self.greeting,
            Stage.HELLO: self.hello,
            Stage.STARTTLS: self.starttls,
            Stage.AUTH: self.auth,
            Stage.MAIL: self.mail,
            Stage.RCPT: self.rcpt,
            Stage.DATA: self.data,
            Stage.CONTENT: self.final,
            Stage.RESET: self.reset,
            Stage.NOOP: self.reset,
            Stage.QUIT: self.quit,
        }.get(stage, self.greeting)
