"""TLS without a socket: octets in, octets out.

Purpose: the server side of TLS inside the connection's own flow of octets, so that nothing is answered in clear
text by accident. Source: RFC 3207; RFC 8446; RFC 6066 3 (the name that the client asks for).
Shape: `Pump` is what a connection needs; `ServerTls` makes `TlsPump`s. Versions before TLS 1.2 are let through the
handshake, because the service refuses them only at AUTH, with a sentence of its own.
Failures: `ssl.SSLError` rises to the driver. Leaves to others: client certificates (`smtp.client_certificate`).
"""

import ssl
from typing import Protocol
from weakref import WeakKeyDictionary

from m365emu.certificates import Certificates
from m365emu.smtp.desk import Tls

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:@SECLEVEL=0"
_READ = 65_536


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """Return the submission host's TLS settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificates.chain, certificates.key)
    return context


class Pump(Protocol):
    """The server side of one TLS connection."""

    def feed(self, data: bytes | memoryview) -> None:
        """Take octets from the network."""

    def handshake(self) -> Tls | None:
        """Go on with the handshake; return what was agreed once it is done. Raises `ssl.SSLError`."""

    def read(self) -> bytes | None:
        """Return clear text that is ready, or nothing; `None` once the client said that nothing follows.

        Raises `ssl.SSLError`.
        """

    def write(self, data: bytes) -> None:
        """Encrypt. Raises `ssl.SSLError`."""

    def end(self) -> None:
        """Say that nothing follows (close_notify), without waiting for the other side."""

    def take_output(self) -> bytes:
        """Return octets for the network."""


class ServerTls:
    """The submission host's TLS: it asks for no client certificate, and remembers which name a client asked for."""

    def __init__(self, certificates: Certificates) -> None:
        self._context = server_context(certificates)
        self._names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()
        self._context.sni_callback = self._note_name

    def __call__(self) -> "TlsPump":
        """Return the server side of one more connection."""
        return TlsPump(self._context, self._names)

    def _note_name(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        if name and isinstance(connection, ssl.SSLObject):
            self._names[connection] = name.lower()[:255]


class TlsPump:
    """One TLS connection between two buffers."""

    def __init__(self, context: ssl.SSLContext, names: WeakKeyDictionary[ssl.SSLObject, str]) -> None:
        self._names = names
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def feed(self, data: bytes | memoryview) -> None:
        """Take octets from the network."""
        self._incoming.write(data)

    def handshake(self) -> Tls | None:
        """Go on with the handshake; return what was agreed once it is done."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return None
        cipher = self._object.cipher()
        return Tls(
            version=self._object.version() or "",
            cipher=cipher[0] if cipher else "",
            server_name=self._names.get(self._object, ""),
        )

    def read(self) -> bytes | None:
        """Return clear text that is ready, or nothing; `None` once the client said that nothing follows."""
        try:
            return self._object.read(_READ) or None
        except ssl.SSLWantReadError:
            return b""

    def write(self, data: bytes) -> None:
        """Encrypt."""
        if data:
            self._object.write(data)

    def end(self) -> None:
        """Say that nothing follows (close_notify), without waiting for the other side."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return

    def take_output(self) -> bytes:
        """Return octets for the network."""
        return self._outgoing.read()
