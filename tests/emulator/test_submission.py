"""What is decided at the end of DATA: senders' rights, limits, and where a message goes."""

from datetime import timedelta

import pytest
from tests.emulator.talk import CLIENT_ID, Talk, logged_on, logged_on_by_token

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.faults import Fault, Stage
from m365emu.smtp.session import Want

HOST = "[Hostname=FR0P281MB0042.DEUP281.PROD.OUTLOOK.COM]"
ACCEPTED = f"250 2.0.0 OK <m@example> {HOST}"
TOO_MANY_AT_ONCE = (
    "432 4.3.2 Concurrent connections limit exceeded. "
    f"Visit https://aka.ms/concurrent_sending for more information. {HOST}"
)


def message(*fields: str) -> bytes:
    return "".join(f"{field}\r\n" for field in (*fields, "Message-ID: <m@example>", "", "Hello")).encode()


def folders(emulator: Emulator) -> list[list[str]]:
    return [record.folders for record in emulator.store.messages()]


def test_a_sender_that_is_not_the_mailbox_is_refused_in_one_long_line(emulator: Emulator) -> None:
    reply = logged_on(emulator).submit(message("From: alice@contoso.example"))
    assert reply.startswith(
        "554 5.2.252 SendAsDenied; relay@contoso.example not allowed to send as alice@contoso.example; "
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; "
        "Failed to process message due to a permanent exception with message "
        "[BeginDiagnosticData]Cannot submit message. 1."
    )
    assert reply.endswith(f"[EndDiagnosticData] {HOST}")
    assert 1_950 < len(reply) <= 2_000
    assert emulator.store.messages() == []


@pytest.mark.parametrize(
    "fields",
    [
        ("From: alice@contoso.example",),
        ('From: "relay@contoso.example" <alice@contoso.example>',),
        ("From: relay@contoso.example", "Sender: alice@contoso.example"),
        ("From: relay@contoso.example, alice@contoso.example", "Sender: relay@contoso.example"),
        ("FROM :\r\n alice@contoso.example",),
        ("From: someone@elsewhere.example",),
        ("From: =?utf-8?q?Relay?= <alice@contoso.example>",),
    ],
)
def test_every_way_to_name_a_foreign_sender_is_refused(emulator: Emulator, fields: tuple[str, ...]) -> None:
    reply = logged_on(emulator).submit(message(*fields))
    assert reply.startswith("554 5.2.252 SendAsDenied; ")


@pytest.mark.parametrize(
    "field",
    [
        "From: relay@contoso.example",
        'From: "alice@contoso.example" <RELAY@Contoso.Example>',
        "From: Floor 2 <printer@contoso.example>",
        "Subject: no author at all",
    ],
)
def test_own_and_granted_senders_are_accepted(emulator: Emulator, field: str) -> None:
    assert logged_on(emulator).submit(message(field)) == ACCEPTED
    assert logged_on_by_token(emulator).submit(message(field)) == ACCEPTED


def test_the_envelope_sender_is_checked_as_well_and_the_null_sender_claims_nothing(emulator: Emulator) -> None:
    talk = logged_on(emulator)
    assert talk.submit(sender="alice@contoso.example").startswith("554 5.2.252 ")
    assert talk.submit(sender="") == ACCEPTED


def test_an_alias_of_the_mailbox_is_its_own_address(emulator: Emulator) -> None:
    talk = logged_on(emulator, "alice@contoso.example")
    assert talk.submit(message("From: alice.smith@contoso.example"), "alice@contoso.example") == ACCEPTED


def test_an_application_needs_the_right_itself_the_mailbox_s_right_does_not_help(emulator: Emulator) -> None:
    emulator.control.patch({"mailboxes": {"printer@contoso.example": {"send_as": ["relay@contoso.example"]}}})
    assert logged_on(emulator).submit(message("From: printer@contoso.example")) == ACCEPTED
    talk = logged_on_by_token(emulator)
    assert talk.submit(message("From: printer@contoso.example")).startswith("554 5.2.252 ")
    emulator.control.patch({"mailboxes": {"printer@contoso.example": {"send_as": [CLIENT_ID]}}})
    assert talk.submit(message("From: printer@contoso.example")) == ACCEPTED


def test_several_authors_need_a_sender(emulator: Emulator) -> None:
    talk = logged_on(emulator)
    both = "From: relay@contoso.example, printer@contoso.example"
    refusal = "550 5.1.20 Multiple From addresses are not allowed without Sender address"
    assert talk.submit(message(both)) == refusal
    assert talk.submit(message("From: relay@contoso.example", "From: alice@contoso.example")) == refusal
    assert talk.submit(message(both, "Sender: relay@contoso.example")) == ACCEPTED


