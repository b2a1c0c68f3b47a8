"""What happens to a message at the end of DATA, and everything else the submission host is asked.

Purpose: the decisions of the submission host. Source: recorded refusals of Exchange Online: all that depends on
the mailbox is said only when the whole message is there (SendAs, concurrency, quotas, a full mailbox); "SMTP
submission improvements"; "High Volume Email" (recipients inside of the organisation only, no limits of a mailbox).
Shape: `SubmissionDesk` is the `smtp.desk.Desk` for clients that log on: `judge` refuses or names a moment, `keep`
puts the message where its envelope says; header fields never choose a recipient. Limits and switches are those of
the mailbox's tenant.
Failures: a disk that is full is answered with 452. Leaves to others: logons (`logon`), counts (`limits`), what every
host asks of content (`intake`).
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from m365emu import replies, store_replies
from m365emu.clock import Clock
from m365emu.directory import Directory, Principal
from m365emu.faults import Fault, Faults, Stage
from m365emu.host_desk import HostDesk
from m365emu.intake import author_refusal, content_refusal
from m365emu.limits import OpenSubmissions, RecipientQuota
from m365emu.logon import Logons
from m365emu.mailbox import MessageStore
from m365emu.parcel import Parcel
from m365emu.post import Post
from m365emu.replies import Reply
from m365emu.smtp.commands import Path
from m365emu.smtp.desk import LogonRefused, Submission, Tls, Visit
from m365emu.smtp.sasl import BearerClaim, PasswordClaim
from m365emu.statistics import Statistics
from m365emu.tenant import Limits, Tenant

LEGACY_HOST = "smtp-legacy.office365.com"
HVE_HOST = "smtp-hve.office365.com"
_MODERN_HOSTS = ("smtp.office365.com", HVE_HOST)
_MOST_RECIPIENTS = 1_000

_log = logging.getLogger(__name__)


class SubmissionDesk(HostDesk):
    """Decides for all sessions of the submission host."""

    takes_logons = True

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
        super().__init__(directory=directory, store=store, post=post, faults=faults, statistics=statistics, clock=clock)
        self._logons = logons
        self.quota = RecipientQuota()
        self.open = OpenSubmissions()

    def fault(self, stage: Stage, mailbox: str | None) -> Fault | None:
        known = self._directory.mailbox(mailbox) if mailbox else None
        return self._faults.take(stage, mailbox, door="hve" if known and known.kind == "hve" else "submission")

    def allows_old_tls(self, tls: Tls) -> bool:
        """Say whether the client came to the legacy host; one that names no host is there if anybody may be."""
        if tls.server_name == LEGACY_HOST:
            return True
        return self._directory.tenant.switches.allow_legacy_tls_clients and tls.server_name not in _MODERN_HOSTS

    def log_on(self, claim: PasswordClaim | BearerClaim, visit: Visit) -> Principal | LogonRefused:
        result = self._logons.judge(claim, visit)
        if isinstance(result, Principal):
            self._statistics.logons[result.method] += 1
        return result

    def begin(self, visit: Visit, sender: Path) -> int | Reply:
        mailbox = _principal(visit).mailbox
        if self._is_refused_for_rate(mailbox):
            return replies.RATE_EXCEEDED
        return self.open.begin(mailbox)

    def refuse_recipient(self, visit: Visit, sender: Path, others: Sequence[Path], path: Path) -> Reply | None:
        """Refuse beyond the limit of a message; who does not exist is found out later."""
        mailbox = _principal(visit).mailbox
        most = self._recipient_limit(mailbox)
        if self._tenant(mailbox).assumptions.too_many_recipients == "report":
            most = _MOST_RECIPIENTS
        return replies.TOO_MANY_RECIPIENTS if len(others) >= most else None

    def end(self, visit: Visit, number: int) -> None:
        self.open.end(_principal(visit).mailbox, number)

    def judge(self, submission: Submission) -> Reply | datetime:
        mailbox = _principal(submission.visit).mailbox
        refusal = (
            self._check_content(submission)
            or self._check_mailbox(submission)
            or self._check_senders(submission)
            or self._check_recipients(submission)
        )
        if refusal is not None:
            return refusal
        if self._is_high_volume(mailbox):
            return self.now()
        if self._is_refused_for_rate(mailbox):
            return replies.RATE_EXCEEDED
        moment = self.rate.reserve(mailbox, self.now(), self._limits(mailbox).messages_per_minute)
        if moment > self.now():
            self._statistics.delayed[mailbox] += 1
        return moment

    def keep(self, submission: Submission) -> Reply:
        visit = submission.visit
        principal = _principal(visit)
        try:
            record = self._post.accept(self._parcel(submission, principal))
        except OSError as error:
            _log.error("a message could not be kept: %s", error.strerror)
            return replies.NO_RESOURCES
        if not self._is_high_volume(principal.mailbox):
            self.quota.use(principal.mailbox, len(submission.recipients), self.now())
        return replies.message_accepted(visit.front, record.message_id)

    def _parcel(self, submission: Submission, principal: Principal) -> Parcel:
        visit = submission.visit
        mailbox = self._directory.mailbox(principal.mailbox)
        return Parcel(
            tenant=self._tenant(principal.mailbox),
            mailbox=principal.mailbox,
            way=principal.method,
            sender=submission.sender.address,
            recipients=tuple(recipient.address for recipient in submission.recipients),
            content=submission.content,
            head=submission.head,
            server=visit.front.mailbox_server,
            client=visit.client,
            tls_version=visit.tls.version if visit.tls else "",
            session_id=visit.front.session_id,
            transcript=visit.transcript,
            mail_parameters=submission.sender.parameters,
            recipient_parameters={r.address: r.parameters for r in submission.recipients if r.parameters},
            save_copy=mailbox is not None and mailbox.copy_sent and mailbox.kind != "hve",
            recipient_limit=self._recipient_limit(principal.mailbox),
        )

    def _tenant(self, mailbox: str) -> Tenant:
        return self._directory.tenant_of(mailbox) or self._directory.tenant

    def _limits(self, mailbox: str) -> Limits:
        return self._tenant(mailbox).limits

    def _recipient_limit(self, mailbox: str) -> int:
        known = self._directory.mailbox(mailbox)
        own = known.recipient_limit if known is not None else None
        return own or self._limits(mailbox).recipients_per_message

    def _is_high_volume(self, mailbox: str) -> bool:
        known = self._directory.mailbox(mailbox)
        return known is not None and known.kind == "hve"

    def _is_refused_for_rate(self, mailbox: str) -> bool:
        tenant = self._tenant(mailbox)
        if tenant.switches.excess_messages == "delay" or self._is_high_volume(mailbox):
            return False
        return self.rate.is_exhausted(mailbox, self.now(), tenant.limits.messages_per_minute)

    def _check_content(self, submission: Submission) -> Reply | None:
        address = _principal(submission.visit).mailbox
        mailbox, limits = self._directory.mailbox(address), self._limits(address)
        most = (mailbox.send_octets if mailbox is not None else None) or limits.mailbox_send_octets
        refusal = content_refusal(submission.content, submission.head, limits, most)
        if refusal is not None:
            return refusal
        refuses_bare = self._tenant(address).switches.bare_line_feeds == "refuse"
        return replies.BARE_LINE_FEEDS if refuses_bare and submission.content.has_bare_line_feeds else None

    def _check_mailbox(self, submission: Submission) -> Reply | None:
        front, principal = submission.visit.front, _principal(submission.visit)
        if not principal.opens_mailbox:
            return store_replies.mailbox_logon_failed(front)
        place = self.open.rank(principal.mailbox, submission.number)
        is_beyond = place > self._limits(principal.mailbox).concurrent_submissions
        if is_beyond and not self._is_high_volume(principal.mailbox):
            return store_replies.concurrency_exceeded(front)
        mailbox = self._directory.mailbox(principal.mailbox)
        if mailbox is None or mailbox.restricted:
            return store_replies.RESTRICTED_SENDER
        if mailbox.spam_verdict:
            return store_replies.outbound_spam(front, mailbox.spam_verdict)
        return store_replies.mailbox_full(front) if mailbox.full else None

    def _check_senders(self, submission: Submission) -> Reply | None:
        """Check every address that claims to send: From, Sender and MAIL FROM; the null sender claims nothing."""
        principal, head = _principal(submission.visit), submission.head
        refusal = author_refusal(head)
        if refusal is not None:
            return refusal
        envelope = [submission.sender.address] if submission.sender.address else []
        for address in (*head.addresses("from"), *head.addresses("sender"), *envelope):
            if not self._directory.may_send_as(principal, address):
                if self._tenant(principal.mailbox).assumptions.send_as_refusal == "5.7.60":
                    return store_replies.NO_SEND_AS_PERMISSION
                return store_replies.send_as_denied(submission.visit.front, principal.mailbox, address[:320])
        return None

    def _check_recipients(self, submission: Submission) -> Reply | None:
        mailbox = _principal(submission.visit).mailbox
        if self._is_high_volume(mailbox):
            tenant = self._tenant(mailbox)
            owners = (self._directory.tenant_of(recipient.address) for recipient in submission.recipients)
            return None if all(owner is tenant for owner in owners) else store_replies.EXTERNAL_RECIPIENT
        most = self._limits(mailbox).recipients_per_day
        if self.quota.has_room(mailbox, len(submission.recipients), self.now(), most):
            return None
        return store_replies.quota_exceeded(submission.visit.front)


def _principal(visit: Visit) -> Principal:
    """Return who is logged on: nobody gets past MAIL without it."""
    assert visit.principal is not None
    return visit.principal
