"""The receiver over the real store: 250 means that the message is there after a restart."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

from tests.unit.receive.memory import Clock, MemoryIntake
from tests.unit.receive.office import STRANGERS, listener, open_office

from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import read_message_id
from posthouse.mail.message import InlineContent, Message, NewMessage, Placement, RecipientState, SpooledContent
from posthouse.store.port import SpoolFile
from posthouse.store.sqlite.store import SqliteStore

LETTER = "From: a@example.com\r\nSubject: Hello\r\n\r\nHi"


class StoreIntake(MemoryIntake):
    """Writes every message to a store, to wait there."""

    def __init__(self, store: SqliteStore, directory: Path) -> None:
        super().__init__(directory, Clock(), store.inline_octets)
        self._store = store

    def enqueue(self, message: Message) -> Awaitable[None]:  # type: ignore[override]
        placements = tuple(
            Placement(index, RecipientState.PENDING, "next", message.received_at)
            for index in range(len(message.envelope.recipients))
        )
        events = (Event(message.received_at, EventKind.ACCEPTED, message.id),)
        return self._store.accept(NewMessage(message=message, placements=placements, events=events))

    def open_spool(self) -> SpoolFile:  # type: ignore[override]
        return self._store.open_spool()


async def reopened(store: SqliteStore) -> SqliteStore:
    await store.close()
    again = SqliteStore(store.directory, node="n1", inline_octets=store.inline_octets)
    await again.open()
    return again


async def test_what_was_answered_250_is_there_after_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", node="n1", inline_octets=10_000)
    await store.open()
    ids = []
    async with open_office(tmp_path, intake=StoreIntake(store, tmp_path)) as office:
        client = await office.client()
        await client.greet()
        for text in (LETTER, LETTER + "\r\n" + "line\r\n" * 10_000):
            reply = await client.mail(text)
            assert reply.startswith("250 ")
            ids.append(read_message_id(reply.rpartition(" ")[2]))
    store = await reopened(store)
    try:
        small, large = [await store.content(message_id) for message_id in ids]
        assert isinstance(small, InlineContent) and small.data.endswith(f"{LETTER}\r\n".encode())
        assert isinstance(large, SpooledContent) and large.prefix.startswith(b"Received: ")
        assert large.path.read_bytes().endswith(b"line\r\n" * 10_000 + b"\r\n")
        assert await store.open_count() == 2
        assert await store.check() == []
    finally:
        await store.close()


async def test_a_store_that_was_closed_is_a_temporary_answer_and_leaves_no_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", node="n1", inline_octets=10_000)
    await store.open()
    async with open_office(tmp_path, intake=StoreIntake(store, tmp_path)) as office:
        client = await office.client()
        await client.greet()
        await store.close()
        assert (await client.mail(LETTER)).startswith("451 4.3.0 ")
        assert (await client.mail(LETTER + "\r\n" + "line\r\n" * 10_000)).startswith("451 4.3.0 ")
    assert list((tmp_path / "data" / "spool").iterdir()) == []


async def test_accounts_in_the_store_log_in(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", node="n1")
    await store.open()
    try:
        clear = listener(auth_without_tls=True, profile="legacy")
        async with open_office(tmp_path, clear, flow=STRANGERS, keeping=store) as office:
            await office.accounts.create("Scanner@example.com", "correct horse battery")
            secret = await office.accounts.add_app_password("scanner@example.com", "second floor")
            for password, expected in (("correct horse battery", "235 "), (secret, "235 "), ("wrong", "535 ")):
                client = await office.client()
                await client.greet()
                assert (await client.plain("SCANNER@example.com", password)).startswith(expected)
            account = await store.account("scanner@example.com")
            assert account is not None and account.last_used_at is not None
            assert account.app_passwords[0].last_used_at is not None
            await office.accounts.set_password("scanner@example.com", "another good password")
            account = await store.account("scanner@example.com")
            assert account is not None and len(account.app_passwords) == 1
            await office.accounts.remove("scanner@example.com")
            assert await store.accounts() == []
    finally:
        await store.close()
