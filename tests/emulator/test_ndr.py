"""What fails after acceptance: who is told, in which shape, and that the others get the message."""

import email
import email.policy
from datetime import timedelta
from email.message import EmailMessage

import pytest
from tests.emulator.mx_talk import OFFICE, MxTalk
from tests.emulator.talk import logged_on

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.mailbox import Record

RELAY = "relay@contoso.example"
CONTENT = b"From: relay@contoso.example\r\nSubject: Scan 7\r\nMessage-ID: <m@example>\r\n\r\nHello\r\n"


def submit(emulator: Emulator, *recipients: str, content: bytes = CONTENT, sender: str = RELAY) -> None:
    assert logged_on(emulator).submit(content, sender, recipients).startswith("250 2.0.0 OK ")


def inbox(emulator: Emulator, mailbox: str = RELAY) -> list[Record]:
    return emulator.store.messages(mailbox)


def parsed(emulator: Emulator, record: Record) -> EmailMessage:
    message = email.message_from_bytes(emulator.content(record), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def diagnostics(emulator: Emulator) -> list[str]:
    """Return the diagnostic texts in the latest report to the relay's mailbox."""
    report = inbox(emulator)[0]
    lines = emulator.content(report).decode().split("\r\n")
    return [line.removeprefix("Diagnostic-Code: smtp;") for line in lines if line.startswith("Diagnostic-Code: ")]


def test_an_unknown_recipient_is_reported_and_the_others_get_the_message(emulator: Emulator) -> None:
    submit(emulator, "nobody@contoso.example", "alice@contoso.example", "x@example.net")
    report, record = emulator.store.messages()
    assert record.folders == ["undeliverable", "alice@contoso.example", "external", "relay@contoso.example/sent"]
    assert (report.envelope_from, report.envelope_to, report.folders) == ("", [RELAY], [RELAY])
    rows = {row.recipient: (row.status, row.detail) for row in emulator.post.trace}
    assert rows == {
        "nobody@contoso.example": (
            "Failed",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        ),
        "alice@contoso.example": ("Delivered", ""),
        "x@example.net": ("Delivered", ""),
        RELAY: ("Delivered", ""),
    }
    assert emulator.control.report()["failed_by_status"] == {"5.1.10": 1}


def test_the_report_has_microsoft_s_shape(emulator: Emulator) -> None:
    submit(emulator, "nobody@contoso.example")
    message = parsed(emulator, inbox(emulator)[0])
    assert message["From"] == "Microsoft Outlook <postmaster@contoso.example>"
    assert message["Subject"] == "Undeliverable: Scan 7"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["X-MS-Exchange-Message-Is-Ndr"] == ""
    assert message["Content-Language"] == "en-US"
    assert message["In-Reply-To"] == message["References"] == "<m@example>"
    assert message["Return-Path"] == "<>"
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    human, status, original = message.iter_parts()
    assert human.get_content_type() == "multipart/alternative"
    assert human.get_param("differences") == "Content-Type"
    assert [part.get_content_type() for part in human.iter_parts()] == ["text/plain", "text/html"]
    assert (status.get_content_type(), original.get_content_type()) == ("message/delivery-status", "message/rfc822")
    assert original.get_content()["Subject"] == "Scan 7"


def test_the_delivery_status_is_exchange_s_to_the_byte(emulator: Emulator) -> None:
    submit(emulator, "nobody@contoso.example")
    content = emulator.content(inbox(emulator)[0])
    expected = (
        b"Content-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns;FR2DEU01FT042.mail.protection.outlook.com\r\n"
        b"Received-From-MTA: dns;FR0P281MB0042.DEUP281.PROD.OUTLOOK.COM\r\n"
        b"Arrival-Date: Sun, 23 Nov 2025 12:00:00 +0000\r\n\r\n"
        b"Final-Recipient: rfc822;nobody@contoso.example\r\n"
        b"Action: failed\r\n"
        b"Status: 5.1.10\r\n"
        b"Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; "
        b"Recipient not found by SMTP address lookup\r\n"
        b"X-Display-Name: nobody@contoso.example\r\n"
    )
    assert expected in content
    assert CONTENT in content


def test_people_find_the_blocks_in_their_order(emulator: Emulator) -> None:
    submit(emulator, "nobody@contoso.example")
    human = next(parsed(emulator, inbox(emulator)[0]).iter_parts())
    text = next(human.iter_parts()).get_content()
    wanted = [
        "Your message to nobody@contoso.example couldn't be delivered.",
        "Unknown To address",
        "How to Fix It",
        "More Info for Email Admins",
        "Status code: 550 5.1.10",
        "Original Message Details",
        "Created Date:      11/23/2025 12:00:00 PM",
        "Error Details",
        "Reported error:    550 5.1.10 RESOLVER.ADR.RecipientNotFound;",
        "DSN generated by:  FR2DEU01FT042.mail.protection.outlook.com",
        "Message Hops",
        "Original Message Headers",
        "message-id: <m@example>",
    ]
    places = [text.find(line) for line in wanted]
    assert -1 not in places and places == sorted(places)


@pytest.mark.parametrize(
    ("patch", "recipient", "diagnostic"),
    [
        (
            {"mailboxes": {"bob@contoso.example": {"full": True}}},
            "bob@contoso.example",
            "550 5.2.2 STOREDRV.Deliver: mailbox full. ",
        ),
        (
            {"mailboxes": {"bob@contoso.example": {"receive_octets": 50}}},
            "bob@contoso.example",
            "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient",
        ),
        (
            {"limits": {"mailbox_receive_octets": 50}},
            "bob@contoso.example",
            "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient",
        ),
        (
            {"switches": {"sending_blocked": True}},
            "x@example.net",
            "550 5.7.705 Access denied, tenant has exceeded threshold",
        ),
        (
            {"outside": {"gone.example": {"exists": False}}},
            "x@gone.example",
            "550 5.4.310 DNS domain gone.example does not exist",
        ),
        (
            {"outside": {"strict.example": {"accepts": False}}},
            "x@strict.example",
            "550 5.1.351 Remote server returned unknown recipient or mailbox unavailable "
            "-> 550 5.1.1 <x@strict.example>... User Unknown",
        ),
    ],
)
def test_each_cause_has_its_diagnostic(
    emulator: Emulator, patch: dict[str, object], recipient: str, diagnostic: str
) -> None:
    emulator.control.patch(patch)
    submit(emulator, recipient, "alice@contoso.example" if "limits" not in patch else "x@example.net")
    (found,) = diagnostics(emulator)
    assert found.startswith(diagnostic)
    assert len(emulator.store.messages("undeliverable")) == 1


def test_one_blocked_recipient_blocks_the_whole_message(emulator: Emulator) -> None:
    emulator.control.patch({"blocked_recipients": ["x@example.net", "spam.example"]})
    submit(emulator, "X@example.net", "y@example.net", "z@spam.example", "alice@contoso.example")
    assert (
        diagnostics(emulator)
        == [
            "550 5.7.703 Your message can't be delivered because messages to X@example.net, z@spam.example are blocked "
            "by your organization using Tenant Allow Block List."
        ]
        * 4
    )
    assert inbox(emulator, "alice@contoso.example") == []


def test_another_server_s_refusal_names_that_server(emulator: Emulator) -> None:
    emulator.control.patch({"outside": {"strict.example": {"accepts": False}}})
    submit(emulator, "x@strict.example")
    assert b"Remote-MTA: dns;mx.strict.example\r\n" in emulator.content(inbox(emulator)[0])


def test_several_failures_of_one_message_stand_in_one_report(emulator: Emulator) -> None:
    submit(emulator, "one@contoso.example", "two@contoso.example")
    assert len(inbox(emulator)) == 1
    assert len(diagnostics(emulator)) == 2


def test_a_mailbox_for_members_takes_no_mail_from_outside(emulator: Emulator) -> None:
    emulator.control.patch(
        {
            "mailboxes": {"bob@contoso.example": {"members_only": True}},
            "connectors": {"office": {"sender_ip_addresses": [OFFICE]}},
        }
    )
    submit(emulator, "bob@contoso.example")
    MxTalk(emulator, OFFICE).deliver(RELAY, ("bob@contoso.example",))
    assert diagnostics(emulator)[0].startswith("550 5.7.134 RESOLVER.RST.SenderNotAuthenticatedForMailbox; ")
    emulator.control.patch({"connectors": {"office": {"treat_messages_as_internal": True}}})
    MxTalk(emulator, OFFICE).deliver(RELAY, ("bob@contoso.example",))
    assert len(inbox(emulator, "bob@contoso.example")) == 2


def test_messages_received_in_an_hour_are_counted_in_a_window_that_slides(
    emulator: Emulator, clock: ManualClock
) -> None:
    emulator.control.patch({"limits": {"received_per_hour": 2}})
    for _ in range(3):
        submit(emulator, "bob@contoso.example")
    assert len(inbox(emulator, "bob@contoso.example")) == 2
    assert diagnostics(emulator) == ["550 5.2.122 Recipient's per hour message receive limit exceeded"]
    clock.advance(timedelta(hours=1))
    submit(emulator, "bob@contoso.example")
    assert len(inbox(emulator, "bob@contoso.example")) == 3


def test_one_sender_s_share_of_an_hour_can_be_limited(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"received_per_hour_from_one_sender": 1}})
    for _ in range(2):
        submit(emulator, "bob@contoso.example")
    assert diagnostics(emulator)[0].startswith("550 5.2.121 Recipient's per hour message receive limit from specific")
    MxTalk(emulator).deliver(recipients=("bob@contoso.example",))
    assert len(inbox(emulator, "bob@contoso.example")) == 2


