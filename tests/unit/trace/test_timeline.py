"""The timeline tells every event in words and hides nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Recipient
from posthouse.mail.event import Detail, Event, EventKind
from posthouse.mail.ids import SessionId, make_message_id
from posthouse.mail.message import HeaderFacts, InlineContent, Message, Origin
from posthouse.mail.session import SessionFacts
from posthouse.store.port import Story
from posthouse.trace.timeline import describe_event, show_duration, timeline

AT = datetime(2026, 11, 21, 18, 7, 56, tzinfo=UTC)
ID = make_message_id(1_795_284_476_000, 77)


def story(*events: Event) -> Story:
    message = Message(
        id=ID,
        received_at=AT,
        expires_at=AT + timedelta(hours=24),
        origin=Origin.SMTP,
        envelope=Envelope(
            sender=Address("a", "example.com"),
            recipients=(Recipient(Address("b", "example.net")), Recipient(Address("c", "example.net"))),
        ),
        session=SessionFacts(
            id=SessionId("08D751B8BF60FE0E"),
            listener="plain",
            peer_ip="192.0.2.1",
            peer_port=1,
            helo="printer",
            protocol="ESMTP",
            tls=None,
            principal=None,
            started_at=AT,
        ),
        content=InlineContent(b""),
        header=HeaderFacts(),
    )
    return Story(message=message, content_octets=1, has_content=True, rows=(), events=events, notices=())


def test_a_message_that_waits_once_and_is_delivered() -> None:
    detail: Detail = {
        "connector": "m365",
        "remote": "mx.example.net [198.51.100.7]:25",
        "reply": "250 2.6.0 Queued mail for delivery",
        "tls": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "duration_ms": 84,
    }
    lines = timeline(
        story(
            Event(AT + timedelta(seconds=61), EventKind.DELIVERED, ID, 1, detail),
            Event(
                AT,
                EventKind.ACCEPTED,
                ID,
                None,
                {
                    "peer": "192.0.2.1",
                    "principal": "inbound_connector:printers",
                    "size": 4096,
                    "routes": ["all -> m365 (only connector)"],
                    "repairs": ["Date was missing; the time of acceptance was added."],
                },
            ),
            Event(
                AT + timedelta(seconds=1),
                EventKind.DEFERRED,
                ID,
                1,
                {"reply": "451 4.7.0 later", "next_at": "2026-11-21T18:08:57+00:00", "connector": "m365"},
            ),
        )
    )
    assert [(line.recipient, line.headline) for line in lines] == [
        ("", "Accepted from inbound_connector:printers at 192.0.2.1"),
        ("c@example.net", "Not delivered yet, next attempt 2026-11-21 18:08:57 UTC"),
        ("c@example.net", "Delivered to mx.example.net [198.51.100.7]:25 (m365), 61 s after acceptance"),
    ]
    assert lines[0].details == (
        "route: all -> m365 (only connector)",
        "repaired: Date was missing; the time of acceptance was added.",
        "size: 4096 octets",
    )
    assert lines[1].details == ("said: 451 4.7.0 later", "connector: m365")
    assert lines[2].details == (
        "said: 250 2.6.0 Queued mail for delivery",
        "TLS: TLSv1.3 TLS_AES_256_GCM_SHA384",
        "took: 84 ms",
    )


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_has_words_and_shows_every_field(kind: EventKind) -> None:
    detail: dict[str, str | int | float | bool | list[str] | None] = {
        key: f"<{key}>"
        for key in ("reply", "reason", "remote", "connector", "by", "notice", "peer", "principal", "tls", "cipher")
    }
    detail |= {"never_seen_before": ["<one>", "<two>"], "next_at": "<next_at>", "empty": None}
    line = describe_event(Event(AT, kind, ID, 0, detail), ["b@example.net"])
    assert "no words" not in line.headline
    assert line.recipient == "b@example.net"
    for key, value in detail.items():
        for each in value if isinstance(value, list) else [value]:
            assert each is None or str(each) in line.text, key


def test_an_event_at_the_door_has_no_recipient() -> None:
    line = describe_event(
        Event(AT, EventKind.REFUSED, detail={"stage": "RCPT", "peer": "192.0.2.1", "reply": "550 no"})
    )
    assert line.text == "Refused at RCPT from 192.0.2.1; said: 550 no"


def test_a_recipient_that_the_envelope_does_not_have_is_left_out() -> None:
    assert describe_event(Event(AT, EventKind.DELIVERED, ID, 7), ["b@example.net"]).recipient == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (11.6, "12 s"), (150, "2 min"), (7500, "2 h 5 min"), (-3, "0.0 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert show_duration(timedelta(seconds=seconds)) == text
