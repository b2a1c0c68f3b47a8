"""What commands and the control API ask of the layers above and below: levers of the queue, local intake, the node.

Shape: protocols beside their caller. `QueueControl`, `LocalIntake` and `NodeControl` are the running node's; `Parts`
bundles what operations work on, of a node or of a store that a command opened; `Installation` is what
``posthouse.__main__`` hands to commands, because configuration and service are layers above this one.
Failures: `StoreUnavailable` wherever something is written or read; everything else that is expected is a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from posthouse.mail.address import Address
from posthouse.mail.ids import MessageId
from posthouse.operate.node_shapes import ListenerStatus as ListenerStatus
from posthouse.operate.node_shapes import NodeStatus as NodeStatus
from posthouse.operate.node_shapes import Reloaded as Reloaded
from posthouse.store.port import QueueFilter, Store

if TYPE_CHECKING:
    from posthouse.deliver.identities import Identities
    from posthouse.operate.configuration import Configuration
    from posthouse.operate.problem import Problem
    from posthouse.queue.budget import Budgets
    from posthouse.queue.control import Changed
    from posthouse.receive.accounts import Accounts
    from posthouse.receive.local import NotTaken
    from posthouse.store.sealing import Sealer


class QueueControl(Protocol):
    """The levers of the queue. Every change is written with its event, which names `by`, in one transaction.

    `by` is a login name of this machine. A copy that is being delivered at this moment (LEASED) is left out by `hold`
    and `cancel`, unless the implementation can wait for the end of the attempt; the count says what was done.
    """

    async def hold(self, query: QueueFilter, *, by: str) -> Changed:
        """PENDING to HELD."""

    async def release(self, query: QueueFilter, *, by: str) -> Changed:
        """HELD or UNKNOWN to PENDING, due at once."""

    async def retry(self, query: QueueFilter, *, by: str) -> Changed:
        """PENDING copies are due at once; waiting lines that were backing off try again."""

    async def cancel(self, query: QueueFilter, *, by: str) -> Changed:
        """PENDING, HELD or UNKNOWN to CANCELLED, without a notice to the sender."""


class LocalIntake(Protocol):
    """Takes messages from commands on this machine by the same way as mail that came by SMTP."""

    async def submit(
        self, *, sender: Address | None, recipients: Sequence[Address], content: bytes, user: str
    ) -> MessageId | NotTaken:
        """Accept one message; when the id is returned, the message is on disk.

        Args:
            sender: Reverse-path; None is ``<>``.
            recipients: At least one.
            content: Header, blank line, body; CRLF line ends; without Bcc where the command removed it.
            user: Login name of whoever ran the command; the principal is ``local:user``.
        """


class NodeControl(Protocol):
    """The running node as its control API sees it."""

    def status(self) -> NodeStatus:
        """A snapshot; costs nothing."""

    async def reload(self, *, by: str) -> Reloaded:
        """Read both files and the certificates again, as SIGHUP does.

        When the text of flow.toml differs from the newest stored revision it becomes a new revision; when it is equal
        (because `flow apply` stored it just before), that revision is taken into use.
        """


class Parts(Protocol):
    """What operations work on: the running node's parts, or what stands in for them. The store is open."""

    @property
    def store(self) -> Store: ...
    @property
    def queue(self) -> QueueControl: ...
    @property
    def intake(self) -> LocalIntake: ...
    @property
    def sealer(self) -> Sealer: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def identities(self) -> Identities: ...
    @property
    def budgets(self) -> Budgets: ...


class Installation(Protocol):
    """What ``posthouse.__main__`` hands to commands. Its methods import what they need: start-up stays short."""

    def load(self, directory: Path) -> Configuration:
        """Read both files. Raises ConfigurationRefused with all errors."""

    def judge_flow(self, text: str, directory: Path) -> Sequence[Problem]:
        """Problems of a flow file's text, errors first, also those with the posthouse.toml of that directory."""

    def offline(self, configuration: Configuration) -> AbstractAsyncContextManager[Parts]:
        """Open the store for a command. Raises StoreUnavailable, also when a running node keeps it to itself."""

    def run(self, configuration: Configuration) -> int:
        """Run the node until it is told to stop; prints the ready line; returns the exit code."""

    def reference(self) -> str:
        """docs/reference/configuration.md."""
