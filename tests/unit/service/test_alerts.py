"""Mail to the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message

import pytest

from posthouse.deliver.expiry import Expiry
from posthouse.mail.address import Address
from posthouse.mail.budget import Pause
from posthouse.mail.ids import MessageId
from posthouse.operate.settings import AlertSettings
from posthouse.receive.local import NotTaken
from posthouse.service.alerts import MOST_AN_HOUR, Alerts

OPERATOR = "admin@contoso.example"
SAID = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)


class Desk:
    """Takes what is handed in."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 9, tzinfo=UTC)
        self.taken: list[tuple[Address | None, Sequence[Address], Message]] = []
        self.refuses = False

    async def submit(
        self, *, sender: Address | None, recipients: Sequence[Address], content: bytes, user: str
    ) -> MessageId | NotTaken:
        if self.refuses:
            return NotTaken("no route", temporary=False)
        self.taken.append((sender, recipients, message_from_bytes(content)))
        return MessageId(len(self.taken))

    def alerts(self, **settings: object) -> Alerts:
        return Alerts(
            AlertSettings(**{"to": (OPERATOR,), **settings}),  # type: ignore[arg-type]
            hostname="relay.contoso.example",
            postmaster=Address.parse("postmaster@relay.contoso.example"),
            intake=lambda: self,
            clock=lambda: self.now,
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def paused(account: str = "mailbox:relay@contoso.example", until: datetime | None = None) -> Pause:
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    return Pause(account=account, since=now, until=until, reason="SMTP AUTH is switched off", reply=SAID)


async def test_a_mailbox_that_rests_is_told_with_what_to_do(desk: Desk) -> None:
    desk.alerts().paused(paused())
    await asyncio.sleep(0)
    ((sender, recipients, message),) = desk.taken
    assert sender is None and [str(r) for r in recipients] == [OPERATOR]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"].startswith("[posthouse relay.contoso.example] relay@contoso.example rests")
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"until a person acts" in text and SAID.encode()[:60] in text
    assert b"Who can help" in text and b"posthouse identity resume relay@contoso.example" in text


async def test_a_credential_that_ends_is_told_ahead(desk: Desk) -> None:
    ends = desk.now + timedelta(days=30, hours=1)
    expiry = Expiry(identity="app", what="client secret", ends_at=ends, source="declared", days_left=30)
    desk.alerts(sender="relay@contoso.example").expires(expiry)
    await asyncio.sleep(0)
    ((_, _, message),) = desk.taken
    assert "ends in 30 days" in message["Subject"]
    assert message["From"] == "Posthouse <relay@contoso.example>"


async def test_the_same_matter_is_told_once_a_day(desk: Desk) -> None:
    alerts = desk.alerts()
    for _ in range(5):
        alerts.paused(paused())
    desk.now += timedelta(hours=25)
    alerts.paused(paused())
    await asyncio.sleep(0)
    assert len(desk.taken) == 2


async def test_a_bad_day_does_not_become_a_flood(desk: Desk) -> None:
    alerts = desk.alerts()
    for number in range(50):
        alerts.paused(paused(f"mailbox:box{number}@contoso.example"))
    await asyncio.sleep(0)
    assert len(desk.taken) == MOST_AN_HOUR


async def test_without_an_operator_nobody_is_told(desk: Desk) -> None:
    desk.alerts(to=()).paused(paused())
    await asyncio.sleep(0)
    assert desk.taken == []


async def test_what_cannot_be_handed_in_is_logged_and_nothing_rises(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.refuses = True
    desk.alerts().paused(paused())
    await asyncio.sleep(0)
    assert "alerts.not_sent" in capsys.readouterr().out
