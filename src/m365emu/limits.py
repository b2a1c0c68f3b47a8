"""The limits that remember: messages a minute, recipients a day, submissions at once, failed logons.

Purpose: keep the counts per mailbox. Source: "SMTP submission improvements" (30 messages a minute, three
concurrent submissions), "Exchange Online limits" (10,000 recipients in a rolling 24 hours, 3,600 messages received an
hour), Entra smart lockout.
Shape: five small ledgers; the present moment and the limit are handed in with each question, so a limit can
change at any time. All memory is bounded, mostly by the limits themselves. Leaves to others: the replies.
"""

from collections import deque
from datetime import datetime, timedelta

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MOST_REMEMBERED = 100_000


class MessageRate:
    """Messages a minute, in a window that slides."""

    def __init__(self) -> None:
        self._slots: dict[str, deque[datetime]] = {}

    def is_exhausted(self, mailbox: str, now: datetime, limit: int) -> bool:
        """Say whether the mailbox has used its minute up."""
        return self._earliest(mailbox, now, limit) > now

    def used(self, mailbox: str, now: datetime) -> int:
        """Return how many messages of the last minute, and of moments to come, count now."""
        return sum(moment > now - _MINUTE for moment in self._slots.get(mailbox, ()))

    def reserve(self, mailbox: str, now: datetime, limit: int) -> datetime:
        """Take the next free slot and return its moment: now, or later when the minute is used up."""
        moment = self._earliest(mailbox, now, limit)
        slots = self._slots.setdefault(mailbox, deque())
        slots.append(moment)
        while len(slots) > limit:
            slots.popleft()
        return moment

    def clear(self) -> None:
        self._slots.clear()

    def _earliest(self, mailbox: str, now: datetime, limit: int) -> datetime:
        slots = self._slots.get(mailbox)
        if slots is None or len(slots) < limit:
            return now
        return max(now, slots[-limit] + _MINUTE)


class RecipientQuota:
    """Recipients in the last 24 hours."""

    def __init__(self) -> None:
        self._uses: dict[str, deque[tuple[datetime, int]]] = {}
        self._totals: dict[str, int] = {}

    def has_room(self, mailbox: str, recipients: int, now: datetime, limit: int) -> bool:
        """Say whether so many more recipients stay within the limit."""
        uses = self._uses.get(mailbox)
        while uses and uses[0][0] <= now - _DAY:
            self._totals[mailbox] -= uses.popleft()[1]
        return self._totals.get(mailbox, 0) + recipients <= limit

    def used(self, mailbox: str, now: datetime) -> int:
        """Return how many recipients of the last 24 hours count now."""
        self.has_room(mailbox, 0, now, 0)
        return self._totals.get(mailbox, 0)

    def use(self, mailbox: str, recipients: int, now: datetime) -> None:
        """Count recipients that were accepted."""
        self._uses.setdefault(mailbox, deque()).append((now, recipients))
        self._totals[mailbox] = self._totals.get(mailbox, 0) + recipients

    def clear(self) -> None:
        self._uses.clear()
        self._totals.clear()


class ReceivedMessages:
    """Messages that mailboxes received in the last hour, and from whom."""

    def __init__(self) -> None:
        self._messages: dict[str, deque[tuple[datetime, str]]] = {}

    def note(self, mailbox: str, sender: str, now: datetime) -> None:
        """Count a message that was delivered."""
        messages = self._messages.setdefault(mailbox, deque(maxlen=_MOST_REMEMBERED))
        messages.append((now, sender))

    def in_last_hour(self, mailbox: str, now: datetime, sender: str | None = None) -> int:
        """Return how many messages of the last hour there are, of one sender or of all."""
        messages = self._messages.get(mailbox)
        while messages and messages[0][0] <= now - _HOUR:
            messages.popleft()
        if not messages:
            return 0
        return len(messages) if sender is None else sum(name == sender for _, name in messages)

    def clear(self) -> None:
        self._messages.clear()


class OpenSubmissions:
    """Transactions in progress, in the order in which they began.

    What is counted are authenticated sessions with a transaction under way, from MAIL to the reply at the end of
    the message; a session that merely stays logged on takes nothing. The documentation speaks of concurrent
    connections, but the refusal comes from the mailbox server when it is asked to submit, which an idle session
    never does. A transaction is over the limit when, at its end, as many others that began earlier are still
    open; so the first three always get through, and it does not matter who finishes first.
    """

    def __init__(self) -> None:
        self._open: dict[str, dict[int, None]] = {}
        self._count = 0
        self.most: dict[str, int] = {}

    def begin(self, mailbox: str) -> int:
        """Note a transaction and return its number."""
        self._count += 1
        under_way = self._open.setdefault(mailbox, {})
        under_way[self._count] = None
        self.most[mailbox] = max(self.most.get(mailbox, 0), len(under_way))
        return self._count

    def end(self, mailbox: str, number: int) -> None:
        """Forget a transaction; harmless when it is gone."""
        self._open.get(mailbox, {}).pop(number, None)

    def rank(self, mailbox: str, number: int) -> int:
        """Return the transaction's place among the open ones, the oldest being 1."""
        return list(self._open.get(mailbox, {})).index(number) + 1

    def under_way(self, mailbox: str) -> int:
        """Return how many transactions of the mailbox are open."""
        return len(self._open.get(mailbox, {}))

    def clear(self) -> None:
        """Forget the highest counts; what is open stays open."""
        self.most = {mailbox: len(under_way) for mailbox, under_way in self._open.items() if under_way}


class Lockout:
    """Failed logons in a row, and accounts locked because of them."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._locked_until: dict[str, datetime] = {}

    def is_locked(self, mailbox: str, now: datetime, duration: timedelta) -> bool:
        """Say whether the account is locked; asking prolongs the lock, as another try does in reality."""
        until = self._locked_until.get(mailbox)
        if until is None:
            return False
        if until <= now:
            del self._locked_until[mailbox]
            self._failures.pop(mailbox, None)
            return False
        self._locked_until[mailbox] = now + duration
        return True

    def failed(self, mailbox: str, now: datetime, limit: int, duration: timedelta) -> None:
        """Count a failure; at the limit the account is locked."""
        self._failures[mailbox] = self._failures.get(mailbox, 0) + 1
        if self._failures[mailbox] >= limit:
            self._locked_until[mailbox] = now + duration

    def succeeded(self, mailbox: str) -> None:
        """Forget the failures."""
        self._failures.pop(mailbox, None)

    def unlock(self, mailbox: str) -> None:
        """Open a locked account, as an administrator can."""
        self._failures.pop(mailbox, None)
        self._locked_until.pop(mailbox, None)

    def is_locked_now(self, mailbox: str, now: datetime) -> bool:
        """Say whether the account is locked, without prolonging it."""
        until = self._locked_until.get(mailbox)
        return until is not None and until > now

    def clear(self) -> None:
        self._failures.clear()
        self._locked_until.clear()
