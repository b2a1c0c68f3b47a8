"""Accounts, passwords and what is kept of them."""

from __future__ import annotations

from typing import cast

import pytest
from tests.unit.receive.memory import Clock, MemoryAccounts

from posthouse.receive import passwords
from posthouse.receive.accounts import AccountProblem, Accounts, read_sender
from posthouse.receive.login import cram_purpose
from posthouse.store.port import Keeping
from posthouse.store.sealing import Sealer
from posthouse.wire.sasl.scram import derive_scram_keys

PASSWORD = "correct horse battery"
SEALER = Sealer(b"k" * 32)


@pytest.fixture
def store() -> MemoryAccounts:
    return MemoryAccounts()


@pytest.fixture
def accounts(store: MemoryAccounts) -> Accounts:
    return Accounts(cast("Keeping", store), SEALER, clock=Clock().now, keeps_cram_secrets=True)


async def test_an_account_keeps_hashes_and_never_the_password(store: MemoryAccounts, accounts: Accounts) -> None:
    await accounts.create("scanner@example.com", PASSWORD)
    kept = store.kept["scanner@example.com"]
    assert kept.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify_password(kept.password_hash, PASSWORD)
    assert not passwords.verify_password(kept.password_hash, PASSWORD + "x")
    keys = passwords.read_scram_keys(kept.scram)
    assert keys is not None and keys == derive_scram_keys(PASSWORD, keys.salt, keys.iterations)
    assert SEALER.open(kept.sealed_cram_secret, cram_purpose("Scanner@Example.com")) == PASSWORD.encode()
    assert PASSWORD not in repr(kept) and "argon2" not in repr(kept)


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("short", "too short: 5 characters"),
        ("x" * 300, "too long"),
        ("aaaaaaaaaaaa", "too easy"),
        ("scanner@example.com", "too easy"),
        ("with a\ttab in it", "control character"),
    ],
)
async def test_weak_passwords_are_refused_without_being_repeated(
    accounts: Accounts, store: MemoryAccounts, password: str, problem: str
) -> None:
    with pytest.raises(AccountProblem, match=problem) as caught:
        await accounts.create("scanner@example.com", password)
    assert len(password) < 6 or password not in str(caught.value)
    assert store.kept == {}


async def test_names_and_senders_are_checked(accounts: Accounts) -> None:
    with pytest.raises(AccountProblem, match="cannot be a login name"):
        await accounts.create("two words", PASSWORD)
    with pytest.raises(AccountProblem, match="say which senders"):
        await accounts.create("scanner", PASSWORD)
    with pytest.raises(AccountProblem, match="is not an address"):
        await accounts.create("scanner", PASSWORD, ["nonsense"])
    await accounts.create("scanner", PASSWORD, ["@Example.com", "@*.example.org", "*", "Boss@Example.com"])
    with pytest.raises(AccountProblem, match="already"):
        await accounts.create("SCANNER", PASSWORD, ["*"])
    (account,) = await accounts.all()
    assert account.senders == ("@example.com", "@*.example.org", "*", "Boss@example.com")


async def test_an_account_is_changed_closed_and_removed(accounts: Accounts, store: MemoryAccounts) -> None:
    await accounts.create("scanner", None, ["*"])
    assert store.kept["scanner"].password_hash == ""
    await accounts.set_password("Scanner", PASSWORD)
    await accounts.set_senders("scanner", ["@example.com"])
    await accounts.set_disabled("scanner", True)
    kept = store.kept["scanner"]
    assert (kept.disabled, kept.senders, bool(kept.password_hash)) == (True, ("@example.com",), True)
    await accounts.remove("scanner")
    with pytest.raises(AccountProblem, match="there is no account 'scanner'"):
        await accounts.remove("scanner")


async def test_passwords_for_devices_are_shown_once_and_kept_as_digests(
    accounts: Accounts, store: MemoryAccounts
) -> None:
    await accounts.create("scanner", PASSWORD, ["*"])
    password = await accounts.add_app_password("scanner", "second floor")
    assert len(password.replace("-", "")) == 20
    assert not set("0O1lI") & set(password)
    (device,) = store.kept["scanner"].app_passwords
    assert password not in repr(store.kept) and device.hash not in repr(store.kept)
    for form in (password, password.replace("-", ""), password.upper(), password.replace("-", " ")):
        assert passwords.matches_app_password(device.hash, form)
    assert not passwords.matches_app_password(device.hash, passwords.make_app_password())
    assert not passwords.matches_app_password(device.hash, "")
    with pytest.raises(AccountProblem, match="already"):
        await accounts.add_app_password("scanner", "second floor")
    with pytest.raises(AccountProblem, match="it has: 'second floor'"):
        await accounts.revoke_app_password("scanner", "third floor")
    await accounts.revoke_app_password("scanner", "second floor")
    assert store.kept["scanner"].app_passwords == ()


@pytest.mark.parametrize("text", ["", "nonsense", "@", "@*.", "a b@example.com", "x@<y>"])
def test_what_is_no_sender_is_refused(text: str) -> None:
    with pytest.raises(AccountProblem):
        read_sender(text)


def test_a_broken_hash_fits_no_password() -> None:
    assert not passwords.verify_password("", PASSWORD)
    assert not passwords.verify_password("$argon2id$broken", PASSWORD)
    assert not passwords.matches_app_password("sha256", "a" * 20)
    assert passwords.read_scram_keys("") is None


async def test_changes_that_may_take_rights_away_are_told(store: MemoryAccounts, accounts: Accounts) -> None:
    told: list[str] = []
    accounts._on_change = lambda: told.append("changed")
    await accounts.create("scanner@example.com", "a long password")
    assert told == []
    await accounts.set_disabled("scanner@example.com", True)
    await accounts.set_senders("scanner@example.com", ["@example.com"])
    await accounts.set_password("scanner@example.com", "another long password")
    await accounts.remove("scanner@example.com")
    assert told == ["changed"] * 4
