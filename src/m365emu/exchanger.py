"""What the MX asks of mail that nobody logs on for.

Purpose: the decisions of `*.mail.protection.outlook.com:25`. Source: the list of non-delivery reports of Exchange
Online; "How to set up a multifunction device" (Direct Send, relay by connector); "Introducing more control over
Direct Send"; recorded refusals: block lists and attribution speak at RCPT, never at connect.
Shape: `ExchangerDesk` is the `smtp.desk.Desk` of the MX. Each RCPT is attributed anew (`attribution`), so the tenant
may change while a session is open. The first accepted recipient decides whose transaction it is.
Failures: a disk that is full is answered with 452. Leaves to others: delivery and what fails later (`post`).
"""

import ipaddress
import logging
from collections.abc import Sequence
from datetime import datetime

from m365emu import exchanger_replies as sentences
from m365emu import replies
from m365emu.attribution import (
    Attribution,
    Client,
    attribute,
    domain_of,
    matches_partner,
    partner_connectors,
    restricts,
)
from m365emu.authenticity import prove
from m365emu.clock import Clock
from m365emu.directory import Directory, Principal
from m365emu.faults import Fault, Faults, Stage
from m365emu.host_desk import HostDesk
from m365emu.intake import author_refusal, content_refusal
from m365emu.mailbox import MessageStore
from m365emu.parcel import Parcel
from m365emu.post import Post
from m365emu.replies import Reply
from m365emu.smtp.commands import Path
from m365emu.smtp.desk import LogonRefused, Submission, Tls, Visit
from m365emu.smtp.sasl import BearerClaim, PasswordClaim
from m365emu.statistics import Statistics
from m365emu.tenant import Tenant

_MOST_RECIPIENTS = 1_000

_log = logging.getLogger(__name__)


