"""The two SMTP hosts, built.

Purpose: connect desks, TLS and listeners of submission and MX. Shape: `SmtpHosts` holds both; nothing listens until
`start`. Failures: `OSError` when an address cannot be bound, or a file of authorities cannot be read; `ValueError`
when that file holds no certificates. Leaves to others: every decision (`submission`, `exchanger`).
"""

from pathlib import Path

from m365emu.certificates import Certificates
from m365emu.client_addresses import ClientAddresses
from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.exchanger import ExchangerDesk
from m365emu.faults import Faults
from m365emu.journal import Journal
from m365emu.logon import Logons
from m365emu.mailbox import MessageStore
from m365emu.post import Post
from m365emu.smtp.client_certificate import ExchangerTls
from m365emu.smtp.server import SmtpHost
from m365emu.smtp.tls import ServerTls
from m365emu.statistics import Statistics
from m365emu.submission import SubmissionDesk

CLIENT_AUTHORITIES = "client-ca.pem"
"""The file, in the emulator's directory, of authorities whose clients the MX trusts besides its own."""


class SmtpHosts:
    """Submission and MX.

    Attributes:
        submission_desk: decides at the submission host.
        exchanger_desk: decides at the MX.
        submission, exchanger: the hosts themselves; `new_session` of each gives a session without a network.
    """

    def __init__(
        self,
        *,
        home: Path,
        certificates: Certificates,
        directory: Directory,
        logons: Logons,
        store: MessageStore,
        post: Post,
        faults: Faults,
        statistics: Statistics,
        addresses: ClientAddresses,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self.submission_desk = SubmissionDesk(
            directory=directory,
            logons=logons,
            store=store,
            post=post,
            faults=faults,
            statistics=statistics,
            clock=clock,
        )
        self.exchanger_desk = ExchangerDesk(
            directory=directory, store=store, post=post, faults=faults, statistics=statistics, clock=clock
        )
        self.submission = SmtpHost(
            desk=self.submission_desk,
            directory=directory,
            store=store,
            statistics=statistics,
            clock=clock,
            tls=ServerTls(certificates),
            addresses=addresses,
            journal=journal,
        )
        self.exchanger = SmtpHost(
            desk=self.exchanger_desk,
            directory=directory,
            store=store,
            statistics=statistics,
            clock=clock,
            tls=ExchangerTls(certificates, home / CLIENT_AUTHORITIES, clock.now),
            addresses=addresses,
            journal=journal,
            role="exchanger",
        )

    async def start(self, submission: tuple[str, int], mx: tuple[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
        """Listen; return the addresses that were bound."""
        return await self.submission.start(*submission), await self.exchanger.start(*mx)

    async def stop(self) -> None:
        """Stop listening and end every connection with 421."""
        await self.submission.stop()
        await self.exchanger.stop()
