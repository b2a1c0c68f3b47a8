"""What tokens entitle to: scoped roles, the right object id, people's tokens, High Volume Email, several tenants."""

import base64
from datetime import timedelta

import pytest
from tests.emulator.talk import CLIENT_ID, Talk, b64, bearer, logged_on, make_token

from m365emu.emulator import Emulator
from m365emu.smtp.session import Want
from m365emu.tokens import Subject

WELCOME = "235 2.7.0 Authentication successful"
RELAY = "relay@contoso.example"
HVE = "bulk@contoso.example"
CONTENT = b"From: bulk@contoso.example\r\nMessage-ID: <m@example>\r\n\r\nHello\r\n"


def log_on(emulator: Emulator, token: str, user: str = RELAY) -> tuple[Talk, str, str]:
    """Return the conversation, the reply, and what the transcript says of the reason."""
    talk = Talk(emulator).encrypt()
    reply = talk.say(f"AUTH XOAUTH2 {bearer(user, token)}")
    notes = [line for line in talk.session.transcript.lines() if line.startswith("-- ")]
    return talk, reply, notes[-1].removeprefix("-- ")


def users_token(emulator: Emulator, user: str, *scopes: str, client_id: str = CLIENT_ID) -> str:
    return emulator.tokens.make(
        client_id=client_id,
        application=emulator.tenant.applications[client_id],
        tenant_id=emulator.tenant.id,
        lifetime=timedelta(hours=1),
        subject=Subject(address=user, object_id="user-1", name="User"),
        scopes=scopes,
    )


def application(emulator: Emulator, **fields: object) -> None:
    emulator.control.patch({"applications": {CLIENT_ID: fields}})


SCOPED = [{"role": "Application SMTP.SendAsApp", "mailboxes": ["alice@contoso.example"]}]


def test_a_scoped_role_opens_its_mailboxes_without_a_claim(emulator: Emulator) -> None:
    application(emulator, roles=[], rbac=SCOPED)
    talk, reply, _ = log_on(emulator, make_token(emulator), "alice@contoso.example")
    assert reply == WELCOME
    content = b"From: alice@contoso.example\r\nMessage-ID: <m@example>\r\n\r\nHello\r\n"
    assert talk.submit(content, "alice@contoso.example").startswith("250 2.0.0 OK ")
    _, reply, note = log_on(emulator, make_token(emulator), "bob@contoso.example")
    assert reply.startswith("535 5.7.3 ") and note == "the mailbox is outside of the application's scope"


def test_a_scoped_role_without_a_scope_opens_every_mailbox_and_another_role_none(emulator: Emulator) -> None:
    application(emulator, roles=[], rbac=[{"role": "Application SMTP.SendAsApp"}])
    assert log_on(emulator, make_token(emulator), "bob@contoso.example")[1] == WELCOME
    application(emulator, roles=[], rbac=[{"role": "Application Mail.Send"}])
    assert log_on(emulator, make_token(emulator))[1].startswith("535 5.7.3 ")


def test_with_the_claim_the_mailbox_permission_counts_and_the_scope_does_not(emulator: Emulator) -> None:
    application(emulator, rbac=SCOPED)
    _, reply, note = log_on(emulator, make_token(emulator), "alice@contoso.example")
    assert reply.startswith("535 5.7.3 ") and note == "the application has no FullAccess to this mailbox"
    assert log_on(emulator, make_token(emulator), RELAY)[1] == WELCOME


@pytest.mark.parametrize("object_id", ["-", "the-app-registration-s-object-id"])
def test_exchange_must_know_the_service_principal_by_its_object_id(emulator: Emulator, object_id: str) -> None:
    application(emulator, exchange_object_id=object_id)
    _, reply, note = log_on(emulator, make_token(emulator))
    assert reply.startswith("535 5.7.3 Authentication unsuccessful [")
    assert note == "Exchange does not know the application by its object id"
    application(emulator, exchange_object_id="object-1")
    assert log_on(emulator, make_token(emulator))[1] == WELCOME


