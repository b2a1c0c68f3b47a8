"""Facts about the session that handed a message to us, and who stood at its other end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from posthouse.mail.ids import SessionId


class PrincipalKind(StrEnum):
    """How somebody was let in."""

    ACCOUNT = "account"
    INBOUND_CONNECTOR = "inbound_connector"
    LOCAL = "local"
    """A command on this machine (``posthouse send``) or the node itself (bounces)."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who hands mail to us.

    Attributes:
        kind: Account, inbound connector or the machine itself.
        name: Name of the account or connector; the login name of a local user.
        label: Label of the app password that was used, else empty.
    """

    kind: PrincipalKind
    name: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What TLS negotiated.

    Attributes:
        version: ``TLSv1.3``.
        cipher: OpenSSL's name.
        peer_names: Names in the peer's *verified* certificate (subject alternative DNS names, then CN); else empty.
    """

    version: str
    cipher: str
    peer_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """One SMTP session as seen when a message is handed in.

    Attributes:
        id: Ties protocol log, trace and message together.
        listener: Name of the listener; ``local`` for commands, ``node`` for our own notices.
        peer_ip: Address of the client (after PROXY), textual form without zone.
        peer_port: 0 where there is none.
        helo: Argument of HELO/EHLO as it came, at most 255 octets.
        protocol: Value for ``with`` in Received (RFC 3848): SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP...
        tls: None on a plain session.
        principal: None for a stranger.
        started_at: Aware UTC.
    """

    id: SessionId
    listener: str
    peer_ip: str
    peer_port: int
    helo: str
    protocol: str
    tls: TlsFacts | None
    principal: Principal | None
    started_at: datetime