def test_a_from_field_without_an_address_is_refused(emulator: Emulator) -> None:
    assert logged_on(emulator).submit(message("From: The printer")).startswith("550 5.7.512 Access denied, ")


def test_the_envelope_decides_who_gets_the_message_never_the_header(emulator: Emulator) -> None:
    content = message("From: relay@contoso.example", "To: bob@contoso.example", "Bcc: shared@contoso.example")
    recipients = (
        "Alice.Smith@contoso.example",
        "alice@contoso.example",
        "bob+tag@contoso.example",
        "who@contoso.example",
        "a@example.net",
        "b@example.net",
    )
    assert logged_on(emulator).submit(content, recipients=recipients) == ACCEPTED
    expected = [
        "alice@contoso.example",
        "bob@contoso.example",
        "undeliverable",
        "external",
        "relay@contoso.example/sent",
    ]
    report, record = emulator.store.messages()
    assert (report.folders, report.authentication) == (["relay@contoso.example"], "report")
    assert record.folders == expected
    assert record.envelope_to == list(recipients)
    assert emulator.content(record) == content


def test_a_message_without_an_id_gets_one_in_the_reply_but_its_octets_stay(emulator: Emulator) -> None:
    reply = logged_on(emulator).submit(b"\r\nonly a body\r\n")
    (record,) = emulator.store.messages()
    assert reply == f"250 2.0.0 OK {record.message_id} {HOST}"
    assert emulator.content(record) == b"\r\nonly a body\r\n"


def test_the_fourth_submission_at_once_is_refused_at_the_end_of_data_and_only_that(emulator: Emulator) -> None:
    talks = [logged_on(emulator) for _ in range(4)]
    for talk in talks:
        talk.begin()
    replies = [talk.send(message("From: relay@contoso.example") + b".\r\n") for talk in reversed(talks)]
    assert replies == [[TOO_MANY_AT_ONCE], [ACCEPTED], [ACCEPTED], [ACCEPTED]]
    report = emulator.control.report()
    assert report["concurrency_refusals"] == 1
    assert report["most_concurrent_by_mailbox"] == {"relay@contoso.example": 4}


def test_a_session_that_is_only_logged_on_takes_no_place(emulator: Emulator) -> None:
    idle = [logged_on(emulator) for _ in range(5)]
    assert logged_on(emulator).submit() == ACCEPTED
    assert all(talk.session.want is Want.READ for talk in idle)


@pytest.mark.parametrize("end", ["RSET", "EHLO", "QUIT", "lost"])
def test_a_transaction_that_ends_gives_its_place_back(emulator: Emulator, end: str) -> None:
    talks = [logged_on(emulator) for _ in range(3)]
    for talk in talks:
        talk.say("MAIL FROM:<relay@contoso.example>")
        if end == "lost":
            talk.session.lost()
        else:
            talk.send(f"{end}{' client.example' if end == 'EHLO' else ''}\r\n".encode())
    assert logged_on(emulator).submit() == ACCEPTED


def test_each_mailbox_has_its_own_places(emulator: Emulator) -> None:
    for _ in range(3):
        logged_on(emulator).say("MAIL FROM:<relay@contoso.example>")
    talk = logged_on(emulator, "alice@contoso.example")
    assert talk.submit(message("From: alice@contoso.example"), "alice@contoso.example") == ACCEPTED


def test_the_thirty_first_message_of_a_minute_is_held_back_until_there_is_room(
    emulator: Emulator, clock: ManualClock
) -> None:
    talk = logged_on(emulator)
    for _ in range(30):
        assert talk.submit() == ACCEPTED
        clock.advance(timedelta(seconds=1))
    talk.begin()
    assert talk.send(message("From: relay@contoso.example") + b".\r\nNOOP\r\n") == []
    assert talk.session.want is Want.WAIT
    assert talk.session.wait_until == clock.now() + timedelta(seconds=30)
    assert len(emulator.store.messages()) == 30
    talk.session.resume()
    assert talk.replies() == [ACCEPTED, "250 2.0.0 OK"]
    assert emulator.control.report()["delayed_by_mailbox"] == {"relay@contoso.example": 1}


def test_held_back_messages_get_moments_one_after_another(emulator: Emulator, clock: ManualClock) -> None:
    emulator.control.patch({"limits": {"messages_per_minute": 2}})
    talks = [logged_on(emulator) for _ in range(5)]
    for talk in talks:
        talk.submit()
    minutes = [(t.session.wait_until - clock.now()) if t.session.wait_until else timedelta() for t in talks]
    assert minutes == [timedelta(minutes=n) for n in (0, 0, 1, 1, 2)]


