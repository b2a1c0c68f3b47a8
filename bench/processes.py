"""Memory and CPU time of a process with all its descendants, from /proc.

Source: proc(5): stat fields 14 to 17, smaps_rollup. Memory is the proportional set size, so that pages that Postfix's
processes share are counted once. CPU time includes children that have ended and were waited for.
Leaves to others: everything that is not Linux.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time used so far by the whole tree."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += sum(int(field) for field in _stat(pid)[11:15])
    return total / _TICKS


def memory_octets(root: int) -> int:
    """Proportional set size of the whole tree at this moment."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _stat(pid: int) -> list[str]:
    """The fields of stat after the name, which may contain anything: state is 0, parent is 1."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class MemoryWatch:
    """Samples a tree's memory four times a second until `stop`, which gives the peak in octets."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peak = memory_octets(root)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            self._peak = max(self._peak, memory_octets(self._root))

    def stop(self) -> int:
        """End and tell the peak."""
        self._over.set()
        self._thread.join()
        return max(self._peak, memory_octets(self._root))
