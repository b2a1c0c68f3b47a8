"""One mail transaction: MAIL, RCPT and content, judged by the flow in force.

Source: RFC 5321 3.3 (transaction), 4.5.1 (postmaster), RFC 1870 6.1 (declared size).
Shape: `Transaction` belongs to a session and is used again for each message. Judgements are a reply with a reason, or
None to go on; the cheap refusals come first.
Leaves to others: octets and 250 (``receive.accept``), syntax and order (``wire.smtp``).
"""

from __future__ import annotations

from dataclasses import replace

from posthouse.decide.policy import NO_ROUTE, Rights
from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Recipient
from posthouse.mail.reply import Reply
from posthouse.mail.route import NoRoute
from posthouse.mail.session import SessionFacts
from posthouse.mail.verdict import Refuse
from posthouse.receive.accept import Answered, Handover, Taking, Waiting
from posthouse.receive.reception import Door
from posthouse.wire.smtp import replies
from posthouse.wire.smtp.events import ContentChunk, MailFrom

Refusal = tuple[Reply, str]


class Transaction:
    """The message that a session is handing over, if any.

    Attributes:
        has_content: Content is under way: 354 was said and the answer is not known yet.
    """

    __slots__ = ("_door", "_envelope", "_mail", "_recipients", "_rights", "_taking")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._rights: Rights | None = None
        self._taking: Taking | None = None
        self._envelope: Envelope | None = None
        self._mail: MailFrom | None = None
        self._recipients: list[Recipient] = []

    @property
    def has_content(self) -> bool:
        return self._taking is not None

    @property
    def sender(self) -> str | None:
        """For the trace: None before MAIL, ``<>`` for the null sender."""
        if self._mail is None:
            return None
        return str(self._mail.sender) if self._mail.sender is not None else "<>"

    @property
    def only_recipient(self) -> Address | None:
        """For the trace."""
        return self._recipients[0].address if len(self._recipients) == 1 else None

    def begin(self, mail: MailFrom, rights: Rights | None, *, is_secured: bool) -> Refusal | None:
        """Judge MAIL; where it is refused, `sender` is known until `forget`."""
        self._mail, self._rights = mail, rights
        self._recipients = []
        reception = self._door.reception
        if reception.is_draining:
            return replies.SHUTTING_DOWN, "the node is stopping"
        refusal = reception.intake.refusal()
        if refusal is not None:
            return refusal
        if self._door.settings.require_tls and not is_secured:
            return replies.STARTTLS_FIRST, "the listener wants TLS before MAIL"
        verdict = reception.policy.judge_sender(rights, mail.sender)
        if isinstance(verdict, Refuse):
            return verdict.reply, verdict.reason
        return reception.sending.take_message(rights, reception.wheel.now) if rights is not None else None

    def add_recipient(self, recipient: Recipient) -> Refusal | None:
        """Judge RCPT, and add the recipient."""
        reception, rights, mail = self._door.reception, self._rights, self._mail
        assert mail is not None
        address = recipient.address
        if not address.domain:
            address = self._postmaster(address)
            recipient = replace(recipient, address=address)
        refusal = reception.intake.refusal()
        if refusal is not None:
            return refusal
        verdict = reception.policy.judge_recipient(rights, address)
        if isinstance(verdict, Refuse):
            return verdict.reply, verdict.reason
        if rights is not None:
            refusal = reception.sending.judge_recipients(rights, len(self._recipients) + 1, reception.wheel.now)
            if refusal is not None:
                return refusal
            route = reception.policy.route(mail.sender, address, rights.principal, mail.declared_octets or 0)
            if isinstance(route, NoRoute):
                return NO_ROUTE, route.reason
        self._recipients.append(recipient)
        return None

    def begin_content(self) -> None:
        """The envelope is complete."""
        mail, rights = self._mail, self._rights
        assert mail is not None and rights is not None
        self._envelope = Envelope(
            sender=mail.sender,
            recipients=tuple(self._recipients),
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
            declared_octets=mail.declared_octets,
        )
        self._taking = Taking(self._door.reception, rights, self._envelope)

    def add_content(self, data: bytes) -> Waiting | None:
        """Take octets of the content; see `Taking.add`."""
        return self._taking.add(data) if self._taking is not None else None

    def finish(self, chunk: ContentChunk, session: SessionFacts, repairs: tuple[str, ...], answered: Answered) -> None:
        """The last octet is in."""
        assert self._taking is not None and self._envelope is not None and self._rights is not None
        if chunk.repaired_lines:
            repairs += (f"{chunk.repaired_lines} bare line ends in the content were turned into CRLF.",)
        self._taking.finish(
            Handover(envelope=self._envelope, session=session, rights=self._rights, repairs=repairs), answered
        )

    def forget(self) -> None:
        """The transaction is over, or void. Content that was not finished is thrown away."""
        taking, self._taking = self._taking, None
        if taking is not None and not taking.is_finished:
            taking.discard()
        self._mail = self._envelope = None
        self._recipients = []

    def _postmaster(self, bare: Address) -> Address:
        """RFC 5321 4.5.1: postmaster without a domain is ours."""
        reception = self._door.reception
        domains = reception.policy.flow.domain
        return Address(bare.local, domains[0].name if domains else reception.hostname.lower())
