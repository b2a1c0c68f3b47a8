"""The messages that were taken, and where they lie.

Purpose: keep messages and session transcripts in files, so that a restart loses nothing, and bounded: the oldest
go when there are too many. Shape: `Record` says everything about a message but its octets; `MessageStore` adds,
lists, reads and clears. A message is `<id>.eml` as received, octet for octet, and `<id>.json`, written last: a
message without it was never accepted. A transcript is written when its session ends.
Failures: `OSError` from a full disk rises from `add`. Leaves to others: who a message is for (`submission`).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from m365emu.smtp.content import Content
from m365emu.tenant import Limits
from m365emu.transcript import Transcript

EXTERNAL = "external"
"""The folder of messages for addresses outside of the tenant."""

UNDELIVERABLE = "undeliverable"
"""The folder of messages for addresses in the tenant's domains that belong to no mailbox."""

_log = logging.getLogger(__name__)


def sent_items(mailbox: str) -> str:
    """Return the name of a mailbox's folder Sent Items."""
    return f"{mailbox}/sent"


class Record(Struct, frozen=True, kw_only=True):
    """All that is known of an accepted message.

    `folders` are mailboxes, `external` and `undeliverable`; `author` (`from` in JSON) is the From field as it
    stands in the header.
    """

    id: str
    number: int
    received: datetime
    envelope_from: str
    envelope_to: list[str]
    mail_parameters: dict[str, str]
    recipient_parameters: dict[str, dict[str, str]]
    folders: list[str]
    subject: str
    message_id: str
    author: str = field(name="from")
    size: int
    bare_line_feeds: bool
    bare_carriage_returns: bool
    authentication: str
    mailbox: str
    client_ip: str
    tls_version: str
    session_id: str


class MessageStore:
    """The mail directory and its index in memory.

    Attributes:
        followers: called with each message that was kept.
    """

    def __init__(self, directory: Path) -> None:
        """Open the directory, reading what an earlier run left."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self._records: dict[str, Record] = {}
        self._live: dict[str, Transcript] = {}
        self._in_session: Counter[str] = Counter()
        self._in_folder: Counter[str] = Counter()
        self._octets = 0
        self._number = 0
        self._waiting: list[asyncio.Future[None]] = []
        self.followers: list[Callable[[Record], None]] = []
        self._load()

    def next_number(self) -> int:
        """Return the number of the next message; numbers only rise, also over restarts."""
        self._number += 1
        return self._number

    def add(self, record: Record, content: Content, transcript: Transcript, limits: Limits) -> None:
        """Keep a message; it is on disk, if not yet flushed by the system, when this returns."""
        content.save(self._content_file(record.id))
        self._record_file(record.id).write_bytes(msgspec.json.encode(record))
        if record.session_id:
            self._live[record.session_id] = transcript
        self._note(record)
        while len(self._records) > limits.stored_messages or self._octets > limits.stored_octets:
            self._remove(next(iter(self._records.values())))
        for follower in self.followers:
            follower(record)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def messages(self, folder: str | None = None) -> list[Record]:
        """Return the messages of one folder, or all, newest first."""
        return [r for r in reversed(self._records.values()) if folder is None or folder in r.folders]

    def count(self) -> Counter[str]:
        """Return how many messages lie in each folder."""
        return Counter(self._in_folder)

    def get(self, message: str) -> Record | None:
        """Return a message's record."""
        return self._records.get(message)

    def content_file(self, message: str) -> Path | None:
        """Return the file with a message's octets."""
        return self._content_file(message) if message in self._records else None

    def dialogue(self, message: str) -> list[str]:
        """Return the lines of the session that brought a message."""
        record = self._records[message]
        live = self._live.get(record.session_id)
        if live is not None:
            return live.lines()
        try:
            return msgspec.json.decode(self._session_file(record.session_id).read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError):
            return []

    def session_ended(self, session_id: str) -> None:
        """Move a session's transcript from memory to its file, if it brought a message."""
        transcript = self._live.pop(session_id, None)
        if transcript is not None and self._in_session[session_id]:
            try:
                self._session_file(session_id).write_bytes(msgspec.json.encode(transcript.lines()))
            except OSError as error:
                _log.warning("a session's transcript could not be written: %s", error.strerror)

    async def wait_for(self, folder: str | None, at_least: int) -> list[Record]:
        """Return a folder's messages, newest first, as soon as there are so many."""
        while (len(self._records) if folder is None else self._in_folder[folder]) < at_least:
            await self._arrival()
        return self.messages(folder)

    async def wait_beyond(self, number: int) -> int:
        """Wait until a message with a higher number is there; return the highest number."""
        while self.highest_number <= number:
            await self._arrival()
        return self.highest_number

    @property
    def highest_number(self) -> int:
        """The number of the newest message, 0 when there is none."""
        return next((record.number for record in reversed(self._records.values())), 0)

    async def _arrival(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def remove_from(self, message: str, folder: str) -> None:
        """Take a message out of one folder; what lies in no folder any more is removed. Harmless when it is gone."""
        record = self._records.get(message)
        if record is None or folder not in record.folders:
            return
        kept = msgspec.structs.replace(record, folders=[name for name in record.folders if name != folder])
        if not kept.folders:
            self._remove(record)
            return
        self._records[message] = kept
        self._in_folder[folder] -= 1
        self._record_file(message).write_bytes(msgspec.json.encode(kept))

    def clear(self) -> int:
        """Remove every message; return how many there were."""
        records = list(self._records.values())
        for record in records:
            self._remove(record)
        return len(records)

    def _load(self) -> None:
        for leftover in self.directory.glob("incoming-*"):
            leftover.unlink()
        for record in sorted(self._read_records(), key=lambda record: record.number):
            self._note(record)
            self._number = max(self._number, record.number)

    def _read_records(self) -> Iterable[Record]:
        for path in self.directory.glob("m-*.json"):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=Record)
            except (OSError, msgspec.DecodeError) as error:
                _log.warning("%s is left aside: %s", path.name, error)

    def _note(self, record: Record) -> None:
        self._records[record.id] = record
        self._in_session[record.session_id] += 1
        self._in_folder.update(record.folders)
        self._octets += record.size

    def _remove(self, record: Record) -> None:
        del self._records[record.id]
        self._in_folder.subtract(record.folders)
        self._octets -= record.size
        self._record_file(record.id).unlink(missing_ok=True)
        self._content_file(record.id).unlink(missing_ok=True)
        self._in_session[record.session_id] -= 1
        if not self._in_session[record.session_id]:
            del self._in_session[record.session_id]
            self._session_file(record.session_id).unlink(missing_ok=True)

    def _content_file(self, message: str) -> Path:
        return self.directory / f"m-{message}.eml"

    def _record_file(self, message: str) -> Path:
        return self.directory / f"m-{message}.json"

    def _session_file(self, session_id: str) -> Path:
        return self.directory / f"s-{session_id}.json"