def test_an_application_that_cannot_open_the_mailbox_may_be_told_at_the_end_of_data(emulator: Emulator) -> None:
    emulator.control.patch({"assumptions": {"missing_mailbox_permission": "at-submission"}})
    talk, reply, _ = log_on(emulator, make_token(emulator), "alice@contoso.example")
    assert reply == WELCOME
    assert talk.submit(sender="alice@contoso.example") == (
        "430 4.2.0 STOREDRV; mailbox logon failure [Hostname=FR0P281MB0042.DEUP281.PROD.OUTLOOK.COM]"
    )
    application(emulator, roles=[])
    assert log_on(emulator, make_token(emulator))[1].startswith("535 5.7.3 ")


def test_a_disabled_application_is_refused(emulator: Emulator) -> None:
    token = make_token(emulator)
    application(emulator, disabled=True)
    assert log_on(emulator, token)[2] == "the application is disabled"


def test_a_person_s_token_opens_their_own_mailbox_and_those_they_have_rights_on(emulator: Emulator) -> None:
    alice = "alice@contoso.example"
    emulator.control.patch({"mailboxes": {"shared@contoso.example": {"kind": "shared", "full_access": [alice]}}})
    token = users_token(emulator, alice, "SMTP.Send", "offline_access")
    talk, reply, _ = log_on(emulator, token, alice)
    assert reply == WELCOME
    content = b"From: alice.smith@contoso.example\r\nMessage-ID: <m@example>\r\n\r\nHello\r\n"
    assert talk.submit(content, alice).startswith("250 2.0.0 OK ")
    assert log_on(emulator, token, "shared@contoso.example")[1] == WELCOME
    _, reply, note = log_on(emulator, token, "bob@contoso.example")
    assert reply.startswith("535 5.7.3 ") and note == "the token's user may not open this mailbox"


def test_a_person_s_token_needs_the_scope_and_a_mailbox(emulator: Emulator) -> None:
    token = users_token(emulator, "alice@contoso.example", "IMAP.AccessAsUser.All")
    assert log_on(emulator, token, "alice@contoso.example")[2] == "the token lacks the scope SMTP.Send"
    token = users_token(emulator, "guest@elsewhere.example", "SMTP.Send")
    assert log_on(emulator, token, "alice@contoso.example")[2] == "the token's user has no mailbox"


def test_a_token_for_graph_opens_nothing_here(emulator: Emulator) -> None:
    token = emulator.tokens.make(
        client_id=CLIENT_ID,
        application=emulator.tenant.applications[CLIENT_ID],
        tenant_id=emulator.tenant.id,
        lifetime=timedelta(hours=1),
        audience="https://graph.microsoft.com",
    )
    assert log_on(emulator, token)[2].startswith("the token is for another audience")


def test_a_refusal_may_come_after_a_challenge_in_json(emulator: Emulator) -> None:
    emulator.control.patch({"assumptions": {"xoauth2_refusal": "challenge"}})
    talk, reply, _ = log_on(emulator, "not-a-token")
    assert b'"status":"401"' in base64.b64decode(reply.removeprefix("334 "))
    assert talk.say("").startswith("535 5.7.3 Authentication unsuccessful [")
    assert talk.say(f"AUTH XOAUTH2 {bearer(RELAY, make_token(emulator))}") == WELCOME


def high_volume(emulator: Emulator, **fields: object) -> None:
    mailbox = {"kind": "hve", "password": "bulk-password", "allowed_apps": ["object-1"], **fields}
    emulator.control.patch({"mailboxes": {HVE: mailbox}})
    application(emulator, roles=["Mail.Send"])


def test_a_high_volume_account_sends_inside_without_a_mailbox_s_limits(emulator: Emulator) -> None:
    high_volume(emulator)
    emulator.control.patch(
        {"limits": {"messages_per_minute": 1, "recipients_per_day": 1, "external_recipients_per_day": 1}}
    )
    talk = logged_on(emulator, HVE)
    for _ in range(3):
        assert talk.submit(CONTENT, HVE).startswith("250 2.0.0 OK ")
    assert emulator.store.messages(f"{HVE}/sent") == []
    assert len(emulator.store.messages("alice@contoso.example")) == 3