def test_beyond_the_minute_mail_can_be_rejected_instead(emulator: Emulator, clock: ManualClock) -> None:
    emulator.control.patch({"switches": {"excess_messages": "reject"}, "limits": {"messages_per_minute": 2}})
    talk = logged_on(emulator)
    assert [talk.submit(), talk.submit()] == [ACCEPTED, ACCEPTED]
    assert talk.say("MAIL FROM:<relay@contoso.example>") == (
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit"
    )
    assert talk.session.want is Want.CLOSE
    clock.advance(timedelta(minutes=1))
    assert logged_on(emulator).submit() == ACCEPTED


def test_recipients_of_a_day_are_counted_in_a_window_that_slides(emulator: Emulator, clock: ManualClock) -> None:
    emulator.control.patch({"limits": {"recipients_per_day": 3}})
    talk = logged_on(emulator)
    three = ("a@example.net", "b@example.net", "c@example.net")
    assert talk.submit(recipients=three) == ACCEPTED
    assert talk.submit().startswith(
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process"
    )
    clock.advance(timedelta(hours=24))
    assert talk.submit() == ACCEPTED


def test_too_many_recipients_in_one_message_are_turned_down_one_by_one(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"recipients_per_message": 2}})
    talk = logged_on(emulator)
    talk.say("MAIL FROM:<relay@contoso.example>")
    replies = [talk.say(f"RCPT TO:<{name}@example.net>") for name in "abc"]
    assert replies == ["250 2.1.5 Recipient OK"] * 2 + ["452 4.5.3 Too many recipients"]


def test_sizes_are_checked_against_the_service_the_mailbox_and_the_header(emulator: Emulator) -> None:
    emulator.control.patch({"limits": {"advertised_octets": 2_000, "mailbox_send_octets": 1_500, "header_octets": 200}})
    talk = logged_on(emulator)
    for body in (b"x" * 1_600, b"x" * 3_000):
        assert talk.submit(b"From: relay@contoso.example\r\n\r\n" + body + b"\r\n") == (
            "552 5.3.4 Message size exceeds fixed maximum message size"
        )
    long_header = b"From: relay@contoso.example\r\nX-Long: " + b"x" * 300 + b"\r\n\r\nHello\r\n"
    assert talk.submit(long_header) == "552 5.3.4 Header size exceeds fixed maximum size"
    assert talk.submit() == ACCEPTED


def test_a_full_or_restricted_mailbox_cannot_send(emulator: Emulator) -> None:
    emulator.control.patch({"mailboxes": {"relay@contoso.example": {"full": True}}})
    talk = logged_on(emulator)
    assert talk.submit().startswith("554 5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull ")
    emulator.control.patch({"mailboxes": {"relay@contoso.example": {"restricted": True}}})
    assert talk.submit() == "550 5.1.8 Access denied, bad outbound sender AS(42004)"


def test_the_mailbox_s_own_limits_count_before_the_organisation_s(emulator: Emulator) -> None:
    emulator.control.patch({"mailboxes": {"relay@contoso.example": {"send_octets": 60, "recipient_limit": 1}}})
    talk = logged_on(emulator)
    assert talk.submit() == "552 5.3.4 Message size exceeds fixed maximum message size"
    talk.say("MAIL FROM:<relay@contoso.example>")
    replies = [talk.say(f"RCPT TO:<{name}@example.net>") for name in "ab"]
    assert replies == ["250 2.1.5 Recipient OK", "452 4.5.3 Too many recipients"]
    emulator.control.patch({"mailboxes": {"relay@contoso.example": {"send_octets": 5_000}}})
    emulator.control.patch({"limits": {"mailbox_send_octets": 60}})
    assert logged_on(emulator).submit() == ACCEPTED


@pytest.mark.parametrize("verdict", ["RefuseQuota", "Suspend"])
def test_outbound_spam_control_names_its_verdict_twice(emulator: Emulator, verdict: str) -> None:
    emulator.control.patch({"mailboxes": {"relay@contoso.example": {"spam_verdict": verdict}}})
    sentence = f"WASCL UserAction verdict is not None. Actual verdict is {verdict}."
    assert logged_on(emulator).submit() == (
        "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent "
        f"exception with message [BeginDiagnosticData]{sentence} OutboundSpamException: {sentence}"
        f"[EndDiagnosticData] {HOST}"
    )


def test_a_foreign_sender_may_be_refused_in_the_older_words(emulator: Emulator) -> None:
    emulator.control.patch({"assumptions": {"send_as_refusal": "5.7.60"}})
    assert logged_on(emulator).submit(sender="alice@contoso.example") == (
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender"
    )


