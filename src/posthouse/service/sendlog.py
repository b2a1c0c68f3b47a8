"""The protocol log of outgoing sessions: gives each session its number and the driver's lines their form.

Shape: `SendLog` has the three calls that ``deliver.smtp`` makes; the log's own session begins when the socket is open,
because only then the addresses are known.
"""

from __future__ import annotations

import secrets

from posthouse.mail.ids import SessionId
from posthouse.trace.protocol_log import ProtocolLog, SessionLog


class SendLog:
    """One outgoing session in the log."""

    def __init__(self, log: ProtocolLog, connector: str) -> None:
        self._log, self._connector = log, connector
        self._session: SessionLog | None = None

    def connected(self, local: str, remote: str) -> None:
        """The socket is open."""
        session_id = SessionId(secrets.token_hex(8).upper())
        self._session = self._log.session("send", self._connector, session_id, local, remote)
        self._session.connected()

    def line(self, direction: str, text: str) -> None:
        """``>`` what we said, ``<`` what the server said, ``*`` a remark."""
        if self._session is None:
            return
        if direction == "*":
            self._session.information(text)
        else:
            self._session.line(direction, text)

    def closed(self, reason: str) -> None:
        """The connection is gone."""
        if self._session is not None:
            self._session.closed(reason)
