"""Accounts, flow revisions and secrets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.store.conftest import OpenAs
from tests.store.samples import DAY, HOUR, MINUTE, NOW

from posthouse.store.port import Account, AppPassword, FlowRevision, Store

PRINTER = Account(
    name="Printer",
    password_hash="$argon2id$a",
    senders=("scan@device.example", "@apps.example"),
    scram="4096$c2FsdA==$stored$server",
    sealed_cram_secret=b"\x00sealed",
    created_at=NOW,
)


async def test_an_account_is_read_back_whatever_the_case_of_its_name(open_as: OpenAs) -> None:
    store = await open_as("node")
    await store.save_account(PRINTER)
    await store.close()
    store = await open_as("node")
    assert await store.account("pRINTER") == PRINTER
    assert await store.account("nobody") is None


async def test_saving_replaces_everything_but_app_passwords_and_the_time_of_creation(store: Store) -> None:
    await store.save_account(PRINTER)
    number = await store.add_app_password("printer", "first floor", "$argon2id$b", NOW)
    changed = replace(PRINTER, name="printer", password_hash="", senders=(), disabled=True, created_at=NOW + DAY)
    await store.save_account(changed)
    password = AppPassword(id=number, label="first floor", hash="$argon2id$b", created_at=NOW)
    assert await store.account("Printer") == replace(changed, name="Printer", created_at=NOW, app_passwords=(password,))


async def test_accounts_are_listed_by_name_with_their_own_app_passwords(store: Store) -> None:
    for name in ("beta", "Alpha", "gamma"):
        await store.save_account(replace(PRINTER, name=name))
    await store.add_app_password("BETA", "x", "hash", NOW)
    assert [(a.name, len(a.app_passwords)) for a in await store.accounts()] == [("Alpha", 0), ("beta", 1), ("gamma", 0)]


async def test_an_app_password_is_revoked_by_its_label(store: Store) -> None:
    await store.save_account(PRINTER)
    first = await store.add_app_password("printer", "one", "hash1", NOW)
    second = await store.add_app_password("printer", "two", "hash2", NOW)
    assert first != second
    assert await store.remove_app_password("PRINTER", "one")
    assert not await store.remove_app_password("printer", "one")
    account = await store.account("printer")
    assert account is not None
    assert [p.label for p in account.app_passwords] == ["two"]


async def test_an_app_password_needs_its_account_and_a_label_of_its_own(store: Store) -> None:
    with pytest.raises(ValueError, match="no account"):
        await store.add_app_password("nobody", "one", "hash", NOW)
    await store.save_account(PRINTER)
    await store.add_app_password("printer", "one", "hash", NOW)
    with pytest.raises(ValueError, match="already"):
        await store.add_app_password("printer", "one", "hash", NOW)


async def test_the_last_use_is_noted_and_never_goes_back(store: Store) -> None:
    await store.save_account(PRINTER)
    number = await store.add_app_password("printer", "one", "hash", NOW)
    await store.account_used("printer", number, NOW + HOUR)
    await store.account_used("printer", None, NOW + MINUTE)
    account = await store.account("printer")
    assert account is not None
    assert (account.last_used_at, account.app_passwords[0].last_used_at) == (NOW + HOUR, NOW + HOUR)


async def test_removing_an_account_takes_its_app_passwords_along(store: Store) -> None:
    await store.save_account(PRINTER)
    await store.add_app_password("printer", "one", "hash", NOW)
    assert await store.remove_account("PRINTER")
    assert not await store.remove_account("printer")
    await store.save_account(PRINTER)
    account = await store.account("printer")
    assert account is not None
    assert account.app_passwords == ()


async def test_hashes_are_not_shown_when_an_account_is_printed(store: Store) -> None:
    await store.save_account(PRINTER)
    await store.add_app_password("printer", "one", "hash-of-app-password", NOW)
    shown = repr(await store.account("printer"))
    assert "argon2id" not in shown
    assert "hash-of-app-password" not in shown
    assert "sealed" not in shown


async def test_flow_revisions_are_numbered_and_kept(open_as: OpenAs) -> None:
    store = await open_as("node")
    assert await store.flow() is None
    first = await store.save_flow("a = 1", by="anna", comment="begin", at=NOW)
    second = await store.save_flow("a = 2", by="bert", comment="", at=NOW + HOUR)
    assert first == FlowRevision(number=1, at=NOW, by="anna", comment="begin", text="a = 1")
    await store.close()
    store = await open_as("node")
    assert await store.flow() == second
    assert await store.flow(1) == first
    assert await store.flow(3) is None
    assert await store.flow_history(1) == [second]
    assert await store.flow_history(9) == [second, first]


async def test_secrets_are_kept_sealed_by_name(store: Store) -> None:
    await store.save_secret("upstream", b"one", NOW)
    await store.save_secret("upstream", b"\x00two", NOW + HOUR)
    await store.save_secret("alpha", b"three", NOW)
    assert await store.secret("upstream") == b"\x00two"
    assert await store.secret("nothing") is None
    assert await store.secret_names() == [("alpha", NOW), ("upstream", NOW + HOUR)]
    assert await store.remove_secret("upstream")
    assert not await store.remove_secret("upstream")