class ExchangerDesk(HostDesk):
    """Decides for all sessions of the MX."""

    takes_logons = False

    def __init__(
        self,
        *,
        directory: Directory,
        store: MessageStore,
        post: Post,
        faults: Faults,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        super().__init__(directory=directory, store=store, post=post, faults=faults, statistics=statistics, clock=clock)
        self._transactions = 0

    def fault(self, stage: Stage, mailbox: str | None) -> Fault | None:
        return self._faults.take(stage, door="mx")

    def allows_old_tls(self, tls: Tls) -> bool:
        return False

    def log_on(self, claim: PasswordClaim | BearerClaim, visit: Visit) -> Principal | LogonRefused:
        """Refuse; the dialogue never gets here, because AUTH is not offered."""
        reply = replies.unrecognized_authentication(visit.front, self.now())
        return LogonRefused(reply=reply, note="nobody logs on at the MX")

    def begin(self, visit: Visit, sender: Path) -> int | Reply:
        """Let everybody begin who does not claim to be this server."""
        hello = visit.hello.lower().rstrip(".")
        if hello in (visit.front.greeting_name.lower(), visit.front.full_name.lower()):
            return sentences.BAD_HELLO
        self._transactions += 1
        return self._transactions

    def end(self, visit: Visit, number: int) -> None:
        return None

    def refuse_recipient(self, visit: Visit, sender: Path, others: Sequence[Path], path: Path) -> Reply | None:
        if visit.client in self._directory.tenant.blocked_addresses:
            return sentences.banned_address(visit.front, self.now(), visit.client)
        first = others[0] if others else path
        found = attribute(self._directory, _client(visit), sender.address, first.address)
        if found is None:
            return self._nobodys(visit, sender)
        refusal = (
            self._check_tenant(found, visit)
            or self._check_client(found, visit, sender, path)
            or self._check_count(found, others, path)
        )
        return refusal or self._check_address(found, visit, path)

    def judge(self, submission: Submission) -> Reply | datetime:
        return self._check_content(submission) or self._check_evidence(submission) or self.now()

    def keep(self, submission: Submission) -> Reply:
        visit, found = submission.visit, self._found(submission)
        parcel = Parcel(
            tenant=found.tenant,
            mailbox="",
            way=f"connector:{found.name}" if found.connector else "anonymous",
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
            is_internal=found.connector is not None and found.connector.treat_messages_as_internal,
        )
        try:
            record = self._post.accept(parcel)
        except OSError as error:
            _log.error("a message could not be kept: %s", error.strerror)
            return replies.NO_RESOURCES
        if found.connector is None:
            self.rate.reserve(visit.client, self.now(), found.tenant.limits.mx_messages_per_minute)
        taken = self.now() - submission.began
        return sentences.message_queued(visit.front, record.message_id, record.number, submission.content.size, taken)

    def _nobodys(self, visit: Visit, sender: Path) -> Reply:
        """Refuse to relay; ○ no source says which of the two sentences a sender meets."""
        if self._directory.tenant_of(sender.address) is None:
            return sentences.DOMAIN_NOT_ACCEPTED
        return sentences.tenant_attribution(visit.front, self.now())

    def _check_tenant(self, found: Attribution, visit: Visit) -> Reply | None:
        connector = found.connector
        if found.tenant.switches.region_mismatch:
            return sentences.wrong_region(visit.front, self.now())
        if connector is not None and connector.blocked:
            return sentences.blocked_connector(visit.front, self.now())
        if connector is not None and connector.require_tls and visit.tls is None:
            return sentences.TLS_REQUIRED
        return None

    def _check_client(self, found: Attribution, visit: Visit, sender: Path, path: Path) -> Reply | None:
        """Check a client that no connector recognised."""
        if found.connector is not None:
            return None
        front, now, tenant = visit.front, self.now(), found.tenant
        owner = self._directory.tenant_of(path.address)
        if owner is None:
            return sentences.tenant_attribution(front, now)
        if owner is not tenant:
            return sentences.SEVERAL_TENANTS
        partners = partner_connectors(tenant, sender.address)
        if any(restricts(partner, _client(visit)) for partner in partners):
            return sentences.partner_restriction(front, now)
        if visit.tls is None and any(partner.require_tls for partner in partners):
            return sentences.TLS_REQUIRED
        is_known = any(matches_partner(partner, _client(visit)) for partner in partners)
        claims_own_domain = domain_of(sender.address) in tenant.domains
        if tenant.switches.reject_direct_send and claims_own_domain and not is_known:
            return sentences.direct_send_refused(front, now)
        if refusal := self._check_ipv6(tenant, visit, path):
            return refusal
        if self.rate.is_exhausted(visit.client, now, tenant.limits.mx_messages_per_minute):
            return sentences.busy(front, now, visit.client)
        return None

    def _check_ipv6(self, tenant: Tenant, visit: Visit, path: Path) -> Reply | None:
        if not _is_ipv6(visit.client):
            return None
        if not tenant.switches.ipv6:
            return sentences.ipv6_not_accepted(domain_of(path.address))
        if visit.client not in self._directory.tenant.reverse_names:
            return sentences.ipv6_without_name(visit.client)
        return None

    def _check_count(self, found: Attribution, others: Sequence[Path], path: Path) -> Reply | None:
        domain = domain_of(path.address)
        same = sum(domain_of(other.address) == domain for other in others)
        is_full = same >= found.tenant.limits.mx_recipients_per_domain or len(others) >= _MOST_RECIPIENTS
        return replies.TOO_MANY_RECIPIENTS if is_full else None

    def _check_address(self, found: Attribution, visit: Visit, path: Path) -> Reply | None:
        """Refuse who does not exist in a domain whose every address is known (directory-based edge blocking)."""
        owner = self._directory.tenant_of(path.address)
        if owner is not found.tenant or domain_of(path.address) in owner.internal_relay_domains:
            return None
        if self._directory.resolve(path.address) is not None:
            return None
        return sentences.unknown_recipient(visit.front, self.now())

    def _check_content(self, submission: Submission) -> Reply | None:
        tenant, head = self._found(submission).tenant, submission.head
        refusal = content_refusal(submission.content, head, tenant.limits, tenant.limits.advertised_octets)
        if refusal is not None:
            return refusal
        if tenant.switches.bare_line_feeds == "refuse" and submission.content.has_bare_line_feeds:
            return replies.BARE_LINE_FEEDS
        if len(head.all("received")) > tenant.limits.hops:
            return sentences.too_many_hops(submission.visit.front, self.now())
        return author_refusal(head) if head.all("from") else replies.NO_AUTHOR

    def _check_evidence(self, submission: Submission) -> Reply | None:
        """Ask for proof where no connector vouches for the client."""
        visit, found = submission.visit, self._found(submission)
        if found.connector is not None:
            return None
        sender, head = submission.sender.address, submission.head
        evidence = prove(found.tenant, client=visit.client, hello=visit.hello, sender=sender, head=head)
        if _is_ipv6(visit.client) and not (evidence.spf or evidence.dkim):
            return sentences.ipv6_unauthenticated(visit.client)
        if found.tenant.switches.honor_dmarc and evidence.is_to_be_rejected:
            return sentences.dmarc_refused(visit.front, self.now(), evidence.author)
        return None

    def _found(self, submission: Submission) -> Attribution:
        sender, first = submission.sender.address, submission.recipients[0].address
        found = attribute(self._directory, _client(submission.visit), sender, first)
        # The tenants may have changed since RCPT; then the first one answers for what was accepted.
        return found or Attribution(tenant=self._directory.tenant)


def _client(visit: Visit) -> Client:
    return Client(address=visit.client, names=visit.tls.peer_names if visit.tls else ())


def _is_ipv6(address: str) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    # Loopback is this machine, not the internet; tests that mean IPv6 pretend another address.
    return client.version == 6 and not client.is_loopback and client.ipv4_mapped is None
