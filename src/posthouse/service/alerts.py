"""Mail to the operator: what will stop mail soon, or has stopped it, and what to do.

Shape: `Alerts.tell` composes a short message and hands it in as any command on this machine would; the same matter is
told once a day, and no more than a dozen messages leave in an hour, so that a bad day does not become a flood.
Failures: what cannot be handed in is logged; nothing rises.
Leaves to others: noticing (``queue.budget``, ``deliver.expiry``), the way of the mail (``receive.local``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import structlog

from posthouse.deliver.expiry import Expiry
from posthouse.mail.address import Address
from posthouse.mail.budget import Pause
from posthouse.microsoft.replies import find
from posthouse.operate.port import LocalIntake
from posthouse.operate.settings import AlertSettings
from posthouse.receive.local import NotTaken

log = structlog.get_logger()

SAME_AGAIN = timedelta(days=1)
MOST_AN_HOUR = 12
USER = "posthouse"


class Alerts:
    """Tells the operator.

    Args:
        settings: To whom, and as whom.
        hostname: Of this node.
        postmaster: Sender where the settings name none.
        intake: Takes the messages.
    """

    def __init__(
        self,
        settings: AlertSettings,
        *,
        hostname: str,
        postmaster: Address,
        intake: Callable[[], LocalIntake],
        clock: Callable[[], datetime],
    ) -> None:
        self._to = tuple(Address.parse(to) for to in settings.to)
        self._sender = Address.parse(settings.sender) if settings.sender else postmaster
        self._hostname, self._intake, self._clock = hostname, intake, clock
        self._told: dict[str, datetime] = {}
        self._recent: deque[datetime] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def paused(self, pause: Pause) -> None:
        """An account rests."""
        who = pause.account.partition(":")[2]
        until = f"until {pause.until:%Y-%m-%d %H:%M} UTC" if pause.until is not None else "until a person acts"
        lines = [
            f"{who} sends nothing {until}.",
            f"Reason: {pause.reason}",
            *([f"The server said: {pause.reply}"] if pause.reply else []),
            *_help(pause.reply or pause.reason),
            "",
            "Mail waits meanwhile; other mailboxes and connectors go on.",
            f"When it is mended: posthouse identity resume {who}",
        ]
        self.tell(f"pause {pause.account}", f"{who} rests: {pause.reason}", lines)

    def expires(self, expiry: Expiry) -> None:
        """A credential ends soon, or has ended."""
        days = expiry.days_left
        when = f"in {days} days" if days > 1 else "tomorrow" if days == 1 else "today" if days == 0 else "in the past"
        lines = [
            f"The {expiry.what} of the identity {expiry.identity} ends {when}: {expiry.ends_at:%Y-%m-%d %H:%M} UTC.",
            "Mail that needs it stops then.",
            "",
            f"What to do: posthouse identity show-steps {expiry.identity}",
            f"State of all identities: posthouse identity list (known from: {expiry.source})",
        ]
        subject = f"the {expiry.what} of {expiry.identity} ends {when}"
        self.tell(f"expires {expiry.identity} {days}", subject, lines)

    def tell(self, matter: str, subject: str, lines: Sequence[str]) -> None:
        """Send one message about a matter, unless it was told within a day or too much was told within the hour."""
        now = self._clock()
        self._told = {known: at for known, at in self._told.items() if now - at < SAME_AGAIN}
        while self._recent and now - self._recent[0] > timedelta(hours=1):
            self._recent.popleft()
        if not self._to or matter in self._told or len(self._recent) >= MOST_AN_HOUR:
            return
        self._told[matter] = now
        self._recent.append(now)
        task = asyncio.get_running_loop().create_task(self._send(subject, lines, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, subject: str, lines: Sequence[str], now: datetime) -> None:
        message = EmailMessage(policy=SMTP)
        message["From"] = f"Posthouse <{self._sender}>"
        message["To"] = ", ".join(map(str, self._to))
        message["Date"] = format_datetime(now)
        message["Subject"] = f"[posthouse {self._hostname}] {' '.join(subject.split())[:150]}"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n".join(lines) + "\n")
        # Nobody answers with a bounce that would come back here.
        taken = await self._intake().submit(sender=None, recipients=self._to, content=message.as_bytes(), user=USER)
        if isinstance(taken, NotTaken):
            log.error("alerts.not_sent", subject=subject, reason=taken.reason)


def _help(text: str) -> list[str]:
    found = find(text)
    if found is None:
        return []
    entry = found.entry
    return ["", entry.meaning, f"Who can help: {entry.who.replace('_', ' ')}", f"What to do: {entry.remedy}"]
