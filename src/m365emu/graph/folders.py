"""The folders of a mailbox.

Purpose: find messages in Inbox, Sent Items and Drafts, and show them as `View`s. Source: "mailFolder resource type"
(well-known names). Shape: `Folders` joins the message store, which keeps what was received and sent, and the drafts;
the other well-known folders exist and are empty. Only a message's first octets are read for its properties.
Failures: `GraphError`. Leaves to others: properties (`views`), requests (`messages`).
"""

from dataclasses import replace
from pathlib import Path

from m365emu.graph import errors
from m365emu.graph.drafts import Draft, Drafts
from m365emu.graph.item import write
from m365emu.graph.views import View, message_key, read_message_key
from m365emu.headers import read_head
from m365emu.mailbox import MessageStore, Record, sent_items

NAMES = {
    "inbox": "Inbox",
    "sentitems": "Sent Items",
    "drafts": "Drafts",
    "deleteditems": "Deleted Items",
    "junkemail": "Junk Email",
    "outbox": "Outbox",
    "archive": "Archive",
}
"""The well-known folders and their display names."""

_MOST_READ = 8 * 1_048_576
_MOST_MARKS = 100_000


class Folders:
    """All folders of all mailboxes."""

    def __init__(self, store: MessageStore, drafts: Drafts) -> None:
        self._store = store
        self.drafts = drafts
        self._read_marks: dict[tuple[str, str], bool] = {}

    def name(self, given: str) -> str:
        """Return the well-known name of a folder, given by name or id; raises `GraphError`."""
        folder = given.lower()
        if folder in NAMES:
            return folder
        key = read_message_key(given)
        if key is None:
            raise errors.malformed_id()
        if key[1] not in NAMES:
            raise errors.item_not_found()
        return key[1]

    def messages(self, mailbox: str, folder: str | None) -> list[View]:
        """Return the messages of one folder, or of all, the newest first."""
        views: list[View] = []
        if folder in (None, "drafts"):
            views += [self._of_draft(draft) for draft in self.drafts.of(mailbox)]
        for name in ("inbox", "sentitems"):
            if folder in (None, name):
                views += [
                    self._of_record(mailbox, record, name) for record in self._store.messages(_stored(mailbox, name))
                ]
        return sorted(views, key=lambda view: view.received, reverse=True) if folder is None else views

    def count(self, mailbox: str, folder: str) -> int:
        """Return how many messages lie in a folder."""
        if folder == "drafts":
            return len(self.drafts.of(mailbox))
        return self._store.count()[_stored(mailbox, folder)] if folder in ("inbox", "sentitems") else 0

    def find(self, mailbox: str, key: str, folder: str | None = None) -> Draft | tuple[Record, str]:
        """Return the draft, or the record and its folder, that an id means; raises `GraphError`."""
        found = read_message_key(key)
        if found is None:
            raise errors.malformed_id()
        message, name = found
        if folder in (None, name):
            if name == "drafts" and (draft := self.drafts.get(mailbox, message)) is not None:
                return draft
            record = self._store.get(message)
            if record is not None and name in ("inbox", "sentitems") and _stored(mailbox, name) in record.folders:
                return record, name
        raise errors.item_not_found()

    def draft(self, mailbox: str, key: str) -> Draft:
        """Return the draft that an id means; raises `GraphError` also for a message that is none."""
        found = self.find(mailbox, key)
        if not isinstance(found, Draft):
            raise errors.GraphError(
                400,
                "ErrorInvalidPropertyUpdateSentMessage",
                "Update operation is invalid for property of a sent message.",
            )
        return found

    def view(self, mailbox: str, key: str, folder: str | None = None) -> View:
        """Return the message that an id means; raises `GraphError`."""
        found = self.find(mailbox, key, folder)
        return self._of_draft(found) if isinstance(found, Draft) else self._of_record(mailbox, *found)

    def view_of(self, draft: Draft) -> View:
        """Return a draft as a message."""
        return self._of_draft(draft)

    def file(self, record: Record) -> Path:
        """Return the file with a message's octets; raises `GraphError` when it was removed meanwhile."""
        path = self._store.content_file(record.id)
        if path is None:
            raise errors.item_not_found()
        return path

    def mark(self, mailbox: str, record: Record, *, is_read: bool) -> None:
        """Remember whether a message was read."""
        if len(self._read_marks) >= _MOST_MARKS:
            self._read_marks.clear()
        self._read_marks[mailbox, record.id] = is_read

    def remove(self, mailbox: str, key: str) -> None:
        """Remove a message from its folder; raises `GraphError` when it is not there."""
        found = self.find(mailbox, key)
        if isinstance(found, Draft):
            self.drafts.remove(found)
        else:
            self._store.remove_from(found[0].id, _stored(mailbox, found[1]))

    def _of_record(self, mailbox: str, record: Record, folder: str) -> View:
        return View(
            id=message_key(record.id, folder),
            folder=folder,
            message_id=record.message_id,
            subject=record.subject,
            received=record.received,
            modified=record.received,
            is_read=folder == "sentitems" or self._read_marks.get((mailbox, record.id), False),
            envelope=record.envelope_to,
            read=lambda: self._first_octets(record),
        )

    def _of_draft(self, draft: Draft) -> View:
        head = read_head(draft.item.head_octets(with_bcc=True))
        return View(
            id=message_key(draft.id, "drafts"),
            folder="drafts",
            message_id=head.message_id,
            subject=head.subject,
            received=draft.created,
            modified=draft.modified,
            is_read=True,
            envelope=(),
            read=lambda: draft_octets(draft),
            more_attachments=any(not attachment.is_inline for attachment in draft.item.attachments),
        )

    def _first_octets(self, record: Record) -> bytes:
        path = self._store.content_file(record.id)
        if path is None:
            return b""
        with path.open("rb") as file:
            return file.read(_MOST_READ)


def draft_octets(draft: Draft) -> bytes:
    """Return a draft as MIME, with Bcc, without the attachments that were added to it."""
    pieces: list[bytes] = []
    write(replace(draft.item, attachments=()), pieces.append, with_bcc=True)
    return b"".join(pieces)


def _stored(mailbox: str, folder: str) -> str:
    return mailbox if folder == "inbox" else sent_items(mailbox)