@pytest.mark.parametrize(("trial", "code"), [(False, "5.7.233"), (True, "5.7.232")])
def test_the_tenant_s_external_recipients_of_a_day_are_limited(
    emulator: Emulator, clock: ManualClock, trial: bool, code: str
) -> None:
    emulator.control.patch({"trial": trial, "limits": {"external_recipients_per_day": 3}})
    submit(emulator, "a@example.net", "b@example.net")
    submit(emulator, "c@example.net", "d@example.net", "alice@contoso.example")
    assert all(
        text.startswith(f"550 {code} - Your message can't be sent because your t") for text in diagnostics(emulator)
    )
    assert len(diagnostics(emulator)) == 2
    assert len(inbox(emulator, "alice@contoso.example")) == 1
    submit(emulator, "c@example.net")
    clock.advance(timedelta(hours=24))
    submit(emulator, "e@example.net", "f@example.net", "g@example.net")
    assert len(emulator.store.messages("external")) == 3


def test_relayed_mail_counts_for_the_tenant_and_mail_from_outside_does_not(emulator: Emulator) -> None:
    emulator.control.patch(
        {
            "limits": {"external_recipients_per_day": 1},
            "connectors": {"office": {"sender_ip_addresses": [OFFICE]}},
        }
    )
    MxTalk(emulator).deliver()
    MxTalk(emulator, OFFICE).deliver(RELAY, ("a@example.net",))
    MxTalk(emulator, OFFICE).deliver(RELAY, ("b@example.net",))
    assert diagnostics(emulator)[0].startswith("550 5.7.233 ")


