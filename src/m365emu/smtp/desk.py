"""The port through which the dialogue asks for decisions.

Purpose: keep `smtp.session` free of tenants, clocks and files. Shape: `Desk` is what a session needs; the values
it hands over are here too. There are two: `submission.SubmissionDesk`, where clients log on, and
`exchanger.ExchangerDesk`, where they never do.
"""

from collections.abc import Sequence
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
    """What was negotiated.

    Attributes:
        version: as OpenSSL names it (`TLSv1.3`).
        cipher: the cipher suite.
        server_name: the host that the client asked for (SNI), in lower case; empty when it named none.
        peer_names: the names in the client's certificate, when its chain verifies.
        peer_note: what is to be known of the client's certificate, for the transcript.
    """

    version: str
    cipher: str
    server_name: str = ""
    peer_names: tuple[str, ...] = ()
    peer_note: str = ""

    @property
    def is_old(self) -> bool:
        """Whether the version is one that the service has given up."""
        return self.version in ("TLSv1", "TLSv1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonRefused:
    """A logon that failed: what the client is told, and what the transcript may say of the reason.

    `challenge` is said first, if there is one, and the refusal after the client's empty answer.
    """

    reply: Reply
    note: str
    challenge: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A session as it stands when something is to be decided. `hello` is how the client named itself."""

    front: FrontEnd
    client: str
    hello: str
    tls: Tls | None
    principal: Principal | None
    transcript: Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A whole message with its envelope, at the end of DATA. `began` is the moment of DATA or the first BDAT."""

    visit: Visit
    number: int
    sender: Path
    recipients: tuple[Path, ...]
    content: Content
    head: Head
    began: datetime


class Desk(Protocol):
    """Who decides."""

    @property
    def takes_logons(self) -> bool:
        """Whether AUTH is offered, and MAIL needs it."""

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

    def allows_old_tls(self, tls: Tls) -> bool:
        """Say whether AUTH over TLS 1.0 or 1.1 is looked at, as the legacy host does."""

    def log_on(self, claim: PasswordClaim | BearerClaim, visit: Visit) -> Principal | LogonRefused:
        """Judge a claim."""

    def begin(self, visit: Visit, sender: Path) -> int | Reply:
        """Open a transaction: its number, or the refusal of MAIL."""

    def refuse_recipient(self, visit: Visit, sender: Path, others: Sequence[Path], path: Path) -> Reply | None:
        """Refuse one more recipient, or let it be added to the others."""

    def end(self, visit: Visit, number: int) -> None:
        """Close a transaction; harmless when it is closed."""

    def judge(self, submission: Submission) -> Reply | datetime:
        """Refuse a message, or name the moment at which it is taken: now or later."""

    def keep(self, submission: Submission) -> Reply:
        """Take a judged message and return the success reply."""

    def count(self, reply: Reply) -> None:
        """Count a reply in the statistics."""
