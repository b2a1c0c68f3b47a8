"""Who is at the other end of a session, what that gives the right to, and what the trace says of it.

Shape: `Identity` is asked anew when TLS shows a certificate, when somebody logs in and when the flow changes; it keeps
the machine's offer and its policy for bare newlines in step.
Leaves to others: the flow (``decide.policy``), log-ins (``receive.login``).
"""

from __future__ import annotations

import secrets

from posthouse.decide.policy import Policy, Rights
from posthouse.mail.address import Address
from posthouse.mail.ids import SessionId
from posthouse.mail.reply import Reply
from posthouse.mail.session import SessionFacts, TlsFacts
from posthouse.net.connection import Connection
from posthouse.receive.reception import Door
from posthouse.trace.protocol_log import SessionLog
from posthouse.wire.smtp.server import ServerMachine
from posthouse.wire.smtp.session import Transcript

MAX_STRANGER_REFUSALS = 10
"""Refused MAIL and RCPT commands of a session without rights, before it ends."""


class Identity:
    """The other end of one session.

    Attributes:
        id: Ties protocol log, trace and message together.
        peer: Its address, after a PROXY header the one behind it.
        tls: Facts of the handshake, or None on a plain session.
        rights: None for a stranger.
    """

    __slots__ = (
        "_accounts",
        "_door",
        "_facts",
        "_log",
        "_logged_in",
        "_machine",
        "_policy",
        "_refusals",
        "_started_at",
        "id",
        "peer",
        "rights",
        "tls",
    )

    def __init__(self, door: Door, connection: Connection, tls: TlsFacts | None) -> None:
        """The protocol log of the session begins here, where the listener has one."""
        self._door, self.peer, self.tls = door, connection.peer, tls
        self.id = SessionId(secrets.token_hex(8).upper())
        self._started_at = door.reception.clock()
        self._logged_in = False
        self._refusals = 0
        self._facts: SessionFacts | None = None
        self._policy: Policy = door.reception.policy
        self._accounts = 0
        self.rights: Rights | None = None
        self._machine: ServerMachine | None = None
        self._log: SessionLog | None = None
        if door.protocol_log is not None:
            ends = str(connection.local), str(connection.peer)
            self._log = door.protocol_log.session("receive", door.settings.name, self.id, *ends)
            self._log.connected()

    @property
    def transcript(self) -> Transcript | None:
        """For the machine."""
        return self._log.line if self._log is not None else None

    def inform(self, text: str) -> None:
        """A line for the protocol log that was not said on the wire."""
        if self._log is not None:
            self._log.information(text)

    def ended(self, reason: str) -> None:
        """The connection is gone."""
        if self._log is not None:
            self._log.closed(reason.capitalize())

    def belongs_to(self, machine: ServerMachine) -> None:
        """Keep this machine in step from now on."""
        self._machine = machine
        self._look_up()

    def secured(self, facts: TlsFacts) -> None:
        """TLS was negotiated: whatever was said before counts no more (RFC 3207 4.2)."""
        self.tls, self._logged_in = facts, False
        self._look_up()

    def logged_in(self, rights: Rights) -> None:
        """An account's rights replace those of the network."""
        self._logged_in = True
        self._accounts = self._door.reception.accounts_revision
        self._use(rights)

    def current(self) -> Rights | None:
        """The rights under the flow in force. What an account may do does not depend on the flow."""
        reception = self._door.reception
        if self._logged_in and self._accounts != reception.accounts_revision:
            # It may have been this one that was disabled: whoever still may logs in again.
            self._logged_in = False
            self._look_up()
        if self._policy is not reception.policy:
            self._look_up()
        return self.rights

    def facts(self) -> SessionFacts:
        """For a message of this session."""
        machine = self._machine
        assert machine is not None
        facts, protocol, helo = self._facts, machine.protocol, machine.hello_name
        if facts is None or facts.protocol != protocol or facts.helo != helo:
            facts = self._facts = SessionFacts(
                id=self.id,
                listener=self._door.settings.name,
                peer_ip=self.peer.ip,
                peer_port=self.peer.port,
                helo=helo,
                protocol=protocol,
                tls=self.tls,
                principal=self.rights.principal if self.rights is not None else None,
                started_at=self._started_at,
            )
        return facts

    def is_nuisance(self) -> bool:
        """Count a refusal; True when a stranger has had enough. Who is known may be wrong as often as it takes."""
        self._refusals += 1
        return self.rights is None and self._refusals >= MAX_STRANGER_REFUSALS

    def note_refusal(
        self, stage: str, reply: Reply | None, reason: str, sender: str | None, recipient: Address | None
    ) -> None:
        """Tell the trace and the protocol log what was refused, and why."""
        self.inform(reason)
        self._door.reception.refused(
            {
                "stage": stage,
                "reply": str(reply) if reply is not None else None,
                "reason": reason,
                "peer": self.peer.ip,
                "listener": self._door.settings.name,
                "session": self.id,
                "principal": str(self.rights.principal) if self.rights is not None else None,
                "sender": sender,
                "recipient": str(recipient) if recipient is not None else None,
            }
        )

    def _look_up(self) -> None:
        self._policy = self._door.reception.policy
        if self._logged_in:
            return
        names = self.tls.peer_names if self.tls is not None else ()
        self._use(self._policy.rights_for(self.peer.ip, names, self._door.settings.name))

    def _use(self, rights: Rights | None) -> None:
        self.rights, self._facts = rights, None
        machine = self._machine
        assert machine is not None
        has_certificate = self.tls is not None and bool(self.tls.peer_names)
        machine.offer = self._door.offer(rights, has_certificate=has_certificate)
        if rights is None:
            machine.bare_newlines = self._door.settings.bare_newlines
        else:
            machine.bare_newlines = "repair" if rights.repair_newlines else "refuse"
