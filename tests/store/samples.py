"""Messages, placements and settlements for the store's tests. Time stands still unless a test moves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Notify, Recipient
from posthouse.mail.event import Event, EventKind
from posthouse.mail.ids import MessageId, SessionId, make_message_id
from posthouse.mail.message import (
    Content,
    HeaderFacts,
    InlineContent,
    Message,
    NewMessage,
    Origin,
    Placement,
    RecipientState,
    RecipientUpdate,
    Settlement,
)
from posthouse.mail.session import Principal, PrincipalKind, SessionFacts, TlsFacts

NOW = datetime(2026, 3, 2, 10, 20, 30, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LETTER = b"Subject: scan\r\n\r\nHello\x00\xff\r\n"

PENDING = RecipientState.PENDING
LEASED = RecipientState.LEASED
HELD = RecipientState.HELD
UNKNOWN = RecipientState.UNKNOWN
DELIVERED = RecipientState.DELIVERED
FAILED = RecipientState.FAILED
EXPIRED = RecipientState.EXPIRED
CANCELLED = RecipientState.CANCELLED
DISCARDED = RecipientState.DISCARDED

SESSION = SessionFacts(
    id=SessionId("08DE79E1D2C3B4A5"),
    listener="office",
    peer_ip="192.0.2.10",
    peer_port=50123,
    helo="printer.example",
    protocol="ESMTPSA",
    tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", ("printer.example",)),
    principal=Principal(PrincipalKind.ACCOUNT, "printer", "second floor"),
    started_at=NOW - MINUTE,
)


def message_id(number: int, at: datetime = NOW) -> MessageId:
    """The id of message `number`."""
    return make_message_id(int(at.timestamp() * 1000), number)


def letter(
    number: int,
    *,
    to: Sequence[str] = ("anna@contoso.example",),
    sender: str | None = "scan@device.example",
    at: datetime = NOW,
    expires: timedelta = DAY,
    content: Content | None = None,
    subject: str = "scan",
    header_id: str | None = None,
    session: SessionFacts = SESSION,
    parent: MessageId | None = None,
    origin: Origin = Origin.SMTP,
) -> Message:
    """Message `number` as it was taken in."""
    recipients = tuple(Recipient(Address.parse(a), Notify.FAILURE | Notify.DELAY, f"rfc822;{a}") for a in to)
    return Message(
        id=message_id(number, at),
        received_at=at,
        expires_at=at + expires,
        origin=origin,
        envelope=Envelope(
            sender=None if sender is None else Address.parse(sender),
            recipients=recipients,
            body=Body.EIGHT_BIT_MIME,
            smtputf8=True,
            ret="HDRS",
            envid="envelope 1",
            declared_octets=4000,
        ),
        session=session,
        content=InlineContent(LETTER) if content is None else content,
        header=HeaderFacts(
            message_id=f"<{number}@device.example>" if header_id is None else header_id,
            subject=subject,
            from_address="scan@device.example",
            received_count=2,
        ),
        parent=parent,
        repairs=("a bare LF became CRLF",),
    )


def taken(
    message: Message,
    *,
    state: RecipientState = PENDING,
    hop: str | Sequence[str] = "relay",
    due: datetime | None = None,
    lease: timedelta = 30 * MINUTE,
) -> NewMessage:
    """`message` with a placement for each recipient, in one line or in one for each."""
    hops = [hop] * len(message.envelope.recipients) if isinstance(hop, str) else hop
    return NewMessage(
        message=message,
        placements=tuple(
            Placement(index, state, line, message.received_at if due is None else due)
            for index, line in enumerate(hops)
        ),
        events=(Event(message.received_at, EventKind.ACCEPTED, message.id, None, {"routes": list(hops)}),),
        lease_until=message.received_at + lease if state is LEASED else None,
    )


def update(index: int, state: RecipientState, **fields: object) -> RecipientUpdate:
    """The new state of one recipient."""
    return replace(RecipientUpdate(index=index, state=state), **fields)  # type: ignore[arg-type]


def settlement(
    message: Message,
    *updates: RecipientUpdate,
    events: Sequence[Event] = (),
    notices: Sequence[NewMessage] = (),
) -> Settlement:
    """One step of `message`."""
    return Settlement(message_id=message.id, updates=updates, events=tuple(events), notices=tuple(notices))


def event(
    message: Message | None, kind: EventKind, index: int | None = None, at: datetime = NOW, **detail: str
) -> Event:
    """Something that happened."""
    return Event(at, kind, None if message is None else message.id, index, detail)


def notice(number: int, about: Message, at: datetime = NOW) -> NewMessage:
    """A bounce that speaks of a message."""
    return taken(letter(number, sender=None, parent=about.id, origin=Origin.BOUNCE, at=at, subject="Undeliverable"))
