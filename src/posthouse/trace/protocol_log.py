"""The SMTP protocol log in Exchange's format: what was said on each connection, line by line.

Source: Exchange, protocol logging: fields ``date-time,connector-id,session-id,sequence-number,local-endpoint,
remote-endpoint,event,data,context``; events ``+ - > < *``; the answer to EHLO on one line.
Shape: `ProtocolLog.session` gives a `SessionLog` for one connection; its methods only put a tuple into a queue. A
thread formats and writes what waits, once a second. A connection whose log is off holds None and pays nothing.
Failures: none reach the connection. Where the disk refuses, lines are lost and counted, and `problem` says why; mail
goes on. When lines come faster than they can be written, the surplus is counted as well.
Leaves to others: message contents (only their size is ever logged), rotation (``trace.log_file``), masking of
credentials (``trace.masking``, in addition to what the SMTP machines leave out themselves).
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal, NamedTuple

import structlog

from posthouse.mail.ids import SessionId
from posthouse.trace.log_file import LogFiles, show_time
from posthouse.trace.masking import Mask
from posthouse.trace.settings import ProtocolLogSettings

log = structlog.get_logger()

Kind = Literal["receive", "send"]

MAX_WAITING = 100_000
"""Rows in memory above which further ones are dropped."""
MAX_DATA = 4096
"""Characters of one row's data."""
MAX_REPLY_LINES = 50
_WAKE_AT = 5_000

