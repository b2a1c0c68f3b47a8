"""The ports of ``receive``, filled in memory: an intake that keeps messages in a list, and a store of accounts."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from posthouse.mail.event import Event
from posthouse.mail.ids import MessageId, make_message_id
from posthouse.mail.message import InlineContent, Message, SpooledContent
from posthouse.mail.reply import Reply
from posthouse.store.port import Account, AppPassword, StoreUnavailable


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


class FileSpool:
    """A spool file. `fail_after` octets the disk is full."""

    def __init__(self, directory: Path, fail_after: int | None) -> None:
        self._file = tempfile.NamedTemporaryFile(dir=directory, delete=False)  # noqa: SIM115
        self._digest, self._octets, self._fail_after = hashlib.sha256(), 0, fail_after
        self.was_discarded = False

    def write(self, data: bytes) -> Awaitable[None] | None:
        self._octets += len(data)
        if self._fail_after is not None and self._octets > self._fail_after:
            raise StoreUnavailable("no space left on device", disk_full=True)
        self._digest.update(data)
        self._file.write(data)
        return asyncio.sleep(0) if self._octets % 3 == 0 else None

    async def finish(self) -> tuple[Path, int, bytes]:
        self._file.close()
        return Path(self._file.name), self._octets, self._digest.digest()

    def discard(self) -> None:
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)
        self.was_discarded = True


class MemoryIntake:
    """Keeps everything, unless told otherwise.

    Attributes:
        gate: Where set, messages are kept only when it opens.
        failure: Raised instead of keeping.
        answer: Of `refusal`.
        spool_fails_after: Octets after which the disk is full.
    """

    def __init__(self, directory: Path, clock: Clock, inline_octets: int = 64 * 1024) -> None:
        self.inline_octets = inline_octets
        self.directory, self.clock = directory, clock
        self.messages: list[Message] = []
        self.events: list[Event] = []
        self.gate: asyncio.Event | None = None
        self.failure: Exception | None = None
        self.answer: tuple[Reply, str] | None = None
        self.spool_fails_after: int | None = None
        self.spools: list[FileSpool] = []
        self.asked = asyncio.Event()
        self._number = 0

    def refusal(self) -> tuple[Reply, str] | None:
        return self.answer

    def new_id(self, now: datetime) -> MessageId:
        self._number += 1
        return make_message_id(int(now.timestamp() * 1000), self._number)

    def expires_at(self, received_at: datetime) -> datetime:
        return received_at + timedelta(hours=24)

    async def enqueue(self, message: Message) -> None:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.messages.append(message)

    def open_spool(self) -> FileSpool:
        spool = FileSpool(self.directory, self.spool_fails_after)
        self.spools.append(spool)
        return spool

    def refused(self, event: Event) -> None:
        self.events.append(event)

    def refusals(self, stage: str) -> list[dict[str, object]]:
        """Details of REFUSED events of a stage."""
        return [dict(event.detail) for event in self.events if event.detail.get("stage") == stage]


def octets_of(message: Message) -> bytes:
    """The whole message as the next server would get it."""
    match message.content:
        case InlineContent(data):
            return data
        case SpooledContent() as content:
            return content.prefix + content.path.read_bytes()


class MemoryAccounts:
    """The part of `Keeping` that accounts need.

    Attributes:
        is_broken: Every call raises `StoreUnavailable`.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Account] = {}
        self.used: list[tuple[str, int | None]] = []
        self.is_broken = False
        self._number = 0

    def _check(self) -> None:
        if self.is_broken:
            raise StoreUnavailable("the database is locked")

    async def accounts(self) -> list[Account]:
        self._check()
        return [self.kept[name] for name in sorted(self.kept)]

    async def account(self, name: str) -> Account | None:
        self._check()
        return self.kept.get(name.lower())

    async def save_account(self, account: Account) -> None:
        self._check()
        old = self.kept.get(account.name.lower())
        self.kept[account.name.lower()] = replace(account, app_passwords=old.app_passwords if old else ())

    async def remove_account(self, name: str) -> bool:
        self._check()
        return self.kept.pop(name.lower(), None) is not None

    async def add_app_password(self, account: str, label: str, hash_: str, at: datetime) -> int:
        self._check()
        self._number += 1
        old = self.kept[account.lower()]
        added = AppPassword(id=self._number, label=label, hash=hash_, created_at=at)
        self.kept[account.lower()] = replace(old, app_passwords=(*old.app_passwords, added))
        return self._number

    async def remove_app_password(self, account: str, label: str) -> bool:
        self._check()
        old = self.kept[account.lower()]
        left = tuple(device for device in old.app_passwords if device.label != label)
        self.kept[account.lower()] = replace(old, app_passwords=left)
        return len(left) < len(old.app_passwords)

    async def account_used(self, account: str, app_password: int | None, at: datetime) -> None:
        self._check()
        self.used.append((account, app_password))
