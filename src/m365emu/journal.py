"""The journal: sessions and requests of late, and why they were refused.

Purpose: answer "why was I refused", also for sessions that brought no message and for requests for tokens.
Shape: `Entry` is one session or request; `Journal` keeps the latest, and tells those who follow of each new one.
Failures: none. Leaves to others: the dialogue's words (`transcript`), counting (`statistics`).
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from msgspec import Struct

_MOST_ENTRIES = 1_000
_MOST_LINES = 200
_LONGEST = 2_200

Door = Literal["smtp", "entra", "graph"]
"""Through which door somebody came."""


class Entry(Struct, frozen=True, kw_only=True):
    """One SMTP session, or one HTTPS request.

    Attributes:
        who: a mailbox or a client id, empty when nobody said.
        outcome: `accepted 2`, `refused`, `200`.
        reason: the last refusal in the words the client was given, empty when nothing was refused.
        lines: the dialogue, or what is known of the request; never a secret.
    """

    number: int
    at: datetime
    door: Door
    client: str
    who: str
    what: str
    outcome: str
    reason: str
    lines: list[str]


class Journal:
    """The latest entries."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_MOST_ENTRIES)
        self._number = 0
        self.followers: list[Callable[[Entry], None]] = []

    def add(
        self,
        *,
        at: datetime,
        door: Door,
        client: str,
        who: str,
        what: str,
        outcome: str,
        reason: str,
        lines: list[str],
    ) -> None:
        """Note something; long texts are cut."""
        self._number += 1
        entry = Entry(
            number=self._number,
            at=at,
            door=door,
            client=client,
            who=who[:320],
            what=what[:320],
            outcome=outcome,
            reason=reason[:_LONGEST],
            lines=[line[:_LONGEST] for line in lines[-_MOST_LINES:]],
        )
        self._entries.append(entry)
        for follower in self.followers:
            follower(entry)

    def entries(self, *, refused_only: bool = False, who: str = "") -> list[Entry]:
        """Return the entries, newest first: all, those with a refusal, or those of one mailbox or application."""
        who = who.lower()
        return [
            entry
            for entry in reversed(self._entries)
            if (entry.reason or not refused_only) and (not who or who in entry.who.lower())
        ]

    def get(self, number: int) -> Entry | None:
        """Return one entry."""
        return next((entry for entry in self._entries if entry.number == number), None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def note_session(journal: Journal, *, at: datetime, client: str, who: str, lines: list[str]) -> None:
    """Note an SMTP session that has ended, with the last refusal and what the transcript says of its reason."""
    accepted = sum(line.startswith(("S: 250 2.0.0 OK <", "S: 250 2.6.0 <")) for line in lines)
    place = next((n for n in reversed(range(len(lines))) if lines[n].startswith(("S: 4", "S: 5"))), None)
    reason = ""
    if place is not None:
        note = lines[place - 1] if place and lines[place - 1].startswith("-- ") else ""
        reason = lines[place][3:] + (f" ({note[3:]})" if note else "")
    outcome = f"accepted {accepted}" if accepted else "refused" if reason else "nothing sent"
    journal.add(
        at=at,
        door="smtp",
        client=client,
        who=who,
        what=f"{accepted} message{'' if accepted == 1 else 's'}",
        outcome=outcome,
        reason=reason,
        lines=lines,
    )
