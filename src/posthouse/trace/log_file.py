"""Files of the protocol log: named by day and number, rotated by size and day, removed by age and total size.

Source: Exchange, protocol logging (``RECVyyyymmdd-nnnn.log``, header lines, limits of age, file and directory).
Shape: `LogFiles` belongs to one thread, which hands it whole lines; it keeps one file open.
Failures: ``OSError`` from `write`; the next call opens anew.
Leaves to others: lines (``trace.protocol_log``), threads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d{4,9})\.log")


@dataclass(frozen=True, slots=True)
class LogFileName:
    """Day and number of one file."""

    day: date
    number: int

    def text(self, prefix: str) -> str:
        """``RECV20261121-0001.log``."""
        return f"{prefix}{self.day:%Y%m%d}-{self.number:04d}.log"

    @classmethod
    def read(cls, prefix: str, text: str) -> LogFileName | None:
        """Read what `text` wrote; None for foreign files."""
        match = _NAME.fullmatch(text.removeprefix(prefix)) if text.startswith(prefix) else None
        if match is None:
            return None
        try:
            return cls(date(int(match[1]), int(match[2]), int(match[3])), int(match[4]))
        except ValueError:
            return None


class LogFiles:
    """All files of one kind in a directory, and the one that is written."""

    def __init__(
        self, directory: Path, prefix: str, head: str, *, max_file: int, max_age: timedelta, max_directory: int
    ) -> None:
        """Take the bounds; nothing is opened yet.

        Args:
            directory: Made when the first line is written.
            prefix: ``RECV`` or ``SEND``.
            head: Header lines with ``{date}`` for the time at which a file begins.
        """
        self._directory, self._prefix, self._head = directory, prefix, head
        self._max_file, self._max_age, self._max_directory = max_file, max_age, max_directory
        self._file: BinaryIO | None = None
        self._name: LogFileName | None = None
        self._size = 0

    def write(self, at: datetime, lines: Sequence[bytes]) -> None:
        """Append lines of one day.

        Args:
            at: Time of the first line, aware UTC: it chooses the file.
            lines: Each with its line end.

        Raises:
            OSError: The disk refused; what was not written is lost.
        """
        try:
            self._forget_removed()
            for line in lines:
                self._open(at, len(line)).write(line)
                self._size += len(line)
            if self._file is not None:
                self._file.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the open file."""
        file, self._file, self._name = self._file, None, None
        if file is not None:
            try:
                file.close()
            except OSError:
                # What could not be flushed has been reported by `write` already.
                return

    def _forget_removed(self) -> None:
        """Somebody may have removed the open file; lines written into it would never be seen."""
        if self._file is not None and os.fstat(self._file.fileno()).st_nlink == 0:
            self.close()

    def _open(self, at: datetime, octets: int) -> BinaryIO:
        day = at.astimezone(UTC).date()
        if self._file is not None and self._name is not None and self._name.day == day:
            if self._size == 0 or self._size + octets <= self._max_file:
                return self._file
            name = LogFileName(day, self._name.number + 1)
        else:
            name = self._next_name(day)
        self.close()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        path = self._directory / name.text(self._prefix)
        # The file stays open from batch to batch; `close` ends it.
        file = path.open("ab")
        self._file, self._name, self._size = file, name, file.tell()
        if self._size == 0:
            path.chmod(0o640)
            head = self._head.format(date=show_time(at)).encode()
            file.write(head)
            self._size = len(head)
        self._remove_old(day, name)
        return file

    def _next_name(self, day: date) -> LogFileName:
        """Go on with the newest file of the day while there is room in it."""
        numbers = [name.number for name, _, _ in self._files() if name.day == day]
        if not numbers:
            return LogFileName(day, 1)
        newest = LogFileName(day, max(numbers))
        is_full = (self._directory / newest.text(self._prefix)).stat().st_size >= self._max_file
        return LogFileName(day, newest.number + 1) if is_full else newest

    def _files(self) -> list[tuple[LogFileName, Path, int]]:
        """Files of this kind, oldest first, with their sizes."""
        found: list[tuple[LogFileName, Path, int]] = []
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                name = LogFileName.read(self._prefix, path.name)
                if name is not None:
                    found.append((name, path, path.stat().st_size))
        return sorted(found, key=lambda each: (each[0].day, each[0].number))

    def _remove_old(self, today: date, current: LogFileName) -> None:
        files = self._files()
        total = sum(size for _, _, size in files)
        for name, path, size in files:
            is_too_old = today - name.day > self._max_age
            if name != current and (is_too_old or total > self._max_directory):
                path.unlink(missing_ok=True)
                total -= size


def show_time(at: datetime) -> str:
    """``2026-11-21T18:07:56.123Z``."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
