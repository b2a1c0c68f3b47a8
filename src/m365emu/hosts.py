"""The names, numbers and dates that stand in Exchange Online's greetings and replies.

Purpose: spell them as the service does. Source: recorded dialogues of smtp.office365.com (2024 and 2025) and of
`*.mail.protection.outlook.com` (2022 to 2026).
The number in square brackets behaves like the start of the process in .NET ticks (100 ns since the year 1),
counted up by one for each session. Shape: `FrontEnd` is one server's identity in one session.
Failures: none. Leaves to others: the replies themselves (`replies`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from m365emu.tenant import Service

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS_AT_UNIX_EPOCH = 621_355_968_000_000_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SessionNumbers:
    """Hands out session ids of 16 hexadecimal digits."""

    def __init__(self, started: datetime) -> None:
        """Start counting at the moment the process started."""
        self._next = (started - _UNIX_EPOCH) // timedelta(microseconds=1) * 10 + _TICKS_AT_UNIX_EPOCH

    def take(self) -> str:
        """Return the next session id."""
        self._next += 1
        return f"{self._next:016X}"


Role = Literal["submission", "exchanger"]
"""Which host a server belongs to: the submission host or the MX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """A front-end server in one session, and the mailbox server behind it."""

    service: Service
    session_id: str
    role: Role = "submission"

    @property
    def greeting_name(self) -> str:
        """The name in the greeting and in the answer to EHLO."""
        if self.role == "exchanger":
            return f"{self.service.exchanger}.mail.protection.outlook.com"
        return f"{self.service.front_end}.outlook.office365.com"

    @property
    def full_name(self) -> str:
        """The name by which the server calls itself in refusals and reports."""
        if self.role == "exchanger":
            return f"{self.service.exchanger}.Eop-{self.service.exchanger_region}.prod.protection.outlook.com"
        return f"{self.service.front_end}.{self.service.forest}.PROD.OUTLOOK.COM"

    @property
    def mailbox_server(self) -> str:
        """The name of the server that answers at the end of DATA."""
        return f"{self.service.mailbox_server}.{self.service.forest}.PROD.OUTLOOK.COM"

    def suffix(self, now: datetime) -> str:
        """Return what ends a front-end refusal: `[server time session]`."""
        moment = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
        return f"[{self.full_name} {moment} {self.session_id}]"


def greeting_date(now: datetime) -> str:
    """Spell a moment as the greeting does: `Sun, 9 Mar 2025 11:12:20 +0000`, whatever the locale."""
    return f"{_DAYS[now.weekday()]}, {now.day} {_MONTHS[now.month - 1]} {now:%Y %H:%M:%S} +0000"