_FIELDS = "date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"
_TITLES: dict[Kind, tuple[str, str]] = {
    "receive": ("RECV", "SMTP Receive Protocol Log"),
    "send": ("SEND", "SMTP Send Protocol Log"),
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_REPLY_LINE = re.compile(r"(\d{3})([ -]?)(.*)", re.DOTALL)


class _Row(NamedTuple):
    kind: Kind
    at: datetime
    connector: str
    session: str
    number: int
    local: str
    remote: str
    event: str
    data: str
    context: str


class SessionLog:
    """The log of one connection. Whole lines are expected; the order of calls is the order in the file."""

    __slots__ = ("_add", "_clock", "_connector", "_kind", "_local", "_mask", "_number", "_remote", "_reply", "_session")

    def __init__(
        self,
        add: Callable[[_Row], None],
        clock: Callable[[], datetime],
        kind: Kind,
        connector: str,
        session: str,
        local: str,
        remote: str,
    ) -> None:
        self._add, self._clock = add, clock
        self._kind, self._connector, self._session = kind, connector, session
        self._local, self._remote = local, remote
        self._number = 0
        self._mask = Mask()
        self._reply: list[str] = []

    def connected(self, local: str | None = None, remote: str | None = None) -> None:
        """The connection stands; its ends, where they were not known before."""
        self._local, self._remote = local or self._local, remote or self._remote
        self._write("+", "", "")

    def sent(self, data: bytes, *, secret: bool = False) -> None:
        """Lines that we sent.

        Args:
            data: One or more lines with CRLF.
            secret: They hold credentials: not a sign of them is kept.
        """
        for text in _lines(data):
            self.line(">", "" if secret else text, secret=secret)

    def received(self, data: bytes, *, secret: bool = False) -> None:
        """Lines that the peer sent; arguments as in `sent`."""
        for text in _lines(data):
            self.line("<", "" if secret else text, secret=secret)

    def line(self, direction: str, text: str, *, secret: bool = False) -> None:
        """One line without its end: ``>`` we sent it, ``<`` we received it, ``*`` a remark.

        Fits the transcripts of the SMTP machines.
        """
        if direction == "*":
            self.information(text)
            return
        is_reply = (direction == ">") == (self._kind == "receive")
        if is_reply:
            self._take_reply_line(direction, text, secret)
        else:
            self._write(direction, self._mask.command(text, secret=secret), "")

    def content(self, size_octets: int) -> None:
        """A message went by; only its size is kept."""
        self.information(f"message content, {size_octets} octets")

    def information(self, text: str, context: str = "") -> None:
        """What is worth knowing and was not said on the wire: TLS facts, decisions."""
        self._write("*", text, context)

    def closed(self, reason: str) -> None:
        """The connection ended; Exchange says ``Local`` or ``Remote`` here."""
        self._write("-", "", reason)

    def _take_reply_line(self, direction: str, text: str, secret: bool) -> None:
        match = _REPLY_LINE.match(text)
        if match is not None and match[2] == "-":
            if len(self._reply) < MAX_REPLY_LINES:
                self._reply.append(match[3])
            return
        code, rest = (match[1], match[3]) if match is not None else ("", text)
        if self._reply:
            # As Exchange writes it: two blanks behind the code, one where the line ends were.
            shown = f"{code}  {' '.join((*self._reply, rest))}"
            self._reply = []
        else:
            shown = text
        self._write(direction, self._mask.reply(code, shown, secret=secret), "")

    def _write(self, event: str, data: str, context: str) -> None:
        self._add(
            _Row(
                self._kind,
                self._clock(),
                self._connector,
                self._session,
                self._number,
                self._local,
                self._remote,
                event,
                data[:MAX_DATA],
                context[:MAX_DATA],
            )
        )
        self._number += 1


class ProtocolLog:
    """Both logs of one node, and the thread that writes them.

    Attributes:
        problem: Why the last batch could not be written, or None.
        lost: Rows that were never written.
    """

    def __init__(
        self,
        settings: ProtocolLogSettings,
        *,
        hostname: str,
        version: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._hostname, self._clock = hostname, clock
        self._interval = settings.flush_every.total_seconds()
        self._rows: deque[_Row] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._files: dict[Kind, LogFiles] = {
            kind: LogFiles(
                settings.directory,
                prefix,
                f"#Software: Posthouse\r\n#Version: {version}\r\n#Log-Type: {title}\r\n#Date: {{date}}\r\n"
                f"#Fields: {_FIELDS}\r\n",
                max_file=settings.max_file,
                max_age=settings.max_age,
                max_directory=settings.max_directory,
            )
            for kind, (prefix, title) in _TITLES.items()
        }
        self.problem: str | None = None
        self.lost = 0

    def start(self) -> None:
        """Begin to write. Rows that were logged before are kept."""
        self._thread = threading.Thread(target=self._run, name="protocol-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, end the thread, close the files. Blocks while the disk works. Idempotent."""
        self._is_closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.flush()
        with self._writing:
            for files in self._files.values():
                files.close()

    def session(
        self, kind: Kind, connector: str, session_id: SessionId, local: str = "", remote: str = ""
    ) -> SessionLog:
        """The log of one connection.

        Args:
            kind: ``receive`` for listeners, ``send`` for outbound connectors.
            connector: Name of the listener or connector.
            session_id: 16 hexadecimal digits.
            local: ``192.0.2.1:25``; may be told by `SessionLog.connected` instead.
            remote: ``198.51.100.7:40000``; likewise.
        """
        return SessionLog(self._add, self._clock, kind, f"{self._hostname}\\{connector}", session_id, local, remote)

    def flush(self) -> None:
        """Write what waits, in the calling thread."""
        with self._writing:
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            # Sorting by kind and day is stable, so rows keep their order within each file.
            rows.sort(key=lambda row: (row.kind, row.at.date()))
            for (kind, _), batch in groupby(rows, key=lambda row: (row.kind, row.at.date())):
                self._write(kind, list(batch))

    def _add(self, row: _Row) -> None:
        waiting = len(self._rows)
        if waiting >= MAX_WAITING:
            self.lost += 1
            return
        self._rows.append(row)
        if waiting == _WAKE_AT:
            self._wake.set()

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait(self._interval)
            self._wake.clear()
            self.flush()

    def _write(self, kind: Kind, rows: list[_Row]) -> None:
        try:
            self._files[kind].write(rows[0].at, [format_row(row) for row in rows])
        except OSError as error:
            self.lost += len(rows)
            if self.problem is None:
                log.warning("protocol_log.not_written", reason=str(error), rows=len(rows))
            self.problem = str(error)
        else:
            if self.problem is not None:
                log.info("protocol_log.written_again", lost=self.lost)
            self.problem = None


def format_row(row: _Row) -> bytes:
    """One line of CSV with CRLF."""
    cells: Iterable[str] = (
        show_time(row.at),
        row.connector,
        row.session,
        str(row.number),
        row.local,
        row.remote,
        row.event,
        row.data,
        row.context,
    )
    return (",".join(map(_quote, cells)) + "\r\n").encode("utf-8", "backslashreplace")


def _quote(cell: str) -> str:
    if not cell.isprintable():
        cell = _CONTROL.sub(lambda sign: f"\\x{ord(sign[0]):02x}", cell)
    return '"' + cell.replace('"', '""') + '"' if "," in cell or '"' in cell else cell


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "backslashreplace")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
