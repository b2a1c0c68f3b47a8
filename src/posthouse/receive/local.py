"""Mail from commands on this machine: ``posthouse send`` and whatever calls it as sendmail.

Shape: `LocalDesk.submit` goes the way of a message that came by SMTP (room, routes, repairs, Received, commit); only
the dialogue is missing. It works with and without a running node.
Failures: `NotTaken` values for what the sender can understand; `StoreUnavailable` becomes one too, marked temporary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from posthouse.decide.policy import Rights
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Recipient
from posthouse.mail.ids import MessageId, SessionId
from posthouse.mail.reply import Reply
from posthouse.mail.route import NoRoute
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts
from posthouse.receive.accept import Handover, Taking
from posthouse.receive.reception import Reception

LISTENER = "local"
PIECE_OCTETS = 256 * 1024


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A locally handed-in message was not accepted.

    Attributes:
        reason: A sentence for the person who sent it.
        temporary: Trying again later may help (exit code 75).
    """

    reason: str
    temporary: bool


class LocalDesk:
    """Takes messages from commands on this machine."""

    def __init__(self, reception: Reception, random: Random) -> None:
        self._reception, self._random = reception, random

    async def submit(
        self, *, sender: Address | None, recipients: Sequence[Address], content: bytes, user: str
    ) -> MessageId | NotTaken:
        """Accept one message; when the id is returned, the message is on disk.

        Args:
            sender: Reverse-path; None is ``<>``.
            recipients: At least one.
            content: Header, blank line, body; CRLF line ends.
            user: Login name of whoever ran the command; the principal is ``local:user``.
        """
        reception = self._reception
        if (no_room := reception.intake.refusal()) is not None:
            return NotTaken(no_room[1], temporary=True)
        principal = Principal(PrincipalKind.LOCAL, user)
        for recipient in recipients:
            route = reception.policy.route(sender, recipient, principal, len(content))
            if isinstance(route, NoRoute):
                return NotTaken(route.reason, temporary=False)
        rights = Rights(principal=principal, any_recipient=True, add_from=True)
        envelope = _envelope(sender, recipients, content)
        taking = Taking(reception, rights, envelope)
        for start in range(0, len(content), PIECE_OCTETS):
            waiting = taking.add(content[start : start + PIECE_OCTETS])
            if waiting is not None:
                await waiting
        handover = Handover(envelope=envelope, session=self._session(principal), rights=rights, repairs=())
        answer: asyncio.Future[tuple[Reply, str]] = asyncio.get_running_loop().create_future()
        taking.finish(handover, lambda reply, reason: answer.set_result((reply, reason)))
        reply, reason = await answer
        if taking.message_id is None:
            return NotTaken(reason or reply.text, temporary=not reply.is_permanent)
        return taking.message_id

    def _session(self, principal: Principal) -> SessionFacts:
        return SessionFacts(
            id=SessionId(f"{self._random.getrandbits(64):016X}"),
            listener=LISTENER,
            peer_ip="127.0.0.1",
            peer_port=0,
            helo=self._reception.hostname,
            protocol="ESMTP",
            tls=None,
            principal=principal,
            started_at=self._reception.clock(),
        )


def _envelope(sender: Address | None, recipients: Sequence[Address], content: bytes) -> Envelope:
    addresses = [*recipients, *([sender] if sender else [])]
    return Envelope(
        sender=sender,
        recipients=tuple(Recipient(address) for address in recipients),
        body=Body.SEVEN_BIT if content.isascii() else Body.EIGHT_BIT_MIME,
        smtputf8=not all(address.is_ascii for address in addresses),
    )
