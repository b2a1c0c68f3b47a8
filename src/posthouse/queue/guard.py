"""Says when there is no room: the disk is nearly full, the queue is at its ceiling, or the node is stopping.

Shape: `Guard.refusal` is asked for each MAIL and costs a comparison; `Guard.look` is called by the sweep every few
seconds and reads the disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from posthouse.mail.reply import Reply

NO_SPACE = Reply.of(452, "4.3.1", "Insufficient system storage")
QUEUE_FULL = Reply.of(452, "4.3.1", "Insufficient system resources")
STOPPING = Reply.of(421, "4.3.2", "Service not available, closing transmission channel")


class Guard:
    """Room for new mail."""

    def __init__(self, directory: Path, free_space_floor: int, max_open: int) -> None:
        self._directory, self._floor, self._max_open = directory, free_space_floor, max_open
        self._refusal: tuple[Reply, str] | None = None
        self.open_copies = 0
        self.stopping = False
        self.free_octets = 0

    def look(self, open_copies: int) -> None:
        """Measure the disk and take over the true number of waiting copies."""
        self.open_copies = open_copies
        try:
            self.free_octets = shutil.disk_usage(self._directory).free
        except OSError as error:
            self._refusal = (NO_SPACE, f"cannot measure free space of {self._directory}: {error.strerror}")
            return
        if self.free_octets < self._floor:
            mib = 1 << 20
            self._refusal = (
                NO_SPACE,
                f"{self.free_octets // mib} MiB free at {self._directory}, "
                f"below the floor of {self._floor // mib} MiB ([store] free_space_floor)",
            )
        else:
            self._refusal = None

    def refusal(self) -> tuple[Reply, str] | None:
        """What to answer instead of taking mail, and why; None when there is room."""
        if self.stopping:
            return STOPPING, "the node is stopping"
        if self.open_copies >= self._max_open:
            return QUEUE_FULL, f"{self.open_copies} copies wait, the ceiling is {self._max_open} ([queue] max_open)"
        return self._refusal
