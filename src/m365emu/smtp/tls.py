"""TLS without a socket: octets in, octets out.

Purpose: the server side of TLS inside the connection's own flow of octets, so that nothing is answered in clear
text by accident. Source: RFC 3207; RFC 8446.
Shape: `server_context` and `TlsPump`. Versions before TLS 1.2 are let through the handshake, because the service
refuses them only at AUTH, with a sentence of its own. Failures: `ssl.SSLError` rises to the driver.
"""

import ssl

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


class TlsPump:
    """One TLS connection between two buffers."""

    def __init__(self, context: ssl.SSLContext) -> None:
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
        return Tls(version=self._object.version() or "", cipher=cipher[0] if cipher else "")

    def read(self) -> bytes:
        """Return clear text that is ready, or nothing."""
        try:
            return self._object.read(_READ)
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
