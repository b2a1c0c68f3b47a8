"""What the submission host and the MX share behind their dialogue.

Purpose: the parts that both desks decide with, and the answers that are the same at both. Shape: `HostDesk` is the
base of `submission.SubmissionDesk` and `exchanger.ExchangerDesk`. Leaves to others: every decision about mail.
"""

from datetime import datetime
from pathlib import Path

from m365emu.clock import Clock
from m365emu.directory import Directory
from m365emu.faults import Faults
from m365emu.limits import MessageRate
from m365emu.mailbox import MessageStore
from m365emu.post import Post
from m365emu.replies import Reply
from m365emu.statistics import Statistics
from m365emu.tenant import Limits


class HostDesk:
    """A desk's parts."""

    def __init__(
        self,
        *,
        directory: Directory,
        store: MessageStore,
        post: Post,
        faults: Faults,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._store = store
        self._post = post
        self._faults = faults
        self._statistics = statistics
        self._clock = clock
        self.rate = MessageRate()

    @property
    def limits(self) -> Limits:
        return self._directory.tenant.limits

    @property
    def directory_for_content(self) -> Path:
        return self._store.directory

    def now(self) -> datetime:
        return self._clock.now()

    def count(self, reply: Reply) -> None:
        self._statistics.count_reply(reply)
