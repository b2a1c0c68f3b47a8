"""SCRAM's arithmetic and SASLprep by the examples of their RFCs."""

from __future__ import annotations

import base64

import pytest

from posthouse.wire.sasl.scram import (
    ScramError,
    client_key,
    client_proof,
    derive_scram_keys,
    escape_name,
    is_proof_valid,
    salted_password,
    saslprep,
    server_signature,
    unescape_name,
)

# RFC 7677 3
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
AUTH_MESSAGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")


def test_both_proofs_of_the_example_in_rfc_7677() -> None:
    keys = derive_scram_keys("pencil", SALT, 4096)
    assert client_proof(client_key(salted_password("pencil", SALT, 4096)), AUTH_MESSAGE) == PROOF
    assert is_proof_valid(PROOF, keys.stored_key, AUTH_MESSAGE)
    signature = server_signature(keys.server_key, AUTH_MESSAGE)
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_proof_that_differs_anywhere_is_not_valid() -> None:
    keys = derive_scram_keys("pencil", SALT, 4096)
    assert not is_proof_valid(PROOF[:-1] + b"\0", keys.stored_key, AUTH_MESSAGE)
    assert not is_proof_valid(PROOF[:-1], keys.stored_key, AUTH_MESSAGE)
    assert not is_proof_valid(PROOF, keys.stored_key, AUTH_MESSAGE + b" ")


@pytest.mark.parametrize(
    ("text", "prepared"),
    # RFC 4013 3
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_saslprep_by_the_examples_of_rfc_4013(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "a\u0627", "\ue000", "\u200e"])
def test_saslprep_refuses_forbidden_characters_and_mixed_directions(text: str) -> None:
    with pytest.raises(ScramError) as caught:
        saslprep(text)
    assert text not in str(caught.value)


def test_names_with_commas_and_equals_signs_survive() -> None:
    assert escape_name("a=b,c=2C") == "a=3Db=2Cc=3D2C"
    assert unescape_name(escape_name("a=b,c=2C")) == "a=b,c=2C"