def test_senders_in_the_initial_domain_reach_a_hundred_outside_recipients_a_day(emulator: Emulator) -> None:
    initial = "contoso.onmicrosoft.example"
    emulator.control.patch(
        {
            "initial_domain": initial,
            "limits": {"initial_domain_external_per_day": 1},
            "mailboxes": {RELAY: {"aliases": [f"relay@{initial}"]}},
        }
    )
    for recipient in ("a@example.net", "b@example.net"):
        submit(emulator, recipient, sender=f"relay@{initial}")
    assert diagnostics(emulator)[0].startswith("550 5.7.236 - ")
    submit(emulator, "c@example.net")
    assert len(emulator.store.messages("external")) == 2


def test_too_many_recipients_can_be_reported_instead_of_refused(emulator: Emulator) -> None:
    emulator.control.patch({"assumptions": {"too_many_recipients": "report"}, "limits": {"recipients_per_message": 1}})
    submit(emulator, "alice@contoso.example", "bob@contoso.example")
    assert diagnostics(emulator) == ["550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients"] * 2
    assert inbox(emulator, "alice@contoso.example") == []


@pytest.mark.parametrize(
    ("why", "queued", "expired"),
    [
        ("dns", "450 4.4.312 DNS query failed", "550 5.4.312 Message expired, DNS query failed"),
        ("timeout", "450 4.4.315 Connection timed out", "550 5.4.315 Message expired, connection timed out"),
        (
            "refused",
            "450 4.4.316 Connection refused [Message=Socket error code 10061]",
            "550 5.4.316 Message expired, connection refused",
        ),
        (
            "untrusted-root",
            "450 4.4.317 Cannot connect to remote server [Message=UntrustedRoot]",
            "550 5.4.317 Message expired, cannot connect to remote server",
        ),
        (
            "reset",
            "450 4.4.318 Connection was closed abruptly (SuspiciousRemoteServerError)",
            "550 5.4.318 Message expired, connection reset (SuspiciousRemoteServerError)",
        ),
        (
            "mta-sts",
            "450 4.4.8 MX hosts of away.example failed MTA-STS validation",
            "550 5.4.8 MX hosts of away.example failed MTA-STS validation",
        ),
        (
            "starttls",
            "450 4.7.321 starttls-not-supported: Destination mail server must support TLS to receive mail.",
            "550 5.7.321 starttls-not-supported: Destination mail server must support TLS to receive mail.",
        ),
    ],
)
def test_what_cannot_be_delivered_waits_and_expires(
    emulator: Emulator, clock: ManualClock, why: str, queued: str, expired: str
) -> None:
    emulator.control.patch({"outside": {"away.example": {"unreachable": why}}})
    submit(emulator, "x@away.example")
    (row,) = emulator.post.trace
    assert (row.status, row.detail) == ("Pending", queued)
    clock.advance(timedelta(hours=23, minutes=59))
    assert [record.subject for record in inbox(emulator)] == ["Delivery delayed: Scan 7"]
    clock.advance(timedelta(minutes=1))
    assert diagnostics(emulator) == [expired]
    assert emulator.post.trace[0].status == "Failed"


