"""One connection: octets between a socket and a handler, with TLS from any moment on.

Source: asyncio's buffered protocols; RFC 5321 3.7 (closing), RFC 3207 4 (TLS in mid-session).
Shape: `Connection` is made by the event loop for each socket and calls its `Handler`; no task, no queue and no receive
buffer of its own. Writes made during one callback, or one turn of the loop, leave in one piece.
Failures: each end reaches `Handler.closed` once, with a reason; a handshake that fails is such an end. A peer that
reads nothing while we write is cut off at `MAX_UNSENT`.
Leaves to others: idle time-outs (the owners know what silence is worth), logging, everything of SMTP.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from posthouse.mail.session import TlsFacts
from posthouse.net.handler import LOCAL, NOBODY, REMOTE, Endpoint, Handler, endpoint
from posthouse.net.tls import FEED_OCTETS, TlsPump

RECEIVE_OCTETS = 64 * 1024
"""Also what one read can make a handler answer before it is told to stop: short commands have longer replies."""
HANDSHAKE_SECONDS = 30.0
LINGER_SECONDS = 5.0
HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
MAX_UNSENT = 4 * 1024 * 1024
"""Unsent octets at which one more write ends the connection. Handlers stop at `HIGH_WATER` by `is_writable`."""

_RAW = memoryview(bytearray(RECEIVE_OCTETS))
_PLAIN = memoryview(bytearray(RECEIVE_OCTETS))


class Connection(asyncio.BufferedProtocol):
    """One socket.

    Attributes:
        peer: The other end. Whoever reads a PROXY header may set it.
        local: Our end.
        tls: None on a plain connection.
        is_writable: False while more than `HIGH_WATER` octets wait to be sent.
    """

    __slots__ = (
        "_error",
        "_handler",
        "_in_callback",
        "_is_closing",
        "_is_paused",
        "_loop",
        "_out",
        "_pump",
        "_reason",
        "_timer",
        "_transport",
        "_will_flush",
        "has_ended",
        "is_writable",
        "local",
        "peer",
        "tls",
    )

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self._handler: Handler = handler
        self._loop = loop
        self._transport: asyncio.Transport = _NO_TRANSPORT
        self._out: list[bytes] = []
        self._pump: TlsPump | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self._error: Exception | None = None
        self._in_callback = self._will_flush = self._is_closing = self._is_paused = False
        self.has_ended = False
        self.is_writable = True
        self.peer = self.local = Endpoint("", 0)
        self.tls: TlsFacts | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.peer} -> {self.local}>"

    # What the owner calls.

    @property
    def is_closing(self) -> bool:
        """`close` or `abort` was called, or the socket is gone: writes are dropped, nothing is received."""
        return self._is_closing

    @property
    def unsent(self) -> int:
        """Octets that wait to be sent, after encryption."""
        return self._transport.get_write_buffer_size()

    def hand_over(self, handler: Handler) -> None:
        """Tell another handler from now on; it is not told `connected`."""
        self._handler = handler

    def write(self, data: bytes) -> None:
        """Send octets at the end of this callback or of this turn of the loop; during a handshake, after it."""
        if self._is_closing or not data:
            return
        self._out.append(data)
        if not self._in_callback and not self._will_flush:
            self._will_flush = True
            self._loop.call_soon(self.flush)

    def send(self, data: bytes) -> None:
        """Write and flush in one: the short way for those who have it all in one piece."""
        if self._out or self._pump is not None or not self.is_writable:
            self.write(data)
            self.flush()
        elif not self._is_closing:
            self._transport.write(data)

    def flush(self) -> None:
        """Send at once what was written."""
        self._will_flush = False
        out = self._out
        if not out:
            return
        pump, transport = self._pump, self._transport
        if pump is not None and not pump.is_secured:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if transport.is_closing():
            return
        if not self.is_writable and transport.get_write_buffer_size() > MAX_UNSENT:
            self._fail("the peer does not read what we send", None)
            return
        if pump is None:
            transport.write(data)
        else:
            self._send_encrypted(pump, data)

    def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        received: memoryview | bytes = b"",
    ) -> None:
        """Begin TLS; `Handler.secured` or `Handler.closed` follows. What was written before leaves as plain text.

        Args:
            server_hostname: Name to ask for (SNI) and, where the context says so, to check.
            received: Octets of the handshake that came behind something else, as after a PROXY header. Plain text that
                came behind STARTTLS must not be handed in: the handler throws it away.
        """
        self.flush()
        self._pump = TlsPump(context, server_side=server_side, server_hostname=server_hostname)
        self._set_timer(HANDSHAKE_SECONDS, self._on_handshake_timeout)
        if received or not server_side:
            # Not from here: the handler is in the middle of a callback and expects none.
            self._loop.call_soon(self._pump_octets, bytes(received))

    def close(self, *, linger: bool = False) -> None:
        """Send what was written, say goodbye to TLS, close. Idempotent.

        Args:
            linger: The peer may be in the middle of sending, and last words must reach it: stop writing, then swallow
                what comes until it closes too or `LINGER_SECONDS` are over.
        """
        if self._is_closing:
            return
        self.flush()
        if self._is_closing:
            return
        self._is_closing = True
        self._reason = self._reason or (REMOTE if self.has_ended else LOCAL)
        self._cancel_timer()
        transport = self._transport
        if self._pump is not None and self._pump.is_secured and not transport.is_closing():
            self._pump.say_goodbye()
            self._send_ciphertext(self._pump)
        if transport.is_closing():
            return
        if linger and not self.has_ended and transport.can_write_eof():
            self._linger(transport)
        else:
            self._close_transport()

    def abort(self, reason: str = LOCAL) -> None:
        """Close at once; what waits to be sent is lost."""
        self._fail(reason, None)

    def pause_reading(self) -> None:
        """Receive nothing until `resume_reading`. Idempotent."""
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again. Octets that were decrypted ahead come in the next turn of the loop. Idempotent."""
        if not self._is_paused:
            return
        self._is_paused = False
        if not self._is_closing:
            self._transport.resume_reading()
            if self._pump is not None and (self._pump.has_input or self._pump.has_ended):
                self._loop.call_soon(self._pump_octets, b"")

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's class, but of its shape.
        self._transport = cast("asyncio.Transport", transport)
        self.peer = endpoint(transport.get_extra_info("peername"))
        self.local = endpoint(transport.get_extra_info("sockname"))
        self._transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self._in_callback = True
        self._handler.connected(self)
        self._in_callback = False
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RAW

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_closing:
            return
        if self._pump is not None:
            for start in range(0, nbytes, FEED_OCTETS):
                self._pump_octets(_RAW[start : min(start + FEED_OCTETS, nbytes)])
            return
        self._in_callback = True
        self._handler.received(_RAW[:nbytes])
        self._in_callback = False
        if self._out:
            self.flush()

    def eof_received(self) -> bool:
        if self._is_closing:
            return False
        if self._pump is not None and not self._pump.is_secured:
            self._fail("the peer closed during the TLS handshake", None)
            return False
        self._peer_ended()
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        if not self._is_closing:
            self._call(self._handler.writable)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._cancel_timer()
        error = self._error or exc
        reason = self._reason or (_sentence(error) if error is not None else REMOTE)
        handler, self._handler = self._handler, NOBODY
        self._pump = None
        self._out.clear()
        handler.closed(reason, error)

    # TLS.

    def _pump_octets(self, data: memoryview | bytes) -> None:
        pump = self._pump
        if pump is None or self._is_closing:
            return
        pump.feed(data)
        try:
            if not pump.is_secured and not self._shake_hands(pump):
                return
            while not self._is_paused and not self._is_closing:
                count = pump.read_into(_PLAIN)
                if not count:
                    break
                self._in_callback = True
                self._handler.received(_PLAIN[:count])
                self._in_callback = False
        except ssl.SSLError as error:
            self._send_ciphertext(pump)
            self._fail(f"TLS failed: {_sentence(error)}", error)
            return
        self.flush()
        self._send_ciphertext(pump)
        if pump.has_ended and not self._is_paused:
            self._peer_ended()

    def _shake_hands(self, pump: TlsPump) -> bool:
        try:
            is_done = pump.shake_hands()
        except ssl.SSLError as error:
            self._send_ciphertext(pump)
            self._fail(f"TLS handshake failed: {_sentence(error)}", error)
            return False
        self._send_ciphertext(pump)
        if is_done:
            self._cancel_timer()
            self.tls = pump.facts()
            self._in_callback = True
            self._handler.secured(self.tls)
            self._in_callback = False
        return is_done

    def _send_encrypted(self, pump: TlsPump, data: bytes) -> None:
        try:
            pump.write(data)
        except ssl.SSLError as error:
            self._fail(f"TLS failed: {_sentence(error)}", error)
            return
        self._send_ciphertext(pump)

    def _send_ciphertext(self, pump: TlsPump) -> None:
        data = pump.ciphertext()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _on_handshake_timeout(self) -> None:
        self._fail("TLS handshake timed out", TimeoutError("TLS handshake timed out"))

    # Ends.

    def _peer_ended(self) -> None:
        if not self.has_ended and not self._is_closing:
            self.has_ended = True
            self._call(self._handler.ended)

    def _call(self, callback: _Callback) -> None:
        self._in_callback = True
        callback()
        self._in_callback = False
        self.flush()

    def _fail(self, reason: str, error: Exception | None) -> None:
        if not self._reason:
            self._reason, self._error = reason, error
        self._is_closing = True
        self._out.clear()
        self._cancel_timer()
        if error is not None and isinstance(error, ssl.SSLError):
            # The alert was written and deserves to arrive.
            self._close_transport()
        else:
            self._transport.abort()

    def _linger(self, transport: asyncio.Transport) -> None:
        try:
            transport.write_eof()
        except OSError:
            # The peer is gone already, and the loop will hear of it.
            transport.abort()
            return
        transport.resume_reading()
        self._set_timer(LINGER_SECONDS, transport.abort)

    def _close_transport(self) -> None:
        if self._transport.get_write_buffer_size():
            self._set_timer(LINGER_SECONDS, self._transport.abort)
        self._transport.close()

    def _set_timer(self, seconds: float, callback: _Callback) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(seconds, callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Callback(Protocol):
    def __call__(self) -> None: ...


_NO_TRANSPORT = asyncio.Transport()


def _sentence(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "the certificate was not accepted"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unknown").lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
