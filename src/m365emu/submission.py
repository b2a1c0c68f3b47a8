"""What happens to a message at the end of DATA, and everything else the dialogue asks.

Purpose: the decisions of the submission host. Source: recorded refusals of Exchange Online: all that depends on
the mailbox is said only when the whole message is there (SendAs, concurrency, quotas, a full mailbox).
Shape: `SubmissionDesk` is the `smtp.desk.Desk` of the emulator: `judge` refuses or names a moment, `keep` puts
the message where its envelope says; header fields never choose a recipient.
Failures: a disk that is full is answered with 452. Leaves to others: logons (`logon`), counts (`limits`).
"""

import logging
from datetime import datetime
from pathlib import Path as FilePath

from m365emu import replies
from m365emu.clock import Clock
from m365emu.directory import Directory, Principal
from m365emu.faults import Fault, Faults, Stage
from m365emu.hosts import FrontEnd
from m365emu.limits import MessageRate, OpenSubmissions, RecipientQuota
from m365emu.logon import Logons
from m365emu.mailbox import MessageStore
from m365emu.post import Parcel, Post
from m365emu.replies import Reply
from m365emu.smtp.desk import LogonRefused, Submission
from m365emu.smtp.sasl import BearerClaim, PasswordClaim
from m365emu.statistics import Statistics
from m365emu.tenant import Limits

_log = logging.getLogger(__name__)


class SubmissionDesk:
    """Decides for all sessions of the submission host."""

    def __init__(
        self,
        *,
        directory: Directory,
        logons: Logons,
        store: MessageStore,
        post: Post,
        faults: Faults,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._logons = logons
        self._store = store
        self._post = post
        self._faults = faults
        self._statistics = statistics
        self._clock = clock
        self.rate = MessageRate()
        self.quota = RecipientQuota()
        self.open = OpenSubmissions()

    @property
    def limits(self) -> Limits:
        return self._directory.tenant.limits

    @property
    def directory_for_content(self) -> FilePath:
        return self._store.directory

    def now(self) -> datetime:
        return self._clock.now()

    def fault(self, stage: Stage, mailbox: str | None) -> Fault | None:
        return self._faults.take(stage, mailbox)

    def count(self, reply: Reply) -> None:
        self._statistics.count_reply(reply)

    def log_on(self, claim: PasswordClaim | BearerClaim, front: FrontEnd) -> Principal | LogonRefused:
        result = self._logons.judge(claim, front)
        if isinstance(result, Principal):
            self._statistics.logons[result.method] += 1
        return result

    def begin(self, principal: Principal) -> int | Reply:
        if self._rejects_excess and self._minute_is_used_up(principal.mailbox):
            return replies.RATE_EXCEEDED
        return self.open.begin(principal.mailbox)

    def end(self, principal: Principal, number: int) -> None:
        self.open.end(principal.mailbox, number)

    def judge(self, submission: Submission) -> Reply | datetime:
        principal = submission.principal
        refusal = (
            self._check_content(submission)
            or self._check_mailbox(submission)
            or self._check_senders(submission)
            or self._check_quota(submission)
        )
        if refusal is not None:
            return refusal
        if self._rejects_excess and self._minute_is_used_up(principal.mailbox):
            return replies.RATE_EXCEEDED
        moment = self.rate.reserve(principal.mailbox, self.now(), self.limits.messages_per_minute)
        if moment > self.now():
            self._statistics.delayed[principal.mailbox] += 1
        return moment

    def keep(self, submission: Submission) -> Reply:
        front, principal = submission.front, submission.principal
        mailbox = self._directory.mailbox(principal.mailbox)
        parcel = Parcel(
            tenant=self._directory.tenant_of(principal.mailbox) or self._directory.tenant,
            mailbox=principal.mailbox,
            way=principal.method,
            sender=submission.sender.address,
            recipients=tuple(recipient.address for recipient in submission.recipients),
            content=submission.content,
            head=submission.head,
            server=front.mailbox_server,
            client=submission.client,
            tls_version=submission.tls.version,
            session_id=front.session_id,
            transcript=submission.transcript,
            mail_parameters=submission.sender.parameters,
            recipient_parameters={r.address: r.parameters for r in submission.recipients if r.parameters},
            save_copy=mailbox is not None and mailbox.copy_sent,
        )
        try:
            record = self._post.accept(parcel)
        except OSError as error:
            _log.error("a message could not be kept: %s", error.strerror)
            return replies.NO_RESOURCES
        self.quota.use(principal.mailbox, len(submission.recipients), self.now())
        return replies.message_accepted(front, record.message_id)

    @property
    def _rejects_excess(self) -> bool:
        return self._directory.tenant.switches.excess_messages == "reject"

    def _minute_is_used_up(self, mailbox: str) -> bool:
        return self.rate.is_exhausted(mailbox, self.now(), self.limits.messages_per_minute)

    def _check_content(self, submission: Submission) -> Reply | None:
        content, limits = submission.content, self.limits
        if content.failed:
            return replies.NO_RESOURCES
        if content.too_big or content.size > limits.mailbox_send_octets:
            return replies.MESSAGE_TOO_BIG
        if submission.head.octets > limits.header_octets:
            return replies.HEADER_TOO_BIG
        if self._directory.tenant.switches.bare_line_feeds == "refuse" and content.has_bare_line_feeds:
            return replies.BARE_LINE_FEEDS
        return None

    def _check_mailbox(self, submission: Submission) -> Reply | None:
        principal = submission.principal
        if self.open.rank(principal.mailbox, submission.number) > self.limits.concurrent_submissions:
            return replies.concurrency_exceeded(submission.front)
        mailbox = self._directory.mailbox(principal.mailbox)
        if mailbox is None or mailbox.restricted:
            return replies.RESTRICTED_SENDER
        return replies.mailbox_full(submission.front) if mailbox.full else None

    def _check_senders(self, submission: Submission) -> Reply | None:
        """Check every address that claims to send: From, Sender and MAIL FROM; the null sender claims nothing."""
        authors = submission.head.addresses("from")
        senders = submission.head.addresses("sender")
        if submission.head.all("from") and not all(authors):
            return replies.NO_AUTHOR
        if len(authors) > 1 and not senders:
            return replies.SEVERAL_AUTHORS
        envelope = [submission.sender.address] if submission.sender.address else []
        for address in (*authors, *senders, *envelope):
            if not self._directory.may_send_as(submission.principal, address):
                return replies.send_as_denied(submission.front, submission.principal.mailbox, address[:320])
        return None

    def _check_quota(self, submission: Submission) -> Reply | None:
        mailbox, recipients = submission.principal.mailbox, len(submission.recipients)
        if self.quota.has_room(mailbox, recipients, self.now(), self.limits.recipients_per_day):
            return None
        return replies.quota_exceeded(submission.front)
