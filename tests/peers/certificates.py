"""A certificate authority for one test run, its server and client certificates as files and contexts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Certificate with chain, and key, as PEM files that other users may read (Postfix drops root)."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into one directory."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA(organization_name="Posthouse tests")
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.certificate)

    def issue(self, *names: str, rsa: bool = False) -> Pair:
        """A certificate for these host names or addresses; good for servers and clients."""
        kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
        issued = self._ca.issue_cert(*names, common_name=names[0], key_type=kind)
        pair = Pair(
            certificate=self._directory / f"{names[0]}.pem",
            key=self._directory / f"{names[0]}.key",
        )
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair

    def server_context(self, *names: str) -> ssl.SSLContext:
        """For a server of these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = self.issue(*names)
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Trusts this authority only and checks host names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate)
        return context
