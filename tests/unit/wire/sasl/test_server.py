"""SASL mechanisms on the server's side; SCRAM against scramp, which nobody here wrote."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from scramp import ScramClient, ScramException  # type: ignore[import-untyped]

from posthouse.wire.sasl.exchange import (
    Challenge,
    CheckCertificate,
    CheckPassword,
    Failure,
    Mechanism,
    NeedCramSecret,
    NeedScramKeys,
    Verified,
)
from posthouse.wire.sasl.scram import ScramKeys, derive_scram_keys
from posthouse.wire.sasl.server import MECHANISMS, begin

SALT = b"sixteen octets.."
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def start(mechanism: str, nonce: bytes = b"n" * 18) -> Mechanism:
    return begin(mechanism, nonce=nonce, hostname="relay.example", now=NOW, pretence_key=b"node secret")


def test_every_mechanism_that_listeners_may_offer_can_begin() -> None:
    assert [type(start(name)).__name__ for name in MECHANISMS] == [
        *("Plain", "Login", "CramMd5", "ScramSha256", "External"),
    ]
    with pytest.raises(ValueError, match="NTLM"):
        start("NTLM")


@pytest.mark.parametrize(
    ("message", "step"),
    [
        (b"\0tim\0secret", CheckPassword("tim", "secret")),
        (b"tim\0tim\0secret", CheckPassword("tim", "secret")),
        ("\0jörg\0pässword".encode(), CheckPassword("jörg", "pässword")),
        ("\0jörg\0pässword".encode("latin-1"), CheckPassword("jörg", "pässword")),
        (b"boss\0tim\0secret", Failure("PLAIN asked to act for somebody else", "tim")),
        (b"\0tim", Failure("PLAIN message does not have three parts")),
        (b"\0tim\0sec\0ret", Failure("PLAIN message does not have three parts")),
        (b"\0\0secret", Failure("user name is empty or too long")),
        (b"\0" + b"x" * 256 + b"\0secret", Failure("user name is empty or too long")),
        (b"\0tim\0", Failure("password is empty or too long", "tim")),
        (b"\0tim\0" + b"x" * 1025, Failure("password is empty or too long", "tim")),
    ],
)
def test_plain_takes_one_message(message: bytes, step: object) -> None:
    assert start("PLAIN").step(message) == step
    asked = start("PLAIN")
    assert asked.step(None) == Challenge(b"")
    assert asked.step(message) == step


def test_plain_asks_once_when_the_initial_response_is_empty() -> None:
    plain = start("PLAIN")
    assert plain.step(b"") == Challenge(b"")
    assert plain.step(b"") == Failure("PLAIN message does not have three parts")


@pytest.mark.parametrize("initial", [None, b""])
def test_login_asks_with_exactly_the_prompts_that_devices_compare(initial: bytes | None) -> None:
    login = start("LOGIN")
    assert login.step(initial) == Challenge(b"Username:")
    assert login.step(b"printer") == Challenge(b"Password:")
    assert login.step(b"secret") == CheckPassword("printer", "secret")


def test_login_takes_the_user_name_with_the_command() -> None:
    login = start("LOGIN")
    assert login.step(b"printer") == Challenge(b"Password:")
    assert login.step(b"secret") == CheckPassword("printer", "secret")


def test_login_without_a_user_name_fails_after_the_password() -> None:
    login = start("LOGIN")
    login.step(None)
    assert login.step(b"") == Challenge(b"Password:")
    assert login.step(b"secret") == Failure("user name is empty or too long")


def test_external_asks_about_the_certificate() -> None:
    assert start("EXTERNAL").step(b"") == CheckCertificate("")
    assert start("EXTERNAL").step(b"device.example.com") == CheckCertificate("device.example.com")
    asked = start("EXTERNAL")
    assert asked.step(None) == Challenge(b"")
    assert asked.step(b"") == CheckCertificate("")
    assert isinstance(start("EXTERNAL").step(b"a\0b"), Failure)


def cram(secret: str | None, response_secret: str, *, nonce: bytes = b"n" * 18) -> object:
    mechanism = start("CRAM-MD5", nonce)
    challenge = mechanism.step(None)
    assert isinstance(challenge, Challenge)
    digest = hmac.new(response_secret.encode(), challenge.data, hashlib.md5).hexdigest()
    assert mechanism.step(f"tim {digest}".encode()) == NeedCramSecret("tim")
    return mechanism.supply(secret)


def test_cram_md5_verifies_the_digest_of_its_challenge() -> None:
    assert cram("secret", "secret") == Verified("tim")
    assert cram("secret", "wrong") == Failure("CRAM-MD5 digest is wrong", "tim")
    assert cram(None, "secret") == cram("", "") == Failure("CRAM-MD5 digest is wrong", "tim")


def test_cram_md5_challenges_differ_by_nonce_and_name_the_host() -> None:
    one, other = start("CRAM-MD5", b"a" * 18).step(None), start("CRAM-MD5", b"b" * 18).step(None)
    assert isinstance(one, Challenge) and one != other
    assert one.data.startswith(b"<") and one.data.endswith(b".1767225600@relay.example>")


@pytest.mark.parametrize("response", [b"", b"tim", b"tim 1234", b"tim " + b"g" * 32, b" " + b"a" * 32])
def test_cram_md5_refuses_what_is_no_response(response: bytes) -> None:
    mechanism = start("CRAM-MD5")
    mechanism.step(None)
    assert mechanism.step(response) == Failure("CRAM-MD5 response is malformed")


def scram(username: str, password: str, keys: ScramKeys | None) -> list[object]:
    """Run an exchange with scramp as the client; gives the steps after client-first and client-final."""
    client = ScramClient(["SCRAM-SHA-256"], username, password)
    mechanism = start("SCRAM-SHA-256")
    first = mechanism.step(client.get_client_first().encode())
    challenge = mechanism.supply(keys)
    assert isinstance(challenge, Challenge)
    client.set_server_first(challenge.data.decode())
    final = mechanism.step(client.get_client_final().encode())
    if not isinstance(final, Challenge):
        return [first, final]
    client.set_server_final(final.data.decode())
    return [first, mechanism.step(b"")]


@pytest.mark.parametrize(
    ("username", "password"),
    [("user", "pencil"), ("a=b,c", "p,=w"), ("jörg", "pässwörd"), ("I\u00adX", "a\u00a0b"), ("\u2168", "\u00aa")],
)
def test_scram_agrees_with_an_independent_client(username: str, password: str) -> None:
    steps = scram(username, password, derive_scram_keys(password, SALT, 4096))
    assert isinstance(steps[0], NeedScramKeys)
    assert steps[1] == Verified(steps[0].username)


def test_scram_prepares_names_so_that_equal_looking_ones_are_equal() -> None:
    assert scram("I\u00adX", "x", derive_scram_keys("x", SALT, 4096))[0] == NeedScramKeys("IX")


def test_scram_fails_alike_for_a_wrong_password_and_an_unknown_user() -> None:
    wrong = scram("user", "pen", derive_scram_keys("pencil", SALT, 4096))
    unknown = scram("user", "pencil", None)
    assert wrong == unknown == [NeedScramKeys("user"), Failure("SCRAM proof is wrong", "user")]


def test_an_unknown_user_gets_the_same_salt_each_time_and_others_get_another() -> None:
    def salt_of(username: str, key: bytes) -> bytes:
        mechanism = begin("SCRAM-SHA-256", nonce=b"n" * 18, hostname="x", now=NOW, pretence_key=key)
        mechanism.step(f"n,,n={username},r=abc".encode())
        challenge = mechanism.supply(None)
        assert isinstance(challenge, Challenge)
        assert challenge.data.endswith(b",i=4096")
        return base64.b64decode(challenge.data.split(b",s=")[1].split(b",")[0])

    assert salt_of("ghost", b"k") == salt_of("ghost", b"k")
    assert len({salt_of("ghost", b"k"), salt_of("spectre", b"k"), salt_of("ghost", b"other")}) == 3
    assert len(salt_of("ghost", b"k")) == 16


def test_scram_without_a_key_for_pretences_does_not_begin() -> None:
    with pytest.raises(ValueError, match="pretences"):
        begin("SCRAM-SHA-256", nonce=b"n" * 18, hostname="x", now=NOW)


def test_the_server_that_does_not_know_the_password_is_found_out_by_the_client() -> None:
    right = derive_scram_keys("pencil", SALT, 4096)
    stolen = ScramKeys(salt=SALT, iterations=4096, stored_key=right.stored_key, server_key=bytes(32))
    with pytest.raises(ScramException):
        scram("user", "pencil", stolen)


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (b"", Failure("SCRAM message is malformed")),
        (b"n,,n=user", Failure("SCRAM message is malformed")),
        (b"n,,r=abc,n=user", Failure("SCRAM message is malformed")),
        (b"n,,m=x,n=user,r=abc", Failure("SCRAM message is malformed")),
        (b"n,,n=us=er,r=abc", Failure("SCRAM message is malformed")),
        (b"n,,n=,r=abc", Failure("SCRAM message is malformed")),
        (b"n,,n=u\xff,r=abc", Failure("SCRAM message is malformed")),
        (b"n,,n=user,r=a b", Failure("SCRAM message is malformed")),
        (b"n,,n=user,r=", Failure("SCRAM message is malformed")),
        (b"n" * 5000, Failure("SCRAM message is too long")),
        (b"p=tls-unique,,n=user,r=abc", Failure("SCRAM asked for channel binding, which is not offered")),
        (b"n,a=boss,n=user,r=abc", Failure("SCRAM asked to act for somebody else", "user")),
    ],
)
def test_scram_refuses_a_first_message_that_is_wrong(message: bytes, failure: Failure) -> None:
    assert start("SCRAM-SHA-256").step(message) == failure


@pytest.mark.parametrize(
    ("header", "nonce", "proof", "reason"),
    [
        (b"n,,", "{nonce}", "AAAA", "SCRAM proof is wrong"),
        (b"n,,", "{nonce}", "!", "SCRAM message is malformed"),
        (b"n,,", "{nonce}", "é", "SCRAM message is malformed"),
        (b"y,,", "{nonce}", "AAAA", "SCRAM channel binding changed on the way"),
        (b"n,,", "abc", "AAAA", "SCRAM nonce changed on the way"),
    ],
)
def test_scram_refuses_a_final_message_that_is_wrong(header: bytes, nonce: str, proof: str, reason: str) -> None:
    mechanism = start("SCRAM-SHA-256")
    mechanism.step(b"n,,n=user,r=abc")
    mechanism.supply(derive_scram_keys("pencil", SALT, 4096))
    full = nonce.format(nonce="abc" + base64.b64encode(b"n" * 18).decode())
    final = f"c={base64.b64encode(header).decode()},r={full},p={proof}"
    assert mechanism.step(final.encode()) == Failure(reason, "user")


def test_scram_without_initial_response_asks_for_it() -> None:
    mechanism = start("SCRAM-SHA-256")
    assert mechanism.step(None) == Challenge(b"")
    assert mechanism.step(b"n,,n=user,r=abc") == NeedScramKeys("user")


def test_supplying_what_was_not_asked_for_is_a_broken_promise() -> None:
    for name in MECHANISMS:
        with pytest.raises(RuntimeError):
            start(name).supply(None)


def test_secrets_are_in_no_repr() -> None:
    keys = derive_scram_keys("pencil", SALT, 4096)
    login = start("LOGIN")
    login.step(b"printer")
    shown = repr([CheckPassword("tim", "pencil"), keys, Challenge(b"pencil"), login])
    assert "pencil" not in shown
    assert repr(keys.stored_key) not in shown and repr(keys.server_key) not in shown
