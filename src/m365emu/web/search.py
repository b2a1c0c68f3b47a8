"""Finding messages in the inbox.

Purpose: narrow a list of messages down. Shape: `Search` is what was asked for, read from a query string; `matching`
keeps what fits. Words must all occur, in any order and case, in the subject, the sender, the recipients or the
beginning of the text. Failures: 400 for a moment that is none. Leaves to others: folders (`mailbox`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from m365emu.mailbox import MessageStore, Record
from m365emu.web.parsed import decoded, searched_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a message must have; empty fields ask for nothing."""

    words: tuple[str, ...] = ()
    sender: str = ""
    recipient: str = ""
    subject: str = ""
    message_id: str = ""
    since: datetime | None = None

    @property
    def asks(self) -> bool:
        """Say whether anything is asked for."""
        return self != Search()


def read_search(query: Mapping[str, str]) -> Search:
    """Read `q`, `from`, `to`, `subject`, `message_id` and `since`; raises `ValueError`."""
    since = query.get("since", "").strip()
    return Search(
        words=tuple(query.get("q", "").lower()[:500].split()),
        sender=query.get("from", "").strip().lower(),
        recipient=query.get("to", "").strip().lower(),
        subject=query.get("subject", "").strip().lower(),
        message_id=query.get("message_id", "").strip().strip("<>"),
        since=_moment(since) if since else None,
    )


def matching(search: Search, records: list[Record], store: MessageStore) -> list[Record]:
    """Keep the messages that fit, in their order."""
    return [record for record in records if _fits(search, record, store)] if search.asks else records


def _fits(search: Search, record: Record, store: MessageStore) -> bool:
    sender = f"{decoded(record.author)} {record.envelope_from}".lower()
    recipients = " ".join(record.envelope_to).lower()
    if search.since is not None and record.received < search.since:
        return False
    if search.message_id and record.message_id.strip("<>") != search.message_id:
        return False
    if search.sender not in sender or search.recipient not in recipients:
        return False
    if search.subject not in record.subject.lower():
        return False
    known = f"{record.subject} {sender} {recipients}".lower()
    missing = [word for word in search.words if word not in known]
    path = store.content_file(record.id) if missing else None
    return not missing or (path is not None and all(word in searched_text(path) for word in missing))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("since must be a moment such as 2026-01-31T12:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
