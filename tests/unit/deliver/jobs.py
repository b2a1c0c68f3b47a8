"""Messages, jobs and workers for the tests of ``deliver``."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from posthouse.decide.outbound import Outbound, Smarthost
from posthouse.decide.ways import Way, limits_of
from posthouse.deliver.patience import Patience
from posthouse.deliver.secrets import SecretOpener
from posthouse.deliver.worker import Worker
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Recipient
from posthouse.mail.ids import MessageId, SessionId
from posthouse.mail.message import Content, HeaderFacts, InlineContent, Lease, Message, Origin, Waiting
from posthouse.mail.outcome import AttemptResult
from posthouse.mail.route import Route
from posthouse.mail.session import SessionFacts
from posthouse.queue.port import Job, NoRoom, Permit

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTENT = b"From: a@x.example\r\nSubject: hello\r\n\r\nA line.\r\n.and a dot\r\n"
SECRETS = {"relay": "hunter2-planted", "app": "client-secret-planted"}
HASTE = Patience(
    greeting=0.3, hello=0.3, starttls=0.3, auth=0.3, mail=0.3, rcpt=0.3, data=0.3, block=0.5, final=0.3, reset=0.3
)


def smarthost(*ports: int, **settings: object) -> Smarthost:
    """A smart host on this machine without TLS."""
    return Smarthost(
        **{  # type: ignore[arg-type]
            "name": "relay",
            "hosts": ("127.0.0.1",),
            "port": ports[0],
            "tls": "none",
            "connect_timeout": timedelta(seconds=2),
            **settings,
        }
    )


def message(
    recipients: Sequence[str] = ("b@y.example",),
    content: bytes | Content = CONTENT,
    *,
    sender: str | None = "a@x.example",
    body: Body = Body.SEVEN_BIT,
    smtputf8: bool = False,
    envelope_recipients: tuple[Recipient, ...] | None = None,
) -> Message:
    """A message as the queue holds it."""
    named = envelope_recipients or tuple(Recipient(Address.parse(r)) for r in recipients)
    return Message(
        id=MessageId(1),
        received_at=NOW,
        expires_at=NOW + timedelta(days=1),
        origin=Origin.SMTP,
        envelope=Envelope(
            sender=Address.parse(sender) if sender else None, recipients=named, body=body, smtputf8=smtputf8
        ),
        session=SessionFacts(
            id=SessionId("0" * 16),
            listener="test",
            peer_ip="127.0.0.1",
            peer_port=1,
            helo="x",
            protocol="ESMTP",
            tls=None,
            principal=None,
            started_at=NOW,
        ),
        content=InlineContent(content) if isinstance(content, bytes) else content,
        header=HeaderFacts(),
    )


class Unlimited:
    """Budgets that always have room."""

    async def take(self, way: Way, sender: Address | None, waiting: Sequence[Waiting]) -> Permit | NoRoom:
        return Permit(way=way, mailbox=way.mailboxes_for(sender)[0], charges=(), taken_at=NOW)

    async def finish(self, permit: Permit, results: Sequence[AttemptResult]) -> None:
        return None

    async def give_back(self, permit: Permit) -> None:
        return None


def way(connector: Outbound | Way) -> Way:
    """A connector as a way out, without identity."""
    return connector if isinstance(connector, Way) else Way(connector=connector, limits=limits_of(connector))


def job(letter: Message, *connectors: Outbound | Way) -> Job:
    """A job for all recipients of a message, permitted for the first of the ways."""
    waiting = tuple(Waiting(index, r) for index, r in enumerate(letter.envelope.recipients))
    ways = tuple(way(connector) for connector in connectors)
    mailbox = ways[0].mailboxes_for(letter.envelope.sender)[0]
    permit = Permit(way=ways[0], mailbox=mailbox, charges=(), taken_at=NOW) if ways[0].is_microsoft else None
    return Job(
        lease=Lease(message=letter, hop="hop", waiting=waiting, until=NOW + timedelta(minutes=30)),
        route=Route("default", tuple(w.name for w in ways), "hop", ""),
        ways=ways,
        permit=permit,
    )


async def _look_up(name: str) -> str | None:
    return SECRETS.get(name)


MakeWorker = Callable[..., Worker]


def new_worker(patience: Patience = HASTE, **more: object) -> Worker:
    """A worker with the secrets of the tests and little patience."""
    return Worker(
        hostname="me.example",
        secrets=SecretOpener(_look_up),
        random=random.Random(1),
        patience=patience,
        budgets=Unlimited(),
        **more,  # type: ignore[arg-type]
    )


async def one(worker: Worker, connector: Outbound | Way, letter: Message | None = None) -> AttemptResult:
    """Deliver a message with one recipient."""
    (result,) = await worker.deliver(job(letter or message(), connector))
    return result
