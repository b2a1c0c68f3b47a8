"""What a running node and a command without a node share: the store, the keys, the levers, the local intake.

Shape: `Kept.open` opens the store of a configuration; a command uses it as it is (``offline``), a node builds on it.
Failures: `StoreUnavailable` with what, where and what to do.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

import structlog

from posthouse.decide.policy import Policy
from posthouse.deliver.identities import open_identities
from posthouse.deliver.secrets import SecretOpener
from posthouse.operate.configuration import Configuration
from posthouse.queue.budget import Budgets
from posthouse.queue.control import QueueLevers
from posthouse.queue.guard import Guard
from posthouse.queue.intake import Intake, NoMemory
from posthouse.receive.accounts import Accounts
from posthouse.receive.local import LocalDesk
from posthouse.receive.server import Receiver
from posthouse.store.port import StoreUnavailable
from posthouse.store.sealing import SealBroken, Sealer, load_key
from posthouse.store.sqlite.store import SqliteStore

log = structlog.get_logger()

NODE = "node"
"""Owner of leases in an embedded store, which only one node uses."""


def utc_now() -> datetime:
    """The clock of the product."""
    return datetime.now(UTC)


class NodeLock:
    """One node a store: an advisory lock that the kernel drops when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "node.lock"
        self._descriptor = -1

    def take(self) -> bool:
        """Take the lock; False when a node has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give it back. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_sealer(configuration: Configuration) -> Sealer:
    """The sealing key of the store, made on first use."""
    try:
        return Sealer(load_key(configuration.node.store.directory / "sealing.key"))
    except (OSError, SealBroken) as error:
        raise StoreUnavailable(f"the sealing key cannot be used: {error}") from error


def make_store(configuration: Configuration) -> SqliteStore:
    """The store of a configuration, not yet opened."""
    settings = configuration.node.store
    return SqliteStore(settings.directory, node=NODE, inline_octets=settings.inline)


def open_secrets(configuration: Configuration, store: SqliteStore, sealer: Sealer) -> SecretOpener:
    """Opens the references of a configuration."""

    async def look_up(name: str) -> str | None:
        sealed = await store.secret(name)
        if sealed is None:
            return None
        try:
            return sealer.open(sealed, f"secret:{name}").decode()
        except SealBroken as error:
            log.error("node.secret_not_opened", name=name, reason=str(error))
            return None

    return SecretOpener(look_up, configuration.directory)


class OfflineParts:
    """What commands work on while no node runs."""

    def __init__(self, configuration: Configuration, store: SqliteStore, sealer: Sealer) -> None:
        node = configuration.node
        policy = Policy(configuration.flow)
        guard = Guard(node.store.directory, node.store.free_space_floor, node.queue.max_open)
        guard.look(0)
        self.store, self.sealer = store, sealer
        self.queue = QueueLevers(store, clock=utc_now)
        self.budgets = Budgets(store, is_internal=policy.router.is_internal, clock=utc_now)
        self.identities = open_identities(
            flow=lambda: configuration.flow,
            store=store,
            sealer=sealer,
            secrets=open_secrets(configuration, store, sealer),
            clock=utc_now,
            monotonic=time.monotonic,
        )
        self.accounts = Accounts(store, sealer, clock=utc_now, keeps_cram_secrets=node.login.allow_cram_md5)
        intake = Intake(store, NoMemory(), guard, policy, node.queue, clock=utc_now, random=SystemRandom())
        receiver = Receiver(
            (),
            hostname=node.hostname,
            policy=policy,
            intake=intake,
            store=store,
            login=node.login,
            sealer=sealer,
            clock=utc_now,
            max_received=node.queue.max_received,
        )
        self.intake = LocalDesk(receiver.reception, random=SystemRandom())


@asynccontextmanager
async def offline(configuration: Configuration) -> AsyncIterator[OfflineParts]:
    """Open the store for a command.

    Raises:
        StoreUnavailable: It cannot be opened, or a running node keeps it to itself.
    """
    lock = NodeLock(configuration.node.store.directory)
    try:
        taken = lock.take()
    except OSError as error:
        where = configuration.node.store.directory
        raise StoreUnavailable(f"{where} cannot be used: {error.strerror or error}") from error
    if not taken:
        raise StoreUnavailable(
            f"a node is running on {configuration.node.store.directory}, and only it may use the store; "
            "ask it through its control socket"
        )
    store = make_store(configuration)
    try:
        await store.open()
        try:
            parts = OfflineParts(configuration, store, open_sealer(configuration))
            await parts.budgets.open()
            yield parts
        finally:
            await store.close()
    finally:
        lock.release()
