"""Segments: runs of about a thousand messages, so that search indexes grow at one end.

An index on sender or Message-ID takes each new entry at a random place: every message dirties a page of its own, and
the log carries all of them. With the segment's number in front, the entries of one batch fall on the few pages of the
newest segment; a search looks into each segment, which costs some microseconds apiece. When a segment is full its
range of ids is written down, so that a search for a time, or for the newest hundred, skips most of them.

Shape: `Segments.next` names the segment of one more message; numbers are claimed in the database ahead of need, so that
two processes never share one. Segment 0 holds what came before a claim was answered.
Failures: a claim that fails is repeated at the next message; the current segment only grows longer meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import apsw

from posthouse.store.sqlite.statements import read_statements

MESSAGES_PER_SEGMENT = 1024

_SQL = read_statements("segments")


class Segments:
    """Counts messages into segments. `call` is `Writer.call`."""

    def __init__(self, call: Callable[[Callable[[apsw.Connection], int]], asyncio.Future[int]]) -> None:
        self._call = call
        self._current = 0
        self._spare: int | None = None
        self._count = MESSAGES_PER_SEGMENT
        self._claiming = False

    def next(self) -> int:
        """The segment of one more message."""
        self._count += 1
        if self._count >= MESSAGES_PER_SEGMENT:
            self._advance()
        return self._current

    def _advance(self) -> None:
        if self._spare is not None:
            full, self._current, self._spare, self._count = self._current, self._spare, None, 0
            if full:
                self._call(lambda connection: _seal(connection, full)).add_done_callback(_ignore_failure)
        if not self._claiming:
            self._claiming = True
            self._call(_claim).add_done_callback(self._claimed)

    def _claimed(self, claim: asyncio.Future[int]) -> None:
        self._claiming = False
        if not claim.cancelled() and claim.exception() is None:
            self._spare = claim.result()


def _claim(connection: apsw.Connection) -> int:
    connection.execute(_SQL["claim_segment"])
    return connection.last_insert_rowid()


def _seal(connection: apsw.Connection, number: int) -> int:
    connection.execute(_SQL["seal_segment"], {"number": number})
    return number


def _ignore_failure(sealed: asyncio.Future[int]) -> None:
    """A segment that was not sealed is searched each time, nothing worse."""
    if not sealed.cancelled():
        sealed.exception()
