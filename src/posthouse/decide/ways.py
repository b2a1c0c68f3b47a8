"""A way out: an outbound connector together with its identity and the limits that count for it.

Source: ``microsoft.limits`` for what Microsoft publishes; the flow for what the operator set instead.
Shape: `Way` is a frozen value that answers what a way can carry, from which mailboxes, and what an attempt costs.
Failures: values; `unfit` says in a sentence why a connector and an identity do not go together.
Leaves to others: counting (``queue.budget``), carrying (``deliver``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from posthouse.decide.identities import ClientSecret, Delegated, Entra, Password
from posthouse.decide.outbound import Acs, Direct, FromMailboxes, Graph, Hve, Microsoft, Outbound, Relay
from posthouse.decide.patterns import sender_is_listed
from posthouse.mail.address import Address
from posthouse.mail.budget import Charge
from posthouse.microsoft.limits import Method, MethodLimits, published

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_TEN_MINUTES = timedelta(minutes=10)
NO_LIMITS = MethodLimits()
UNNAMED_MAILBOXES = 20
"""Mailboxes that send at a time, where each sender has its own."""


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """A way that cannot carry this at all; another may.

    Attributes:
        status: Enhanced status code, if no other way can either.
        reason: A sentence for the operator.
    """

    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way out.

    Attributes:
        connector: Its settings.
        identity: Who logs in, where somebody does.
        limits: What counts, the operator's own values included.
        tenant: Whose external recipients count; empty where that is not known.
        external_per_day: How many the tenant may have, or None.
    """

    connector: Outbound
    identity: Entra | Password | None = None
    limits: MethodLimits = field(default=NO_LIMITS)
    tenant: str = ""
    external_per_day: int | None = None

    @property
    def name(self) -> str:
        """The connector's name."""
        return self.connector.name

    @property
    def is_microsoft(self) -> bool:
        """Whether it leads into Microsoft 365, so that budgets are asked."""
        return isinstance(self.connector, Microsoft)

    @property
    def connections(self) -> int:
        """Attempts at a time, over all its mailboxes."""
        connector = self.connector
        if isinstance(connector, FromMailboxes):
            return connector.max_connections * (len(connector.mailboxes) or UNNAMED_MAILBOXES)
        return connector.max_connections

    @property
    def most_recipients(self) -> int:
        """Recipients of one attempt: of one transaction, and never more than a day allows at all."""
        limits = (self.limits.recipients_per_message, self.limits.recipients_per_day, self.external_per_day)
        return min((limit for limit in limits if limit is not None), default=1000)

    def mailboxes_for(self, sender: Address | None) -> tuple[str, ...]:
        """The mailboxes that may send for a sender, in any order; one empty name where no mailbox sends."""
        connector = self.connector
        if not isinstance(connector, FromMailboxes):
            return ("",)
        if connector.sender_handling != "mailbox_per_sender":
            return connector.mailboxes
        allowed = connector.allowed_senders or ("*",)
        if sender is not None and sender_is_listed(allowed, sender):
            return (str(sender).lower(),)
        return connector.mailboxes

    def refuses(self, sender: Address | None, size_octets: int, *, is_internal: bool) -> Unsuitable | None:
        """Why this way cannot carry a message to a recipient, whatever the hour."""
        connector, most = self.connector, self.limits.message_octets
        if most is not None and size_octets > most:
            return Unsuitable(
                "5.3.4", f"the message has {_mib(size_octets)} MiB and {self.name} carries {_mib(most)} MiB at most"
            )
        if isinstance(connector, Direct | Hve) and not is_internal:
            return Unsuitable("5.7.1", f"{self.name} reaches recipients in the accepted domains only")
        if not self.mailboxes_for(sender):
            return Unsuitable("5.7.60", f"{self.name} has no mailbox for the sender {sender or '<>'}")
        return None

    def account(self, mailbox: str) -> str:
        """Whose attempts are counted and who rests: the mailbox, or the connector where no mailbox sends.

        What Graph refuses an application for a mailbox is no reason to rest for the mailbox's log-ins by SMTP.
        """
        if not mailbox:
            return f"connector:{self.name}"
        return f"graph:{mailbox}" if isinstance(self.connector, Graph) else f"mailbox:{mailbox}"

    def accounts(self, mailbox: str) -> tuple[str, ...]:
        """Accounts that a rest may be ordered for: the identity, the mailbox that sends, the connector."""
        identity = (f"identity:{self.identity.name}",) if self.identity is not None else ()
        return (*identity, *dict.fromkeys((self.account(mailbox), f"connector:{self.name}")))

    def charges(self, mailbox: str, recipients: int, external: int) -> tuple[Charge, ...]:
        """What one message takes from each limit.

        Args:
            recipients: Of this transaction.
            external: Those of them outside the accepted domains.
        """
        limits, found = self.limits, list[Charge]()
        # Graph and submission of one mailbox share the mailbox's own limits.
        account = f"mailbox:{mailbox}" if mailbox else f"connector:{self.name}"
        for what, window, limit, amount in (
            ("messages", _MINUTE, limits.messages_per_minute, 1),
            ("messages", _HOUR, limits.messages_per_hour, 1),
            ("requests", _TEN_MINUTES, limits.requests_per_ten_minutes, 1),
            ("recipients", _DAY, limits.recipients_per_day, recipients),
        ):
            if limit is not None:
                found.append(Charge(account, what, window, limit, amount))
        if self.external_per_day is not None and external and not isinstance(self.connector, Hve | Acs | Direct):
            found.append(Charge(f"tenant:{self.tenant}", "external recipients", _DAY, self.external_per_day, external))
        return tuple(found)


def limits_of(connector: Outbound) -> MethodLimits:
    """Microsoft's limits for a way to send, with the operator's own values in their place."""
    if not isinstance(connector, Microsoft):
        return NO_LIMITS
    base = published(_method(connector))
    return MethodLimits(
        connections=connector.max_connections if isinstance(connector, FromMailboxes) else base.connections,
        messages_per_minute=connector.messages_per_minute or base.messages_per_minute,
        messages_per_hour=getattr(connector, "messages_per_hour", None) or base.messages_per_hour,
        requests_per_ten_minutes=base.requests_per_ten_minutes,
        recipients_per_day=getattr(connector, "recipients_per_day", None) or base.recipients_per_day,
        recipients_per_message=connector.recipients_per_message or base.recipients_per_message,
        message_octets=connector.max_message or base.message_octets,
    )


def unfit(connector: Outbound, identity: Entra | Password) -> str:
    """Why a connector cannot use an identity, as a sentence; empty where it can."""
    if isinstance(connector, Acs):
        return "" if isinstance(identity, ClientSecret) else "kind acs logs in with a client_secret identity"
    if isinstance(identity, Password):
        if isinstance(connector, Graph | Relay | Direct):
            return f"Microsoft Graph takes no password; the identity {identity.name!r} must be one of Entra"
        if isinstance(connector, FromMailboxes) and len(connector.mailboxes) != 1:
            return f"the password of {identity.name!r} opens one mailbox; name exactly one"
    is_per_sender = isinstance(connector, FromMailboxes) and connector.sender_handling == "mailbox_per_sender"
    if is_per_sender and isinstance(identity, Delegated):
        return f"{identity.name!r} is one person and cannot log in as each sender"
    return ""


def _method(connector: Microsoft) -> Method:
    if isinstance(connector, Acs):
        return "acs_custom" if connector.domain == "custom" else "acs_managed"
    return connector.kind


def _mib(octets: int) -> str:
    return f"{octets / (1 << 20):.1f}".removesuffix(".0")