def test_a_high_volume_account_may_submit_many_messages_at_once(emulator: Emulator) -> None:
    high_volume(emulator)
    talks = [logged_on(emulator, HVE) for _ in range(5)]
    for talk in talks:
        talk.begin(HVE)
    assert all(talk.send(CONTENT + b".\r\n")[0].startswith("250 2.0.0 OK ") for talk in reversed(talks))


def test_a_high_volume_account_does_not_send_outside(emulator: Emulator) -> None:
    high_volume(emulator)
    talk = logged_on(emulator, HVE)
    assert talk.submit(CONTENT, HVE, ("alice@contoso.example", "x@example.net")) == (
        "550 5.5.105 External sending is not supported for High Volume Email accounts"
    )
    assert emulator.store.messages() == []


def test_a_high_volume_account_takes_tokens_of_allowed_applications(emulator: Emulator) -> None:
    high_volume(emulator)
    assert log_on(emulator, make_token(emulator), HVE)[1] == WELCOME
    high_volume(emulator, allowed_apps=["another-object"])
    assert log_on(emulator, make_token(emulator), HVE)[2].endswith("not on the account's list of allowed apps")
    high_volume(emulator)
    application(emulator, roles=["SMTP.SendAsApp"])
    assert log_on(emulator, make_token(emulator), HVE)[2] == "the token lacks the role Mail.Send"


def test_a_token_for_a_high_volume_account_must_live_for_more_than_ten_minutes(emulator: Emulator) -> None:
    high_volume(emulator)
    refusal = "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon"
    assert log_on(emulator, make_token(emulator, seconds=600), HVE)[1] == refusal
    assert log_on(emulator, make_token(emulator, seconds=602), HVE)[1] == WELCOME


def test_switches_of_the_organisation_that_leave_high_volume_accounts_alone(emulator: Emulator) -> None:
    high_volume(emulator)
    emulator.control.patch(
        {"switches": {"smtp_client_authentication_disabled": True, "basic_authentication_retired": True}}
    )
    assert logged_on(emulator, HVE).session.principal is not None
    high_volume(emulator, smtp_client_authentication_disabled=True)
    assert "SmtpClientAuthentication is disabled for the Mailbox." in log_on(emulator, make_token(emulator), HVE)[1]


def test_each_mailbox_is_bound_by_its_own_tenant(emulator: Emulator) -> None:
    mailboxes = {"x@fabrikam.example": {"password": "x-password"}}
    emulator.control.patch(
        {
            "others": {
                "fabrikam": {
                    "id": "other-tenant",
                    "name": "Fabrikam",
                    "domains": ["fabrikam.example"],
                    "mailboxes": mailboxes,
                    "switches": {"excess_messages": "reject"},
                    "limits": {"messages_per_minute": 1, "recipients_per_message": 1},
                }
            }
        }
    )
    content = b"From: x@fabrikam.example\r\nMessage-ID: <m@example>\r\n\r\nHello\r\n"
    talk = logged_on(emulator, "x@fabrikam.example")
    assert talk.submit(content, "x@fabrikam.example").startswith("250 2.0.0 OK ")
    assert talk.say("MAIL FROM:<x@fabrikam.example>").startswith("421 4.4.2 Message submission rate ")
    assert talk.session.want is Want.CLOSE
    ours = logged_on(emulator)
    for _ in range(3):
        assert ours.submit(recipients=("alice@contoso.example", "x@fabrikam.example")).startswith("250 2.0.0 OK ")
    _, _, note = log_on(emulator, make_token(emulator), "x@fabrikam.example")
    assert note == "the token is from another tenant"
    emulator.control.patch({"others": {"fabrikam": {"switches": {"basic_authentication_disabled": True}}}})
    talk = Talk(emulator).encrypt()
    talk.say(f"AUTH LOGIN {b64('x@fabrikam.example')}")
    assert "basic authentication is disabled." in talk.say(b64("x-password"))
    logged_on(emulator)
