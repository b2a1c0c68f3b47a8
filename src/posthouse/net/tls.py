"""TLS as a pump of octets: ciphertext in, plaintext out, and back, without a socket.

Source: RFC 8446, RFC 5246; OpenSSL's memory BIOs through ``ssl.MemoryBIO`` and ``ssl.SSLObject``.
Shape: `TlsPump` is fed with what the peer sent and asked for what is to be sent; it never waits.
Failures: ``ssl.SSLError`` (``ssl.SSLCertVerificationError`` among them) from each step; what `ciphertext` gives
afterwards is the alert that tells the peer.
Leaves to others: sockets and time-outs (``net.connection``), contexts (``net.contexts``).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from posthouse.mail.session import TlsFacts

FEED_OCTETS = 16 * 1024
"""Most octets that a caller should feed at once: a BIO keeps the room it once needed until the session ends."""


class TlsPump:
    """One TLS session.

    Attributes:
        is_secured: The handshake is done.
        has_ended: The peer said close_notify.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "has_ended", "is_secured")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.is_secured = False
        self.has_ended = False

    def feed(self, ciphertext: memoryview | bytes) -> None:
        """Take octets that the peer sent."""
        self._incoming.write(ciphertext)

    def shake_hands(self) -> bool:
        """Go on with the handshake; True once it is done.

        Raises:
            ssl.SSLError: The handshake failed.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_secured = True
        return True

    def read_into(self, buffer: memoryview) -> int:
        """Decrypt into a buffer.

        Returns:
            Number of octets written; 0 when more ciphertext is needed or the peer has ended the session.

        Raises:
            ssl.SSLError: A record is broken.
        """
        count, room = 0, len(buffer)
        reader = self._object
        while count < room and (self._incoming.pending or reader.pending()):
            try:
                # The stubs know only bytearray here; any writable buffer will do.
                got: int = reader.read(room - count, buffer[count:])  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                got = 0
            if not got:
                self.has_ended = True
                break
            count += got
        return count

    @property
    def has_input(self) -> bool:
        """Octets wait that `read_into` has not looked at."""
        return bool(self._incoming.pending or self._object.pending())

    def write(self, plaintext: bytes) -> None:
        """Encrypt; `ciphertext` then gives what to send."""
        self._object.write(plaintext)

    def say_goodbye(self) -> None:
        """Encrypt close_notify. The peer's own is not waited for: SMTP marks its ends itself."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            # Wants the peer's answer, or the session is broken already; either way nothing more is to be said.
            return

    def ciphertext(self) -> bytes:
        """Octets to send to the peer; empty when there are none."""
        return self._outgoing.read()

    def facts(self) -> TlsFacts:
        """What was negotiated, and who the peer proved to be."""
        cipher = self._object.cipher()
        certificate = self._object.getpeercert() if self._object.context.verify_mode else None
        return TlsFacts(
            version=self._object.version() or "",
            cipher=cipher[0] if cipher else "",
            peer_names=certificate_names(certificate) if certificate else (),
        )


def certificate_names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in a verified certificate: alternative DNS names, then the common name; lower case, each once.

    Args:
        certificate: As ``SSLObject.getpeercert`` gives it.
    """
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    names += [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return tuple(dict.fromkeys(name.lower() for name in names))
