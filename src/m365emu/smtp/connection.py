"""One connection: the thin part between a socket and a session.

Purpose: move octets, run TLS, keep the time. Shape: an `asyncio.BufferedProtocol` that reads into a buffer shared
by all connections, which is safe because every read is used up before the next. While the session waits, or the
client does not read, nothing more is taken from the network, so memory stays bounded.
Failures: a broken TLS stream ends the connection. Leaves to others: every word (`smtp.session`).
"""

import asyncio
import contextlib
import ssl
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from m365emu import replies
from m365emu.clock import Timer
from m365emu.replies import Reply
from m365emu.smtp.session import Session, Want
from m365emu.smtp.tls import Pump

if TYPE_CHECKING:
    from m365emu.smtp.server import SmtpHost


_FOREVER = 10 * 365 * 86_400


class Connection(asyncio.BufferedProtocol):
    """A client's connection to an SMTP host."""

    def __init__(self, host: "SmtpHost") -> None:
        self._host = host
        self._tls: Pump | None = None
        self._encrypted = False
        self._timer: Timer | None = None
        self._transport: asyncio.Transport
        self.session: Session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.session = self._host.admit(self, peer[0] if peer else "unknown")
        self._opened = self._touched = self._host.clock.now()
        self._watch()
        self._after()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._host.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._touched = self._host.clock.now()
        data = self._host.buffer[:nbytes]
        if self._tls is None:
            self.session.receive(data)
        else:
            self._tls.feed(data)
        self._after()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.session.lost()
        self._host.forget(self)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.session.want is Want.READ:
            self._transport.resume_reading()

    def refuse(self, reply: Reply) -> None:
        """End the connection with a last reply, of the server's own accord."""
        self.session.refuse(reply)
        self._after()

    def abort(self) -> None:
        """End the connection at once, without a word."""
        self._transport.abort()

    def _after(self) -> None:
        """Do what the session wants, now that it has new octets or its time has come."""
        session = self.session
        try:
            while self._tls is not None and session.want in (Want.READ, Want.UPGRADE) and self._pull(self._tls):
                pass
        except ssl.SSLError as error:
            session.transcript.note(f"TLS failed: {error.strerror or type(error).__name__}")
            session.lost()
        self._send()
        if session.want is Want.UPGRADE and self._tls is None:
            self._tls = self._host.tls()
        elif session.want is Want.WAIT:
            self._hold()
        elif session.want is Want.CLOSE:
            self._close()

    def _pull(self, tls: Pump) -> bool:
        """Take one step through TLS; say whether there may be more."""
        if self.session.want is Want.UPGRADE:
            agreed = tls.handshake()
            if agreed is not None:
                self._encrypted = True
                self.session.secured(agreed)
            return agreed is not None
        data = tls.read()
        if data is None:
            # Some clients wait for the farewell of TLS to be answered before they go.
            self.session.lost()
        elif data:
            self.session.receive(data)
        return bool(data)

    def _send(self) -> None:
        data = self.session.take_output()
        if self._tls is not None:
            # Words meant for a client that is in the middle of a handshake are never sent in clear text.
            if self._encrypted:
                with contextlib.suppress(ssl.SSLError):  # a broken stream takes no last words
                    self._tls.write(data)
            data = self._tls.take_output()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport.is_closing():
            return
        if self._tls is not None and self._encrypted:
            self._tls.end()
            self._transport.write(self._tls.take_output())
        self._transport.close()

    def _hold(self) -> None:
        """Stop reading until the session may go on."""
        assert self.session.wait_until is not None
        self._transport.pause_reading()
        self._set_timer(self._host.clock.call_at(self.session.wait_until, self._resume))

    def _resume(self) -> None:
        self._touched = self._host.clock.now()
        self.session.resume()
        self._watch()
        if self.session.want is Want.READ and not self._transport.is_closing():
            self._transport.resume_reading()
        self._after()

    def _watch(self) -> None:
        """Set the timer to the moment at which the client will have been silent, or here at all, for too long."""
        self._set_timer(self._host.clock.call_at(min(self._ends_by()), self._check_time))

    def _ends_by(self) -> tuple[datetime, datetime]:
        limits = self._host.desk.limits
        idle = self._touched + timedelta(seconds=limits.idle_seconds)
        return idle, self._opened + timedelta(seconds=limits.session_seconds or _FOREVER)

    def _check_time(self) -> None:
        if self.session.want is Want.CLOSE:
            return
        now, (idle, whole) = self._host.clock.now(), self._ends_by()
        if now >= whole:
            self.refuse(replies.CONNECTION_TIMED_OUT)
        elif now >= idle:
            self.refuse(replies.TIMED_OUT)
        else:
            self._watch()

    def _set_timer(self, timer: Timer) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer
