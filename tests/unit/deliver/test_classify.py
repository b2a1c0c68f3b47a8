"""The table that says what replies mean."""

from __future__ import annotations

from datetime import timedelta

import pytest

from posthouse.deliver.classify import (
    RULES,
    classify,
    classify_lookup,
    classify_session,
    find_rule,
    may_try_elsewhere,
    may_try_next_address,
)
from posthouse.deliver.failure import LookupTrouble, SessionFailure, Unroutable
from posthouse.mail.outcome import Deferred, Delivered, Failed, Outcome, Scope, Unknown
from posthouse.mail.reply import Reply
from posthouse.wire.smtp.client_events import Answer, CannotSend, NoAnswer, Stage
from posthouse.wire.smtp.reply_parser import ReplyParser

MAIL, RCPT, DATA, CONTENT, AUTH = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT, Stage.AUTH
HOP, MAILBOX, MESSAGE, RECIPIENT = Scope.HOP, Scope.MAILBOX, Scope.MESSAGE, Scope.RECIPIENT


def reply(text: str) -> Reply:
    parser = ReplyParser()
    parser.feed(text.encode() + b"\r\n")
    parsed = parser.next_reply()
    assert parsed is not None
    return parsed


def outcome(stage: Stage, text: str) -> Outcome:
    return classify(Answer(stage, reply(text)), on_unknown="retry")


