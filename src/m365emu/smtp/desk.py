"""The port through which the dialogue asks for decisions.

Purpose: keep `smtp.session` free of tenants, clocks and files. Shape: `Desk` is what a session needs; the values
it hands over are here too. The emulator's own desk is `submission.SubmissionDesk`.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as FilePath
from typing import Protocol

from m365emu.directory import Principal
from m365emu.faults import Fault, Stage
from m365emu.headers import Head
from m365emu.hosts import FrontEnd
from m365emu.replies import Reply
from m365emu.smtp.commands import Path
from m365emu.smtp.content import Content
from m365emu.smtp.sasl import BearerClaim, PasswordClaim
from m365emu.tenant import Limits
from m365emu.transcript import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What was negotiated: the version as OpenSSL names it (`TLSv1.3`) and the cipher."""

    version: str
    cipher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonRefused:
    """A logon that failed: what the client is told, and what the transcript may say of the reason."""

    reply: Reply
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A whole message with its envelope, at the end of DATA."""

    front: FrontEnd
    principal: Principal
    number: int
    sender: Path
    recipients: tuple[Path, ...]
    content: Content
    head: Head
    client: str
    tls: Tls
    transcript: Transcript


class Desk(Protocol):
    """Who decides."""

    @property
    def limits(self) -> Limits:
        """The limits as they are now."""

    @property
    def directory_for_content(self) -> FilePath:
        """Where large messages grow while they come in."""

    def now(self) -> datetime:
        """The present moment."""

    def fault(self, stage: Stage, mailbox: str | None) -> Fault | None:
        """Return the fault on order for this moment, if any."""

    def log_on(self, claim: PasswordClaim | BearerClaim, front: FrontEnd) -> Principal | LogonRefused:
        """Judge a claim."""

    def begin(self, principal: Principal) -> int | Reply:
        """Open a transaction: its number, or the refusal of MAIL."""

    def end(self, principal: Principal, number: int) -> None:
        """Close a transaction; harmless when it is closed."""

    def judge(self, submission: Submission) -> Reply | datetime:
        """Refuse a message, or name the moment at which it is taken: now or later."""

    def keep(self, submission: Submission) -> Reply:
        """Take a judged message and return the success reply."""

    def count(self, reply: Reply) -> None:
        """Count a reply in the statistics."""