def test_a_message_in_parts_is_refused(emulator: Emulator) -> None:
    content = message("From: relay@contoso.example", "Content-Type: Message/Partial; id=1")
    assert logged_on(emulator).submit(content) == "554 5.6.1 Messages of type message/partial are not supported"


def test_bare_line_feeds_are_taken_as_they_are_or_refused_as_the_switch_says(emulator: Emulator) -> None:
    talk = logged_on(emulator)
    content = b"From: relay@contoso.example\nMessage-ID: <m@example>\r\n\r\nHel\nlo\r\n"
    assert talk.submit(content) == ACCEPTED
    (record,) = emulator.store.messages()
    assert record.bare_line_feeds and emulator.content(record) == content
    emulator.control.patch({"switches": {"bare_line_feeds": "refuse"}})
    assert talk.submit(content) == "554 5.6.0 Invalid message content, contains bare linefeeds"


@pytest.mark.parametrize("stage", ["hello", "auth", "mail", "rcpt", "data", "end-of-data"])
def test_a_fault_on_order_strikes_once_at_its_stage(emulator: Emulator, stage: Stage) -> None:
    talk = Talk(emulator).encrypt() if stage == "auth" else logged_on(emulator)
    lines = {
        "hello": "EHLO again.example",
        "auth": "AUTH LOGIN",
        "mail": "MAIL FROM:<relay@contoso.example>",
        "rcpt": "RCPT TO:<alice@contoso.example>",
        "data": "DATA",
        "end-of-data": "Hello\r\n.",
    }
    if stage in ("rcpt", "data", "end-of-data"):
        talk.say(lines["mail"])
    if stage in ("data", "end-of-data"):
        talk.say(lines["rcpt"])
    if stage == "end-of-data":
        talk.say("DATA")
    emulator.faults.order(Fault(stage=stage, reply="451 4.7.0 Temporary server error. Please try again later. PRX1"))
    assert talk.say(lines[stage]) == "451 4.7.0 Temporary server error. Please try again later. PRX1"
    if stage == "end-of-data":
        assert talk.submit() == ACCEPTED
    else:
        assert talk.send(lines[stage].encode() + b"\r\n")[0][:3] in ("250", "334", "354")
    assert emulator.control.report()["refused"] == {"fault": 1}


def test_a_fault_can_be_for_one_mailbox_and_for_several_times(emulator: Emulator) -> None:
    emulator.faults.order(
        Fault(stage="end-of-data", reply="451 4.3.0 Not now", count=2, mailbox="relay@contoso.example")
    )
    other = logged_on(emulator, "alice@contoso.example")
    assert other.submit(message("From: alice@contoso.example"), "alice@contoso.example") == ACCEPTED
    talk = logged_on(emulator)
    assert [talk.submit() for _ in range(3)] == ["451 4.3.0 Not now", "451 4.3.0 Not now", ACCEPTED]


def test_a_connection_can_be_dropped_after_the_message_was_kept(emulator: Emulator) -> None:
    emulator.faults.order(Fault(stage="end-of-data", keep=True))
    talk = logged_on(emulator)
    assert talk.submit() == ""
    assert talk.session.want is Want.CLOSE
    assert len(emulator.store.messages()) == 1


@pytest.mark.parametrize("reply", ["250 2.0.0 OK", "451", "451 4.3.0 two\r\nlines", "451-4.3.0 more", ""])
def test_a_fault_whose_reply_cannot_be_said_is_not_taken(emulator: Emulator, reply: str) -> None:
    with pytest.raises(ValueError, match="three digits"):
        emulator.faults.order(Fault(stage="mail", reply=reply))


def test_a_disk_that_takes_nothing_is_answered_for_now_and_the_session_goes_on(emulator: Emulator) -> None:
    talk = logged_on(emulator)
    aside = emulator.store.directory.rename(emulator.store.directory.with_name("aside"))
    assert talk.submit() == "452 4.3.1 Insufficient system resources"
    aside.rename(emulator.store.directory)
    assert talk.submit() == ACCEPTED


def test_secrets_appear_nowhere_in_the_transcript(emulator: Emulator) -> None:
    talk = Talk(emulator).encrypt()
    secrets = ["cGxhbnRlZC1wYXNzd29yZA==", "cGxhbnRlZC1wbGFpbg==", "cGxhbnRlZC1zdHJheQ=="]
    talk.say(f"AUTH PLAIN {secrets[1]}")
    talk.say(secrets[2])
    talk.say("AUTH LOGIN cmVsYXlAY29udG9zby5leGFtcGxl")
    talk.say(secrets[0])
    text = "\n".join(talk.session.transcript.lines())
    assert "C: AUTH PLAIN ****" in text and "C: ****" in text
    assert not [secret for secret in secrets if secret in text]
