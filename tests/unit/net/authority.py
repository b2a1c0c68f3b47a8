"""Certificates for the tests of ``net`` and ``receive``: one authority and pairs written as files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    """A certificate and its key as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.file = directory / "ca.pem"
        self.made.cert_pem.write_to_path(str(self.file))

    def issue(self, *names: str, common_name: str | None = None, as_file: str = "pair") -> Pair:
        """Write a pair for these names."""
        leaf = self.made.issue_cert(*names, common_name=common_name, key_type=trustme.KeyType.ECDSA)
        certificate, key = self.directory / f"{as_file}.pem", self.directory / f"{as_file}.key"
        leaf.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return Pair(certificate, key)

    def client_context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A stock client context that trusts the authority."""
        context = ssl.create_default_context(cafile=str(self.file))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context
