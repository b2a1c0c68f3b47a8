"""The node's certificate: made, loaded, followed, refused."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.unit.net.authority import Authority, Pair

from posthouse.net.certificates import KeptOld, Reloaded, ServerCertificates, make_self_signed
from posthouse.net.contexts import CertificateProblem, ClientTls, server_context

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def names_served(context: ssl.SSLContext, authority: Authority) -> tuple[str, ...]:
    """Do a handshake in memory and say whose certificate was shown."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    wanted = authority.client_context()
    wanted.check_hostname = False
    client = wanted.wrap_bio(to_client, to_server)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = client.getpeercert()
    assert certificate is not None
    return tuple(str(value) for _, value in certificate["subjectAltName"])


def overwrite(pair: Pair, other: Pair) -> None:
    """Put another pair under the same names, as a renewal does."""
    for old, new in ((pair.certificate, other.certificate), (pair.key, other.key)):
        old.write_bytes(new.read_bytes())
        os.utime(old, ns=(1, old.stat().st_mtime_ns + 1))


def test_a_self_signed_pair_is_made_once_and_the_key_is_private(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls" / "node.pem", tmp_path / "tls" / "node.key"
    assert make_self_signed(certificate, key, "relay.example.com", NOW)
    made = certificate.read_bytes()
    assert not make_self_signed(certificate, key, "relay.example.com", NOW)
    assert certificate.read_bytes() == made
    assert key.stat().st_mode & 0o777 == 0o600
    read = x509.load_pem_x509_certificate(made)
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["relay.example.com"]
    assert read.not_valid_before_utc < NOW < read.not_valid_after_utc
    assert ServerCertificates(certificate, key).context().cert_store_stats()["x509"] == 0


def test_a_very_long_host_name_still_gets_a_certificate(tmp_path: Path) -> None:
    name = "very-long-label-of-a-host." * 4 + "example.com"
    assert make_self_signed(tmp_path / "c.pem", tmp_path / "c.key", name, NOW)


def test_a_renewed_certificate_is_served_after_the_reload(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("old.example.com")
    certificates = ServerCertificates(pair.certificate, pair.key)
    assert names_served(certificates.context(), authority) == ("old.example.com",)
    assert certificates.reload_if_changed() is None
    overwrite(pair, authority.issue("new.example.com", as_file="other"))
    assert certificates.reload_if_changed() == Reloaded()
    assert names_served(certificates.context(), authority) == ("new.example.com",)
    assert certificates.reload_if_changed() is None


def test_a_broken_renewal_keeps_the_old_certificate_and_is_reported_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("old.example.com")
    certificates = ServerCertificates(pair.certificate, pair.key)
    certificates.context()
    pair.certificate.write_text("not a certificate")
    report = certificates.reload_if_changed()
    assert isinstance(report, KeptOld)
    assert str(pair.certificate) in report.problem
    assert names_served(certificates.context(), authority) == ("old.example.com",)
    assert certificates.reload_if_changed() is None


def test_a_certificate_with_the_key_of_another_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.issue("one.example.com"), authority.issue("other.example.com", as_file="other")
    with pytest.raises(CertificateProblem, match="key values mismatch"):
        server_context(one.certificate, other.key)


def test_missing_files_and_encrypted_keys_are_named_without_asking_the_terminal(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("one.example.com")
    with pytest.raises(CertificateProblem, match=r"nowhere\.key: no such file"):
        server_context(pair.certificate, tmp_path / "nowhere.key")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2-hunter2"),
        )
    )
    with pytest.raises(CertificateProblem, match="the private key is encrypted"):
        server_context(pair.certificate, pair.key)
    other = authority.issue("other.example.com", as_file="other")
    with pytest.raises(CertificateProblem, match="no certificate authority"):
        server_context(other.certificate, other.key, ask_client=True, client_ca=_text_file(tmp_path))


def _text_file(directory: Path) -> Path:
    path = directory / "text.pem"
    path.write_text("only text")
    return path


def test_the_modern_profile_wants_tls_1_2_and_the_legacy_profile_takes_tls_1_0(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("one.example.com")
    modern = server_context(pair.certificate, pair.key)
    legacy = server_context(pair.certificate, pair.key, profile="legacy")
    assert modern.minimum_version == ssl.TLSVersion.TLSv1_2
    assert legacy.minimum_version == ssl.TLSVersion.TLSv1
    weak = {"AES128-SHA", "ECDHE-ECDSA-AES128-SHA"}
    assert not weak & {cipher["name"] for cipher in modern.get_ciphers()}
    assert weak <= {cipher["name"] for cipher in legacy.get_ciphers()}


def test_client_modes_verify_what_they_say(tmp_path: Path) -> None:
    ca = Authority(tmp_path).file
    assert ClientTls.towards("mx.example.com", "opportunistic").context.verify_mode == ssl.CERT_NONE
    assert ClientTls.towards("mx.example.com", "encryption").context.verify_mode == ssl.CERT_NONE
    chain = ClientTls.towards("mx.example.com", "certificate", ca=ca)
    assert (chain.context.verify_mode, chain.required_name) == (ssl.CERT_REQUIRED, None)
    assert ClientTls.towards("mx.example.com", "domain", ca=ca).required_name == "mx.example.com"
    assert ClientTls.towards("mx.example.com", "domain", tls_domain="*.example.com").required_name == "*.example.com"
    by_address = ClientTls.towards("192.0.2.1", "domain", ca=ca)
    assert (by_address.context.check_hostname, by_address.required_name) == (True, None)
    assert ClientTls.towards("mx.example.com", "certificate", ca=ca).context is chain.context