def test_what_waits_is_delivered_when_the_other_side_is_back(emulator: Emulator, clock: ManualClock) -> None:
    emulator.control.patch({"outside": {"away.example": {"unreachable": "timeout"}}})
    submit(emulator, "x@away.example", "alice@contoso.example")
    assert emulator.store.messages("external") == []
    emulator.control.patch({"outside": {"away.example": {"unreachable": ""}}})
    clock.advance(timedelta(minutes=15))
    (record,) = emulator.store.messages("external")
    assert (record.envelope_to, emulator.content(record)) == (["x@away.example"], CONTENT)
    assert [row.status for row in emulator.post.trace] == ["Delivered", "Delivered"]
    clock.advance(timedelta(days=2))
    assert len(emulator.store.messages("external")) == 1 and inbox(emulator) == []


def test_a_sender_is_told_once_that_a_message_is_late(emulator: Emulator, clock: ManualClock) -> None:
    emulator.control.patch({"outside": {"away.example": {"unreachable": "timeout"}}})
    submit(emulator, "x@away.example")
    clock.advance(timedelta(hours=3, minutes=59))
    assert inbox(emulator) == []
    clock.advance(timedelta(hours=16))
    (report,) = inbox(emulator)
    message, content = parsed(emulator, report), emulator.content(report)
    assert message["Subject"] == "Delivery delayed: Scan 7"
    assert message["X-MS-Exchange-Message-Is-Ndr"] is None
    for line in (
        b"Action: delayed",
        b"Status: 4.4.7",
        b"Diagnostic-Code: smtp;400 4.4.7 Message delayed",
        b"Will-Retry-Until: Mon, 24 Nov 2025 12:00:00 +0000",
    ):
        assert line + b"\r\n" in content
    assert [row.status for row in emulator.post.trace] == ["Pending", "Delivered"]


def test_nobody_is_told_of_a_report_that_fails_or_by_request(emulator: Emulator) -> None:
    submit(emulator, "nobody@contoso.example", sender="")
    talk = logged_on(emulator)
    talk.say(f"MAIL FROM:<{RELAY}>")
    talk.say("RCPT TO:<nobody@contoso.example> NOTIFY=NEVER")
    talk.say("DATA")
    talk.send(CONTENT + b".\r\n")
    assert inbox(emulator) == []
    assert len(emulator.store.messages("undeliverable")) == 2


def test_dsn_parameters_of_the_client_come_back_in_the_report(emulator: Emulator) -> None:
    talk = logged_on(emulator)
    talk.say(f"MAIL FROM:<{RELAY}> RET=HDRS ENVID=QQ314159")
    talk.say("RCPT TO:<nobody@contoso.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;no+2Bbody@contoso.example")
    talk.say("DATA")
    talk.send(CONTENT + b".\r\n")
    content = emulator.content(inbox(emulator)[0])
    assert b"Original-Envelope-Id: QQ314159\r\n" in content
    assert b"Original-Recipient: rfc822;no+2Bbody@contoso.example\r\n" in content
    assert b"Subject: Scan 7\r\n" in content and b"\r\nHello\r\n" not in content


def test_hostile_subjects_and_ids_stay_on_their_lines(emulator: Emulator) -> None:
    content = (
        b"From: relay@contoso.example\r\nSubject: =?utf-8?q?a=0D=0ABcc:_victim@example.net?= <b>\xff\r\n"
        b"Message-ID: <a\rX-Evil: 1@b>\r\n\r\nHello\r\n"
    )
    submit(emulator, "nobody@contoso.example", content=content)
    message = parsed(emulator, inbox(emulator)[0])
    assert message["Bcc"] is None and message["X-Evil"] is None
    assert message.get_content_type() == "multipart/report"
    assert b"<b>" not in emulator.content(inbox(emulator)[0]).split(b"text/html")[1].split(b"message/delivery")[0]


def test_a_full_sender_is_not_told_and_a_stranger_is_not_written_to(emulator: Emulator) -> None:
    emulator.control.patch({"internal_relay_domains": ["contoso.example"]})
    emulator.control.patch(
        {"mailboxes": {"bob@contoso.example": {"full": True}, "alice@contoso.example": {"full": True}}}
    )
    MxTalk(emulator).deliver("bob@contoso.example", ("alice@contoso.example",))
    MxTalk(emulator).deliver("someone@elsewhere.example", ("alice@contoso.example",))
    assert [record.folders for record in emulator.store.messages()] == [["undeliverable"]] * 2
