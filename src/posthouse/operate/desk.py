"""Where commands ask: the running node, or the store itself while none runs.

Shape: `open_desk` looks for the node's control socket; `Desk.call` answers the same way in both cases.
Failures: `Refusal` values; `DeskClosed` with a sentence when neither way is open.
"""

from __future__ import annotations

import os
import pwd
import socket
import time
import tomllib
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from posthouse.operate.client import NoAccess, NodeClient, NodeGone, connect_to_node
from posthouse.operate.names import DEFAULT_SOCKET, FLOW_FILE, NODE_FILE
from posthouse.operate.operations import AnswerT, Operation, RequestT
from posthouse.operate.problem import DeskClosed
from posthouse.operate.shapes import Refusal, SubmissionEnvelope, Submitted

if TYPE_CHECKING:
    from posthouse.operate.configuration import Configuration
    from posthouse.operate.port import Installation, Parts
    from posthouse.operate.services import Services

T = TypeVar("T")

WAIT_SECONDS = 3.0
"""How long a command waits for another one, or for a node that starts."""
PAUSE_SECONDS = 0.1


class Desk(Protocol):
    """Answers operations."""

    def call(self, operation: Operation[RequestT, AnswerT], request: RequestT) -> AnswerT | Refusal:
        """Carry out one operation."""

    def submit(self, envelope: SubmissionEnvelope, content: bytes) -> Submitted | Refusal:
        """Hand in a message."""


class NodeDesk:
    """The running node."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client

    def call(self, operation: Operation[RequestT, AnswerT], request: RequestT) -> AnswerT | Refusal:
        """Ask the node."""
        try:
            return self._client.call(operation, request)
        except NodeGone as error:
            raise DeskClosed(str(error), temporary=True) from error

    def submit(self, envelope: SubmissionEnvelope, content: bytes) -> Submitted | Refusal:
        """Hand it to the node."""
        try:
            return self._client.submit(envelope, content)
        except NodeGone as error:
            raise DeskClosed(f"{error}; the message may have been taken", temporary=True) from error


class StoreDesk:
    """The store, opened for each request: between two of them a node may start."""

    def __init__(self, installation: Installation, configuration: Configuration) -> None:
        self._installation, self._configuration = installation, configuration

    def call(self, operation: Operation[RequestT, AnswerT], request: RequestT) -> AnswerT | Refusal:
        """Carry it out here."""

        async def work() -> AnswerT | Refusal:
            async with self._installation.offline(self._configuration) as parts:
                return await self._services(parts).call(operation, request, login_name())

        return self._when_free(work, lambda node: node.call(operation, request))

    def submit(self, envelope: SubmissionEnvelope, content: bytes) -> Submitted | Refusal:
        """Write it into the store; the next node that runs delivers it."""

        async def work() -> Submitted | Refusal:
            async with self._installation.offline(self._configuration) as parts:
                return await self._services(parts).submit(envelope, content, login_name())

        return self._when_free(work, lambda node: node.submit(envelope, content))

    def _when_free(self, here: Callable[[], Coroutine[None, None, T]], there: Callable[[NodeDesk], T]) -> T:
        """Work here; while another command has the store wait a little, and when a node has it ask that."""
        # A command that finds a node needs neither of these, and starts the quicker for it.
        import asyncio

        from posthouse.store.port import StoreUnavailable

        waited = 0.0
        while True:
            try:
                return asyncio.run(here())
            except StoreUnavailable as error:
                client = node_client(self._configuration.directory)
                if client is not None:
                    return there(NodeDesk(client))
                if error.disk_full or waited >= WAIT_SECONDS:
                    raise DeskClosed(f"the store cannot be used: {error}", temporary=True) from error
            time.sleep(PAUSE_SECONDS)
            waited += PAUSE_SECONDS

    def _services(self, parts: Parts) -> Services:
        # Validation and hashing take long to import; a command that finds a node needs neither.
        from posthouse.operate.services import Services

        directory = self._configuration.directory
        return Services(
            parts,
            flow_file=directory / FLOW_FILE,
            judge=lambda text: self._installation.judge_flow(text, directory),
            node=None,
            clock=lambda: datetime.now(UTC),
        )


def open_desk(installation: Installation, directory: Path) -> Desk:
    """The running node where there is one, else the store.

    Raises:
        DeskClosed: The node's socket is there and this user may not use it.
        ConfigurationRefused: No node runs and the configuration cannot be used.
    """
    client = node_client(directory)
    return NodeDesk(client) if client is not None else StoreDesk(installation, installation.load(directory))


def node_client(directory: Path) -> NodeClient | None:
    """A connection to the node of a directory, or None while none runs."""
    try:
        return connect_to_node(socket_path(directory))
    except NoAccess as error:
        raise DeskClosed(f"{error}; its own user, root and members of [control] group may", temporary=False) from error


def socket_path(directory: Path) -> Path:
    """Where the node listens. A file that cannot be used does not hide a node that runs."""
    control = _node_table(directory).get("control")
    named = control.get("socket") if isinstance(control, dict) else None
    return directory.absolute() / (named if isinstance(named, str) else DEFAULT_SOCKET)


def local_domain(directory: Path) -> str:
    """The node's hostname: what stands behind local names without a domain."""
    named = _node_table(directory).get("hostname")
    return named if isinstance(named, str) and named else socket.gethostname()


def _node_table(directory: Path) -> dict[str, object]:
    """posthouse.toml as it is, not judged; empty when it cannot be read."""
    try:
        return tomllib.loads((directory / NODE_FILE).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}


def login_name() -> str:
    """Login name of whoever runs this command."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
