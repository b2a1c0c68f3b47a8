"""The compiled mail flow: who is let in, what they may do, and where each copy goes.

Shape: `Policy` is built once for each revision of the flow, then asked for each session, sender, recipient. Look-ups on
the hot path are dictionary accesses; results that depend only on a domain are remembered.
Failures: none; every answer is a verdict with its reason.
Leaves to others: log-ins (``receive.login``), rates (``receive.quota``), carrying out (``receive``, ``queue``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from posthouse.decide.flow import Flow, Inbound
from posthouse.decide.outbound import Outbound
from posthouse.decide.patterns import sender_is_listed
from posthouse.decide.routing import Router
from posthouse.decide.ways import Way, limits_of
from posthouse.mail.address import Address
from posthouse.mail.reply import Reply
from posthouse.mail.route import NoRoute, Route
from posthouse.mail.session import Principal, PrincipalKind
from posthouse.mail.verdict import Accept, Refuse, Verdict
from posthouse.microsoft.limits import external_recipients_per_day

RELAY_DENIED = Reply.of(550, "5.7.1", "Unable to relay")
NOT_AUTHENTICATED = Reply.of(530, "5.7.57", "Client not authenticated to send mail")
SENDER_DENIED = Reply.of(550, "5.7.60", "Client does not have permissions to send as this sender")
NO_ROUTE = Reply.of(550, "5.4.4", "No route to the recipient's domain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a session may do, once it is known who it is.

    Attributes:
        principal: Who.
        senders: Allowed MAIL FROM: addresses, ``@domain``, ``@*.domain`` or ``*``.
        any_recipient: False: accepted domains only.
        repair_newlines: Bare CR or LF are mended instead of refused.
        max_message: Smaller limit than the listener's, or None.
        messages_per_minute, recipients_per_day: Limits, or None.
        add_from: Add a From field where there is none.
        null_sender: MAIL FROM:<> is allowed.
    """

    principal: Principal
    senders: tuple[str, ...] = ("*",)
    any_recipient: bool = False
    repair_newlines: bool = True
    max_message: int | None = None
    messages_per_minute: int | None = None
    recipients_per_day: int | None = None
    add_from: bool = False
    null_sender: bool = True


class Policy:
    """Answers for one revision of the flow."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.outbound = {connector.name: connector for connector in flow.outbound}
        self.ways = {connector.name: _way(flow, connector) for connector in flow.outbound}
        self.router = Router(flow)
        self.ways_of = lru_cache(maxsize=1024)(self._ways_of)
        self._inbound_for = lru_cache(maxsize=4096)(self._find_inbound)
        self._rights = {inbound.name: _rights_of(inbound) for inbound in flow.inbound}

    def rights_for(self, peer_ip: str, certificate_names: tuple[str, ...], listener: str) -> Rights | None:
        """Rights by inbound connector for a session that has not logged in.

        A certificate match comes before a network match, and the most specific network wins, as in Exchange.

        Args:
            peer_ip: Textual address of the client.
            certificate_names: Names of its verified certificate, lower case.
            listener: Name of the listener.

        Returns:
            The rights, or None for a stranger.
        """
        inbound = self._inbound_for(peer_ip, certificate_names, listener)
        return self._rights[inbound.name] if inbound is not None else None

    def _find_inbound(self, peer_ip: str, certificate_names: tuple[str, ...], listener: str) -> Inbound | None:
        here = [i for i in self.flow.inbound if not i.listeners or listener in i.listeners]
        for inbound in here:
            if any(_name_matches(wanted, name) for wanted in inbound.certificates for name in certificate_names):
                return inbound
        address = ip_address(peer_ip)
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        best: tuple[int, Inbound] | None = None
        for inbound in here:
            for network in inbound.networks:
                if (
                    network.version == address.version
                    and address in network
                    and (best is None or network.prefixlen > best[0])
                ):
                    best = (network.prefixlen, inbound)
        return best[1] if best else None

    def judge_sender(self, rights: Rights | None, sender: Address | None) -> Verdict:
        """May this session use this reverse-path?"""
        if rights is None:
            return Refuse(NOT_AUTHENTICATED, "no inbound connector matches and nobody logged in")
        if sender is None:
            return Accept() if rights.null_sender else Refuse(SENDER_DENIED, f"{rights.principal} may not send <>")
        if sender_is_listed(rights.senders, sender):
            return Accept()
        return Refuse(
            SENDER_DENIED, f"{rights.principal} may send as {', '.join(rights.senders) or 'nobody'}, not as {sender}"
        )

    def judge_recipient(self, rights: Rights | None, recipient: Address) -> Verdict:
        """May this session send to this recipient?"""
        if rights is None:
            return Refuse(RELAY_DENIED, "no inbound connector matches and nobody logged in")
        if not rights.any_recipient and not self.router.is_internal(recipient.domain):
            return Refuse(
                RELAY_DENIED, f"{rights.principal} may send to accepted domains only; {recipient.domain} is none"
            )
        return Accept()

    def _ways_of(self, connectors: tuple[str, ...]) -> tuple[Way, ...]:
        return tuple(self.ways[name] for name in connectors)

    def route(
        self, sender: Address | None, recipient: Address, principal: Principal | None, size_octets: int
    ) -> Route | NoRoute:
        """Where a copy goes under this revision of the flow."""
        return self.router.route(sender, recipient, principal.name if principal else "", size_octets)


def _way(flow: Flow, connector: Outbound) -> Way:
    """Put a connector together with its identity and its tenant's limit."""
    identity = next((i for i in flow.identity if i.name == getattr(connector, "identity", None)), None)
    named = (getattr(connector, "tenant", None) or (identity.tenant if identity is not None else "")).lower()
    tenant = next((t for t in flow.tenant if t.name.lower() == named), None)
    external = None
    if tenant is not None:
        external = tenant.external_recipients_per_day or external_recipients_per_day(
            tenant.licences, is_trial=tenant.trial
        )
    limits = limits_of(connector)
    return Way(connector=connector, identity=identity, limits=limits, tenant=named, external_per_day=external)


def _name_matches(wanted: str, name: str) -> bool:
    return name == wanted or (name.startswith("*.") and wanted.partition(".")[2] == name[2:])


def _rights_of(inbound: Inbound) -> Rights:
    return Rights(
        principal=Principal(PrincipalKind.INBOUND_CONNECTOR, inbound.name),
        senders=inbound.senders,
        any_recipient=inbound.recipients == "any",
        repair_newlines=inbound.bare_newlines == "repair",
        max_message=inbound.max_message,
        messages_per_minute=inbound.messages_per_minute,
        recipients_per_day=inbound.recipients_per_day,
        add_from=inbound.add_from,
    )
