"""Drafts, their attachments, and the sessions that upload them.

Purpose: keep what is not sent yet, for as long as the process lives. Source: "Create draft message", "Attach large
files to Outlook messages or events" (3 to 150 MB, pieces up to 4 MB, in order).
Shape: `Drafts` holds `Draft`s by id; an `Upload` grows in a file. Numbers and octets are bounded.
Failures: `GraphError`; `OSError` from a full disk rises. Leaves to others: HTTP (`messages`, `uploads`), sending.
"""

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from m365emu.graph import errors
from m365emu.graph.item import Attachment, Item

_MOST_DRAFTS = 1_000
_MOST_UPLOADS = 100
_MOST_ATTACHMENTS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message in the folder Drafts."""

    id: str
    mailbox: str
    created: datetime
    modified: datetime
    item: Item

    @property
    def octets(self) -> int:
        """What it takes, about."""
        return len(self.item.body) + sum(attachment.size for attachment in self.item.attachments) + 2_000


@dataclass(slots=True, kw_only=True)
class Upload:
    """An attachment that comes in pieces.

    Attributes:
        key: the secret part of the URL; who knows it may upload.
        size: how many octets were announced.
        received: how many came.
    """

    id: str
    key: str
    draft: str
    mailbox: str
    application: str
    attachment: Attachment
    size: int
    expires: datetime
    path: Path
    received: int = 0


class Drafts:
    """All drafts and upload sessions."""

    def __init__(self, directory: Path) -> None:
        """Use a directory of its own; what an earlier run left there is removed."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in directory.glob("attachment-*"):
            leftover.unlink()
        self._directory = directory
        self._drafts: dict[str, Draft] = {}
        self._uploads: dict[str, Upload] = {}

    def add(self, mailbox: str, item: Item, now: datetime, most_octets: int) -> Draft:
        """Keep a new draft; raises `GraphError` when there is no room."""
        draft = Draft(id=secrets.token_hex(8), mailbox=mailbox, created=now, modified=now, item=item)
        if len(self._drafts) >= _MOST_DRAFTS:
            raise errors.mailbox_full()
        self._check_room(draft.octets, most_octets)
        self._drafts[draft.id] = draft
        return draft

    def get(self, mailbox: str, draft: str) -> Draft | None:
        """Return a mailbox's draft."""
        found = self._drafts.get(draft)
        return found if found is not None and found.mailbox == mailbox else None

    def of(self, mailbox: str) -> list[Draft]:
        """Return a mailbox's drafts, the newest first."""
        return [draft for draft in reversed(self._drafts.values()) if draft.mailbox == mailbox]

    def change(self, draft: Draft, item: Item, now: datetime, most_octets: int) -> Draft:
        """Put another item in the draft's place; raises `GraphError` when there is no room."""
        changed = replace(draft, item=item, modified=now)
        self._check_room(changed.octets - draft.octets, most_octets)
        self._drafts[draft.id] = changed
        return changed

    def attach(self, draft: Draft, attachment: Attachment, now: datetime, most_octets: int) -> Draft:
        """Add an attachment; raises `GraphError` when there is no room."""
        if len(draft.item.attachments) >= _MOST_ATTACHMENTS:
            raise errors.GraphError(400, "ErrorAttachmentNestLevelLimitExceeded", "Too many attachments.")
        item = replace(draft.item, attachments=(*draft.item.attachments, attachment))
        return self.change(draft, item, now, most_octets)

    def detach(self, draft: Draft, attachment: str, now: datetime) -> bool:
        """Remove an attachment; return whether it was there."""
        kept = tuple(found for found in draft.item.attachments if found.id != attachment)
        for found in draft.item.attachments:
            if found.id == attachment:
                _remove(found)
        self._drafts[draft.id] = replace(draft, item=replace(draft.item, attachments=kept), modified=now)
        return len(kept) < len(draft.item.attachments)

    def remove(self, draft: Draft) -> None:
        """Forget a draft, its attachments and its uploads."""
        self._drafts.pop(draft.id, None)
        for attachment in draft.item.attachments:
            _remove(attachment)
        for upload in [upload for upload in self._uploads.values() if upload.draft == draft.id]:
            self.end_upload(upload)

    def begin_upload(
        self,
        draft: Draft,
        attachment: Attachment,
        *,
        application: str,
        now: datetime,
        life: timedelta,
        most_octets: int,
    ) -> Upload:
        """Open a session for an attachment of the size announced; raises `GraphError` when there is no room."""
        for old in [upload for upload in self._uploads.values() if upload.expires <= now]:
            self.end_upload(old)
        if len(self._uploads) >= _MOST_UPLOADS:
            raise errors.too_many_requests(60)
        self._check_room(attachment.size, most_octets)
        upload = Upload(
            id=str(uuid.uuid4()),
            key=secrets.token_urlsafe(32),
            draft=draft.id,
            mailbox=draft.mailbox,
            application=application,
            attachment=attachment,
            size=attachment.size,
            expires=now + life,
            path=self._directory / f"attachment-{secrets.token_hex(8)}",
        )
        self._uploads[upload.id] = upload
        return upload

    def upload(self, upload: str, key: str, now: datetime) -> Upload | None:
        """Return an open session to who knows its key."""
        found = self._uploads.get(upload)
        if found is None or found.expires <= now or not secrets.compare_digest(found.key.encode(), key.encode()):
            return None
        return found

    def end_upload(self, upload: Upload, *, keep_file: bool = False) -> None:
        """Close a session; its file goes unless an attachment has taken it."""
        self._uploads.pop(upload.id, None)
        if not keep_file:
            upload.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything."""
        for draft in list(self._drafts.values()):
            self.remove(draft)

    def _check_room(self, octets: int, most_octets: int) -> None:
        kept = sum(draft.octets for draft in self._drafts.values())
        announced = sum(upload.size for upload in self._uploads.values())
        if octets > 0 and kept + announced + octets > most_octets:
            raise errors.mailbox_full()


def _remove(attachment: Attachment) -> None:
    if isinstance(attachment.source, Path):
        attachment.source.unlink(missing_ok=True)
