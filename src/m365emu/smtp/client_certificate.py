"""TLS at the MX: a client certificate is asked for, read, and judged without ending the handshake.

Purpose: certificates that do not verify must still get as far as RCPT, where the service says what it thinks of
them; a chain without its intermediates verifies nowhere, and Exchange Online fetches none. Source: RFC 5280 6.1;
RFC 6125 6.4 (names); "Set up connectors to route mail". Shape: `ExchangerTls` makes `CertificatePump`s, which are
`smtp.tls.Pump`s; pyOpenSSL is used because the standard library's `ssl` cannot let an unverified certificate in.
Failures: `ssl.SSLError` rises to the driver; `OSError` or `ValueError` for files of authorities beyond use.
Leaves to others: what follows from the names (`attribution`).
"""

import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from m365emu.certificates import Certificates
from m365emu.smtp.desk import Tls

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:@SECLEVEL=0"
_READ = 65_536
_MOST_NAMES = 100


class ExchangerTls:
    """The MX's TLS."""

    def __init__(self, certificates: Certificates, authorities: Path, now: Callable[[], datetime]) -> None:
        """Prepare.

        Args:
            certificates: the server's own; clients' chains may end at this CA.
            authorities: a PEM file of further authorities that clients' chains may end at; it need not exist.
            now: the present moment, for the dates in certificates.
        """
        self._roots = _read(certificates.ca) + (_read(authorities) if authorities.exists() else [])
        self._now = now
        context = self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_cipher_list(_CIPHERS)
        context.use_certificate_chain_file(str(certificates.chain))
        context.use_privatekey_file(str(certificates.key))
        # A resumed session would come without its chain.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
        context.set_verify(SSL.VERIFY_PEER, _accept)

    def __call__(self) -> "CertificatePump":
        """Return the server side of one more connection."""
        return CertificatePump(SSL.Connection(self._context, None), self._judge)

    def _judge(self, chain: list[x509.Certificate]) -> tuple[tuple[str, ...], str]:
        """Return the names of a chain's first certificate, none when it does not verify, and what to note."""
        if not chain:
            return (), ""
        store = crypto.X509Store()
        for root in self._roots:
            store.add_cert(crypto.X509.from_cryptography(root))
        store.set_time(self._now())
        first, *rest = (crypto.X509.from_cryptography(certificate) for certificate in chain)
        try:
            crypto.X509StoreContext(store, first, rest).verify_certificate()
        except (crypto.X509StoreContextError, crypto.Error) as error:
            return (), f"the client's certificate does not verify: {str(error)[:200]}"
        names = _names(chain[0])
        return names, f"the client's certificate names {', '.join(names)[:400] or 'nobody'}"


class CertificatePump:
    """One TLS connection between two buffers, with the client's certificate."""

    def __init__(
        self,
        connection: SSL.Connection,
        judge: Callable[[list[x509.Certificate]], tuple[tuple[str, ...], str]],
    ) -> None:
        self._connection = connection
        self._judge = judge
        connection.set_accept_state()

    def feed(self, data: bytes | memoryview) -> None:
        """Take octets from the network."""
        if data:
            self._connection.bio_write(bytes(data))

    def handshake(self) -> Tls | None:
        """Go on with the handshake; return what was agreed, and who the client is, once it is done."""
        connection = self._connection
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return None
        except SSL.Error as error:
            raise _broken(error) from error
        first = connection.get_peer_certificate(as_cryptography=True)
        others = connection.get_peer_cert_chain(as_cryptography=True) or []
        names, note = self._judge([] if first is None else [first, *(each for each in others if each != first)])
        return Tls(
            version=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            server_name=(connection.get_servername() or b"").decode("ascii", "replace").lower(),
            peer_names=names,
            peer_note=note,
        )

    def read(self) -> bytes | None:
        """Return clear text that is ready, or nothing; `None` once the client said that nothing follows."""
        try:
            return self._connection.recv(_READ)
        except SSL.ZeroReturnError:
            return None
        except SSL.WantReadError:
            return b""
        except SSL.Error as error:
            raise _broken(error) from error

    def write(self, data: bytes) -> None:
        """Encrypt; raises `ssl.SSLError` when the stream is broken."""
        try:
            if data:
                self._connection.sendall(data)
        except SSL.Error as error:
            raise _broken(error) from error

    def end(self) -> None:
        """Say that nothing follows (close_notify), without waiting for the other side."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return

    def take_output(self) -> bytes:
        """Return octets for the network."""
        pieces: list[bytes] = []
        while True:
            try:
                pieces.append(self._connection.bio_read(_READ))
            except SSL.WantReadError:
                return b"".join(pieces)


def _accept(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, verified: int) -> bool:
    """Let every certificate through the handshake; `ExchangerTls` judges it afterwards."""
    return True


def _broken(error: SSL.Error) -> ssl.SSLError:
    """Return the same failure in the words of the standard library."""
    queue = error.args[0] if error.args else None
    reason = str(queue[0][-1]) if isinstance(queue, list) and queue else type(error).__name__
    return ssl.SSLError(ssl.SSL_ERROR_SSL, reason)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names of a certificate, and its common name, in lower case."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternatives.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = []
    names += [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(name.lower() for name in names))[:_MOST_NAMES]


def _read(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())