WAITS = [
    (RCPT, "450 4.2.0 Greylisted", RECIPIENT, None),
    (RCPT, "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS761)", HOP, 5),
    (RCPT, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", HOP, 5),
    (RCPT, "450 4.7.26 Access denied, a message sent over IPv6", RECIPIENT, None),
    (RCPT, "452 4.5.3 Too many recipients", MESSAGE, None),
    (RCPT, "552 Too many recipients", MESSAGE, None),
    (RCPT, "421 4.3.2 Service not available", HOP, None),
    (MAIL, "530 5.7.57 Client not authenticated to send mail. [host]", HOP, 15),
    (
        MAIL,
        "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful",
        MAILBOX,
        60,
    ),
    (
        MAIL,
        "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, account "
        "locked. Contact your administrator. [host]",
        MAILBOX,
        60,
    ),
    (MAIL, "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM [host]", HOP, 15),
    (MAIL, "530 5.7.0 Must issue a STARTTLS command first", HOP, 15),
    (MAIL, "451 5.7.3 STARTTLS is required to send mail", HOP, 15),
    (MAIL, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", MAILBOX, 1),
    (MAIL, "421 4.7.66 TLS 1.0 and 1.1 are not supported.", HOP, 60),
    (MAIL, "451 4.3.2 System not accepting network messages", HOP, None),
    (MAIL, "451 4.7.1 Greylisted", MESSAGE, None),
    (MAIL, "503 5.5.2 Send hello first", MESSAGE, None),
    (MAIL, "500 5.5.1 Command unrecognized", MESSAGE, None),
    (DATA, "451 4.4.0 Message failed to be made redundant", MESSAGE, None),
    (DATA, "503 5.5.1 Bad sequence of commands", MESSAGE, None),
    (CONTENT, "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", MAILBOX, 1),
    (CONTENT, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", MAILBOX, 1),
    (CONTENT, "432 4.7.12 A password transition is needed", MAILBOX, 1),
    (CONTENT, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException.Mapi", MAILBOX, 60),
    (CONTENT, "550 5.2.2 Submission quota exceeded", MAILBOX, 60),
    (
        CONTENT,
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
        MAILBOX,
        60,
    ),
    (CONTENT, "550 5.1.8 Access denied, bad outbound sender AS(42004)", MAILBOX, 60),
    (CONTENT, "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message", MAILBOX, 60),
    (CONTENT, "554 5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com; STOREDRV", MESSAGE, 60),
    (CONTENT, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", MESSAGE, 60),
    (
        MAIL,
        "550 5.7.233 - Your message can't be sent because your tenant has exceeded its daily limit for sending "
        "email to external recipients",
        HOP,
        60,
    ),
    (MAIL, "550 5.7.705 Access denied, tenant has exceeded threshold", HOP, 60),
    (MAIL, "550 5.7.708 Access denied, traffic not accepted from this IP", HOP, 60),
    (MAIL, "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains", HOP, 60),
    (RCPT, "550 5.7.64 TenantAttribution; Relay Access Denied [host]", HOP, 15),
    (RCPT, "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization", HOP, 30),
    (RCPT, "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched", HOP, 30),
    (RCPT, "550 5.7.711 Access denied, bad inbound connector. AS(2204)", HOP, 60),
    (CONTENT, "451 4.4.28 Message failed to be replicated: the operation was canceled", MESSAGE, None),
    (CONTENT, "452 4.3.1 Insufficient system resources", HOP, None),
    (CONTENT, "499 whatever this may mean", MESSAGE, None),
]


@pytest.mark.parametrize(("stage", "text", "scope", "minutes"), WAITS, ids=[text[:45] for _, text, _, _ in WAITS])
def test_replies_after_which_mail_waits(stage: Stage, text: str, scope: Scope, minutes: int | None) -> None:
    result = outcome(stage, text)
    assert isinstance(result, Deferred)
    assert result.scope is scope
    assert result.retry_after == (timedelta(minutes=minutes) if minutes else None)
    assert result.reason and result.reply == reply(text)


FAILS = [
    (RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", "5.1.10"),
    (RCPT, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [host]", "5.4.1"),
    (RCPT, "550 No such user", "5.1.0"),
    (RCPT, "552 5.2.2 Mailbox full", "5.2.2"),
    (RCPT, "501 5.1.3 Invalid address", "5.1.3"),
    (MAIL, "550 5.7.1 Access denied", "5.7.1"),
    (CONTENT, "554 5.4.14 Hop count exceeded - possible mail loop ATTR34 [host]", "5.4.14"),
    (CONTENT, "500 5.4.6 Routing Loop Detected", "5.4.6"),
    (CONTENT, "550 4.4.7 an odd pair of codes", "5.0.0"),
    (DATA, "554 no", "5.3.0"),
]


@pytest.mark.parametrize(("stage", "text", "status"), FAILS, ids=[text[:45] for _, text, _ in FAILS])
def test_replies_that_are_final(stage: Stage, text: str, status: str) -> None:
    result = outcome(stage, text)
    assert isinstance(result, Failed)
    assert result.status == status
    assert not may_try_elsewhere(result)


def test_only_the_answer_to_the_content_delivers() -> None:
    delivered = classify(Answer(CONTENT, reply("250 2.0.0 OK")), on_unknown="retry", relayed_dsn=True)
    assert delivered == Delivered(reply=reply("250 2.0.0 OK"), relayed_dsn=True)


ONLY_THIS_WAY = [
    (RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "5.7.606"),
    (MAIL, "552 5.3.4 Message size exceeds fixed maximum message size", "5.3.4"),
    (RCPT, "550 5.5.105 External sending is not supported for High Volume Email accounts", "5.5.105"),
    (RCPT, "550 5.7.1 Unable to relay", "5.7.1"),
]


@pytest.mark.parametrize(("stage", "text", "status"), ONLY_THIS_WAY, ids=[text[:45] for _, text, _ in ONLY_THIS_WAY])
def test_replies_that_are_final_for_one_way_to_send(stage: Stage, text: str, status: str) -> None:
    result = outcome(stage, text)
    assert isinstance(result, Failed)
    assert result.status == status
    assert may_try_elsewhere(result) and not may_try_next_address(result)


def test_a_missing_right_to_send_waits_and_may_go_another_way_but_not_to_the_next_address() -> None:
    denied = outcome(CONTENT, "554 5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com; STOREDRV")
    assert may_try_elsewhere(denied) and not may_try_next_address(denied)


def test_a_sentence_of_the_catalogue_never_makes_a_4xx_final() -> None:
    result = outcome(RCPT, "450 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup")
    assert isinstance(result, Deferred) and result.explanation_id == "recipient-not-found"


@pytest.mark.parametrize(
    "text",
    [
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
        "535 5.7.3 Authentication unsuccessful [host]",
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        "454 4.7.0 Temporary authentication failure",
        "430 4.2.0 STOREDRV; mailbox logon failure",
        "535 no",
    ],
)
def test_a_refused_login_concerns_the_identity_and_nobodys_mail_bounces(text: str) -> None:
    result = classify_session(SessionFailure(AUTH, "", reply(text)))
    assert result.scope is MAILBOX
    assert may_try_elsewhere(result) and not may_try_next_address(result)


def test_a_login_mechanism_that_is_not_offered_concerns_the_connector() -> None:
    assert classify_session(SessionFailure(AUTH, "", reply("504 5.7.4 Unrecognized authentication type"))).scope is HOP


@pytest.mark.parametrize(
    ("sentence", "needs_operator"),
    [
        ("the user credentials were incorrect.", True),
        ("account locked. Contact your administrator.", True),
        ("account has an issue. Contact your administrator.", True),
        ("user password has expired.", True),
        ("SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", False),
        ("user is locked by your organization's security defaults policy. Contact your administrator.", False),
        ("the request did not meet the criteria to be authenticated successfully.", False),
    ],
)
def test_a_login_that_would_do_harm_is_not_tried_again_before_a_person_acted(
    sentence: str, needs_operator: bool
) -> None:
    text = f"535 5.7.139 Authentication unsuccessful, {sentence} [host]"
    result = classify_session(SessionFailure(AUTH, "", reply(text)))
    assert result.needs_operator is needs_operator
    assert result.retry_after == timedelta(hours=1)


def test_an_identity_without_a_token_rests_alone_for_as_long_as_the_authority_says() -> None:
    minutes = timedelta(minutes=7)
    failure = SessionFailure(
        AUTH, "no token", is_ours=True, account="identity", needs_operator=True, retry_after=minutes
    )
    result = classify_session(failure)
    assert (result.scope, result.needs_operator, result.retry_after) == (MAILBOX, True, minutes)


def test_a_token_that_the_authority_refuses_is_explained() -> None:
    cause = "no token: invalid_client: AADSTS7000222: The provided client secret keys for app 'x' are expired."
    result = classify_session(SessionFailure(AUTH, cause, is_ours=True))
    assert result.explanation_id == "entra-secret-expired" and result.needs_operator and cause in result.reason


def test_a_locked_account_is_left_alone_for_an_hour() -> None:
    text = "535 5.7.139 Authentication unsuccessful, account locked. Contact your administrator."
    assert classify_session(SessionFailure(AUTH, "", reply(text))).retry_after == timedelta(hours=1)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("text", ["550 5.7.1 no", "450 4.7.1 later", "421 4.3.2 closing"])
def test_whatever_happens_before_a_transaction_is_never_final(stage: Stage, text: str) -> None:
    assert classify_session(SessionFailure(stage, "", reply(text))).scope is HOP
    assert classify_session(SessionFailure(stage, "the reason")).reason.endswith("the reason")


@pytest.mark.parametrize("stage", list(Stage))
def test_a_lost_connection_is_temporary_or_unknown_and_never_final(stage: Stage) -> None:
    lost = classify(NoAnswer(stage, "gone", False), on_unknown="hold")
    assert isinstance(lost, Deferred) and lost.is_glitch and may_try_elsewhere(lost)
    unknown = classify(NoAnswer(stage, "gone", True), on_unknown="hold")
    assert isinstance(unknown, Unknown) and not unknown.retry
    assert not may_try_elsewhere(unknown)


def test_what_cannot_be_sent_is_final() -> None:
    assert classify(CannotSend("5.6.7", "why"), on_unknown="retry") == Failed(status="5.6.7", reason="why")


def test_dns() -> None:
    assert classify_lookup(Unroutable("5.1.2", "none")) == Failed(status="5.1.2", reason="none")
    trouble = classify_lookup(LookupTrouble("slow"))
    assert isinstance(trouble, Deferred) and trouble.scope is HOP and trouble.is_glitch


def test_the_dump_of_a_microsoft_reply_is_left_out_of_the_bounce() -> None:
    text = "554 5.2.252 SendAsDenied; a [BeginDiagnosticData]1.84300:0A000000[EndDiagnosticData] [Hostname=x]"
    result = outcome(CONTENT, text)
    assert isinstance(result, Deferred) and result.reply is not None
    assert result.reply.text == "SendAsDenied; a"


def test_every_row_says_why_and_can_be_reached() -> None:
    assert all(rule.reason and rule.stages for rule in RULES)
    sentences = {rule.reason for rule in RULES}
    assert all(not sentence.endswith(".") for sentence in sentences)
    assert find_rule(RCPT, reply("550 5.1.1 unknown")) is None
