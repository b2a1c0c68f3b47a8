"""What becomes of each recipient of a message that was accepted.

Purpose: decide recipient by recipient who gets the message, who does not and why. Source: the list of non-delivery
reports of Exchange Online; "Exchange Online limits" (messages received an hour, sizes); "Exchange Online tenant
outbound email limits" (external recipients of a whole tenant in a rolling day, reports and HVE not counted).
Shape: `Categorizer.sort` gives one fate for each recipient and changes nothing; `count` then notes what was used of
the limits. An outside domain is asked for in the tenant's `outside`.
Failures: none. Leaves to others: folders and reports (`post`), the words (`delivery_failures`).
"""

from dataclasses import dataclass
from datetime import datetime

from m365emu import delivery_failures as failures
from m365emu.attribution import domain_of
from m365emu.directory import Directory
from m365emu.limits import ReceivedMessages, RecipientQuota
from m365emu.mailbox import EXTERNAL
from m365emu.parcel import Parcel
from m365emu.tenant import Mailbox, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Goes to a folder: a mailbox, or `external`."""

    recipient: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Is reported to the sender. `remote` is the server that refused, if another one did."""

    recipient: str
    diagnostic: str
    remote: str = ""

    @property
    def status(self) -> str:
        """The enhanced status code."""
        return self.diagnostic.split(" ", 2)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Is tried again until the message expires; then `final` is reported."""

    recipient: str
    detail: str
    final: Failed


Fate = Delivered | Failed | Waiting

_INITIAL = "/initial-domain"


class Categorizer:
    """Decides for all tenants."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.externals = RecipientQuota()
        self.received = ReceivedMessages()

    def sort(self, parcel: Parcel, now: datetime) -> list[Fate]:
        """Return the fate of each recipient, in their order."""
        if parcel.recipient_limit and len(parcel.recipients) > parcel.recipient_limit:
            return [Failed(recipient=r, diagnostic=failures.TOO_MANY_RECIPIENTS) for r in parcel.recipients]
        if blocked := self._blocked(parcel):
            return [Failed(recipient=r, diagnostic=failures.on_block_list(blocked)) for r in parcel.recipients]
        refusal = self._outbound_refusal(parcel, now)
        return [self._fate(parcel, recipient, refusal, now) for recipient in parcel.recipients]

    def count(self, parcel: Parcel, fates: list[Fate], now: datetime) -> None:
        """Note what the message used of the limits."""
        for mailbox in {fate.folder for fate in fates if isinstance(fate, Delivered) and fate.folder != EXTERNAL}:
            self.received.note(mailbox, parcel.sender.lower(), now)
        leaving = [fate for fate in fates if not isinstance(fate, Failed) or fate.remote]
        externals = sum(self._is_external(parcel.tenant, fate.recipient) for fate in leaving)
        for key, _ in self._outbound_limits(parcel) if externals else ():
            self.externals.use(key, externals, now)

    def retry(self, tenant_id: str, recipient: str) -> Fate:
        """Return the present fate of an outside recipient who had to wait."""
        tenant = self._directory.tenant_named(tenant_id) or self._directory.tenant
        return self._outside(tenant, recipient)

    def clear(self) -> None:
        """Forget what was used."""
        self.externals.clear()
        self.received.clear()

    def _fate(self, parcel: Parcel, recipient: str, refusal: str, now: datetime) -> Fate:
        owner = self._directory.tenant_of(recipient)
        if refusal and self._is_external(parcel.tenant, recipient):
            return Failed(recipient=recipient, diagnostic=refusal)
        if owner is None:
            return self._outside(parcel.tenant, recipient)
        address = self._directory.resolve(recipient)
        mailbox = self._directory.mailbox(address) if address else None
        if address is None or mailbox is None:
            if domain_of(recipient) in owner.internal_relay_domains:
                return Delivered(recipient=recipient, folder=EXTERNAL)
            return Failed(recipient=recipient, diagnostic=failures.NOT_FOUND)
        problem = self._mailbox_problem(parcel, owner, address, mailbox, now)
        if problem:
            return Failed(recipient=recipient, diagnostic=problem)
        return Delivered(recipient=recipient, folder=address)

    def _mailbox_problem(self, parcel: Parcel, owner: Tenant, address: str, mailbox: Mailbox, now: datetime) -> str:
        limits = owner.limits
        if mailbox.members_only and not (parcel.is_internal and parcel.tenant.id == owner.id):
            return failures.MEMBERS_ONLY
        if parcel.content.size > (mailbox.receive_octets or limits.mailbox_receive_octets):
            return failures.TOO_LARGE
        if self.received.in_last_hour(address, now) >= limits.received_per_hour:
            return failures.RECEIVED_TOO_OFTEN
        share = limits.received_per_hour_from_one_sender
        if share is not None and self.received.in_last_hour(address, now, parcel.sender.lower()) >= share:
            return failures.RECEIVED_TOO_OFTEN_FROM_ONE
        return failures.MAILBOX_FULL if mailbox.full else ""

    def _outside(self, tenant: Tenant, recipient: str) -> Fate:
        domain = domain_of(recipient)
        known = tenant.outside.get(domain)
        if known is None:
            return Delivered(recipient=recipient, folder=EXTERNAL)
        if not known.exists:
            return Failed(recipient=recipient, diagnostic=failures.no_such_domain(domain))
        if known.unreachable:
            final = Failed(recipient=recipient, diagnostic=failures.expired(known.unreachable, domain))
            return Waiting(recipient=recipient, detail=failures.while_queued(known.unreachable, domain), final=final)
        if not known.accepts:
            diagnostic = failures.refused_by_remote(recipient)
            return Failed(recipient=recipient, diagnostic=diagnostic, remote=f"mx.{domain}")
        return Delivered(recipient=recipient, folder=EXTERNAL)

    def _blocked(self, parcel: Parcel) -> list[str]:
        """Return the recipients of outbound mail that the organisation itself does not want to be written to."""
        listed = parcel.tenant.blocked_recipients
        if not listed or not self._is_outbound(parcel):
            return []
        return [r for r in parcel.recipients if r.lower() in listed or domain_of(r) in listed]

    def _outbound_refusal(self, parcel: Parcel, now: datetime) -> str:
        """Say why no external recipient gets this message, if so: all of them must fit into the tenant's day."""
        if parcel.tenant.switches.sending_blocked and self._is_outbound(parcel):
            return failures.TENANT_BLOCKED
        externals = sum(self._is_external(parcel.tenant, recipient) for recipient in parcel.recipients)
        for key, limit in self._outbound_limits(parcel):
            if externals and not self.externals.has_room(key, externals, now, limit):
                if key.endswith(_INITIAL):
                    return failures.INITIAL_DOMAIN_LIMIT
                return failures.TRIAL_TENANT_LIMIT if parcel.tenant.trial else failures.TENANT_LIMIT
        return ""

    def _outbound_limits(self, parcel: Parcel) -> list[tuple[str, int]]:
        """Return the tenant's windows that this message counts in, with their limits."""
        mailbox = self._directory.mailbox(parcel.mailbox) if parcel.mailbox else None
        if not self._is_outbound(parcel) or (mailbox is not None and mailbox.kind == "hve"):
            return []
        tenant, domain = parcel.tenant, domain_of(parcel.sender)
        windows = [(tenant.id, tenant.external_recipients_per_day)]
        if domain == tenant.initial_domain or domain.endswith(".onmicrosoft.com"):
            windows.append((tenant.id + _INITIAL, tenant.limits.initial_domain_external_per_day))
        return windows

    def _is_outbound(self, parcel: Parcel) -> bool:
        """Say whether the organisation sends this, not the outside."""
        return bool(parcel.mailbox) or parcel.way.startswith("connector:")

    def _is_external(self, tenant: Tenant, recipient: str) -> bool:
        owner = self._directory.tenant_of(recipient)
        return owner is None or owner.id != tenant.id
