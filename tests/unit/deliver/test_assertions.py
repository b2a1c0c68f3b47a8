"""Certificates as credentials: every form of file, and what is wrong with one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry
from tests.scenario.identities import entra

from posthouse.deliver.assertions import CredentialProblem, KeyPair, read_key_pair, sign_assertion
from posthouse.deliver.secrets import Secret

PHRASE = Secret(entra.PASSPHRASE)
LENIENT = JWSRegistry(algorithms=["PS256"])
LENIENT.max_header_length = 8192  # A chain is longer than what the library reads by default.
EC_KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    entra.write_credentials(tmp_path)
    return tmp_path


def test_an_assertion_names_its_key_by_sha256_and_is_signed_by_ps256(files: Path) -> None:
    pair = read_key_pair(files / "both.pem", None, None)
    assert isinstance(pair, KeyPair)
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    for with_chain in (False, True):
        text = sign_assertion(pair, "app", "https://login/token", now, nonce="n-1", with_chain=with_chain)
        token = jwt.decode(text, RSAKey.import_key(entra.KEY.public_key()), algorithms=["PS256"], registry=LENIENT)
        assert token.claims == {
            "aud": "https://login/token",
            "iss": "app",
            "sub": "app",
            "jti": "n-1",
            "iat": 1795262400,
            "nbf": 1795262400,
            "exp": 1795263000,
        }
        header = token.header
        assert ("x5c" in header) is with_chain
        assert "x5t" not in header and len(header["x5t#S256"]) == 43


def test_a_pem_file_with_its_own_key_needs_no_other(files: Path) -> None:
    pair = read_key_pair(files / "both.pem", files / "no such file", None)
    assert isinstance(pair, KeyPair)
    assert len(pair.sha1) == 40 and len(pair.sha256) == 64 and pair.sha256.isupper()


def test_the_chain_begins_with_the_keys_own_certificate(files: Path) -> None:
    other = entra.make_certificate(entra.rsa.generate_private_key(65537, 2048), name="authority")
    (files / "chain.pem").write_bytes(other.public_bytes(Encoding.PEM) + (files / "both.pem").read_bytes())
    pair = read_key_pair(files / "chain.pem", None, None)
    assert isinstance(pair, KeyPair)
    assert pair.chain == (entra.CERTIFICATE, other)


def test_what_is_wrong_with_a_file_is_said_without_what_it_holds(files: Path) -> None:
    (files / "empty").write_bytes(b"")
    (files / "large").write_bytes(b"x" * (256 * 1024 + 1))
    (files / "ec.pem").write_bytes(EC_KEY + entra.CERTIFICATE_PEM)
    (files / "broken.pem").write_bytes(entra.KEY_PEM.replace(b"\nMII", b"\nXXX", 1) + entra.CERTIFICATE_PEM)
    other = entra.make_certificate(entra.rsa.generate_private_key(65537, 2048))
    (files / "strange.pem").write_bytes(entra.KEY_PEM + other.public_bytes(Encoding.PEM))
    (files / "half.pem").write_bytes(entra.KEY_PEM + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for name, key, phrase, words in (
        ("missing.pem", None, None, "no such file"),
        ("empty", None, None, "is empty"),
        ("large", None, None, "too large"),
        ("secret", None, None, "no PEM or PFX file"),
        ("app.pfx", None, None, "the passphrase does not open it"),
        ("app.pfx", None, Secret("wrong-planted"), "the passphrase does not open it"),
        ("locked.pem", None, None, "no passphrase is given"),
        ("locked.pem", None, Secret("wrong-planted"), "the passphrase does not open it"),
        ("app.crt", None, None, "no private key"),
        ("app.crt", "missing.key", None, "no such file"),
        ("ec.pem", None, None, "no RSA key"),
        ("broken.pem", None, None, "cannot be read"),
        ("strange.pem", None, None, "does not belong"),
        ("half.pem", None, None, "no certificate"),
    ):
        problem = read_key_pair(files / name, files / key if key else None, phrase)
        assert isinstance(problem, CredentialProblem), name
        assert words in problem.reason, (name, problem.reason)
        assert "planted" not in problem.reason and "MII" not in problem.reason
    assert isinstance(read_key_pair(files / "locked.pem", None, PHRASE), KeyPair)


def test_a_key_pair_does_not_show_its_key(files: Path) -> None:
    pair = read_key_pair(files / "app.pfx", None, PHRASE)
    assert isinstance(pair, KeyPair)
    assert "PRIVATE" not in repr(pair) and "RSAPrivateKey" not in repr(pair)
