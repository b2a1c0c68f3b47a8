"""Sealed secrets and the key file."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.store.sealing import SealBroken, Sealer, load_key


def test_what_was_sealed_opens_for_the_same_purpose_only() -> None:
    sealer = Sealer(b"k" * 32)
    sealed = sealer.seal(b"tell nobody", "secret:one")
    assert b"tell nobody" not in sealed
    assert sealer.open(sealed, "secret:one") == b"tell nobody"
    for broken in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", b"\x02" + sealed[1:]):
        with pytest.raises(SealBroken):
            sealer.open(broken, "secret:one")
    with pytest.raises(SealBroken, match="another purpose"):
        sealer.open(sealed, "secret:two")
    with pytest.raises(SealBroken):
        Sealer(b"j" * 32).open(sealed, "secret:one")


def test_the_same_secret_never_looks_the_same_twice() -> None:
    sealer = Sealer(b"k" * 32)
    assert sealer.seal(b"x", "p") != sealer.seal(b"x", "p")


def test_the_key_is_made_once_private_and_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sealing.key"
    key = load_key(path)
    assert load_key(path) == key
    assert (len(key), path.stat().st_mode & 0o777) == (32, 0o600)
    assert [entry.name for entry in path.parent.iterdir()] == ["sealing.key"]
    assert repr(Sealer(key)) == "<Sealer>"


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    path.write_bytes(b"short")
    with pytest.raises(SealBroken, match=r"sealing\.key: expected 32 octets of key, found 5"):
        load_key(path)
    with pytest.raises(ValueError, match="32 octets"):
        Sealer(b"short")


def test_derived_keys_differ_by_purpose_and_from_the_key() -> None:
    sealer = Sealer(b"k" * 32)
    assert len({sealer.derive("a"), sealer.derive("b"), b"k" * 32}) == 3
