"""Counts of what happened, for tests and for the curious.

Purpose: how many messages were taken, what was refused and why, how many submissions ran at once.
Shape: `Statistics` is counted into by the sessions and the token endpoint; `report` gives plain values.
Failures: none. Leaves to others: the highest number of submissions at once (`limits`).
"""

from collections import Counter

from m365emu.replies import Reply


class Statistics:
    """Counters since the start or the last reset."""

    def __init__(self) -> None:
        self.sessions: Counter[str] = Counter()
        self.logons: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.delayed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.refused_codes: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def count_reply(self, reply: Reply) -> None:
        """Count a reply that refuses; others are not counted."""
        if reply.code >= 400:
            self.refused[reply.reason or "other"] += 1
            self.refused_codes[" ".join(str(reply).split(" ", 2)[:2])] += 1

    def clear(self) -> None:
        """Begin again at zero."""
        for counter in (self.sessions, self.logons, self.accepted, self.delayed):
            counter.clear()
        for counter in (self.refused, self.refused_codes, self.tokens, self.failed):
            counter.clear()

    def report(self, most_concurrent: dict[str, int]) -> dict[str, object]:
        """Return everything as plain values; `most_concurrent` comes from the ledger of open submissions."""
        return {
            "sessions": dict(self.sessions),
            "logons": dict(self.logons),
            "accepted": self.accepted.total(),
            "accepted_by_mailbox": dict(self.accepted),
            "delayed_by_mailbox": dict(self.delayed),
            "refused": dict(self.refused),
            "refused_by_code": dict(self.refused_codes),
            "concurrency_refusals": self.refused["concurrency"],
            "most_concurrent_by_mailbox": dict(most_concurrent),
            "tokens": dict(self.tokens),
            "failed_by_status": dict(self.failed),
        }
