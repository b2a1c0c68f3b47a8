"""Who may log on, and in which words others may not."""

from datetime import timedelta

import msgspec
import pytest
from tests.emulator.talk import CLIENT_ID, TENANT_ID, Talk, b64, bearer, logged_on, make_token

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.smtp.desk import Tls

SUFFIX = r"[FR0P281CA0042.DEUP281.PROD.OUTLOOK.COM 2025-11-23T12:00:00.031Z "


def log_on(emulator: Emulator, password: str = "relay-password", user: str = "relay@contoso.example") -> str:
    talk = Talk(emulator).encrypt()
    talk.say(f"AUTH LOGIN {b64(user)}")
    return talk.say(b64(password))


def log_on_by_token(emulator: Emulator, token: str, user: str = "relay@contoso.example") -> tuple[str, str]:
    """Return the reply, and what the transcript says of the reason."""
    talk = Talk(emulator).encrypt()
    reply = talk.say(f"AUTH XOAUTH2 {bearer(user, token)}")
    notes = [line for line in talk.session.transcript.lines() if line.startswith("-- ")]
    return reply, notes[-1]


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"switches": {"basic_authentication_disabled": True}}, "basic authentication is disabled. "),
        (
            {"switches": {"security_defaults": True}},
            "user is locked by your organization's security defaults policy. Contact your administrator. ",
        ),
        (
            {"switches": {"conditional_access_blocks": True}},
            "the request did not meet the criteria to be authenticated successfully. Contact your administrator. ",
        ),
        (
            {"switches": {"smtp_client_authentication_disabled": True}},
            "SmtpClientAuthentication is disabled for the Tenant. "
            "Visit https://aka.ms/smtp_auth_disabled for more information. ",
        ),
        (
            {"mailboxes": {"relay@contoso.example": {"smtp_client_authentication_disabled": True}}},
            "SmtpClientAuthentication is disabled for the Mailbox. "
            "Visit https://aka.ms/smtp_auth_disabled for more information. ",
        ),
        (
            {"mailboxes": {"relay@contoso.example": {"account": "locked"}}},
            "account locked. Contact your administrator. ",
        ),
        (
            {"mailboxes": {"relay@contoso.example": {"account": "disabled"}}},
            "account has an issue. Contact your administrator. ",
        ),
        (
            {"mailboxes": {"relay@contoso.example": {"account": "password-expired"}}},
            "user password has expired. ",
        ),
        (
            {"mailboxes": {"relay@contoso.example": {"mfa": True}}},
            "the request did not meet the criteria to be authenticated successfully. Contact your administrator. ",
        ),
        (
            {"mailboxes": {"relay@contoso.example": {"kind": "shared"}}},
            "account has an issue. Contact your administrator. ",
        ),
        ({"switches": {"federated_sign_in": "unreachable"}}, "federated STS service was unreachable. "),
        ({"switches": {"federated_sign_in": "insecure"}}, "the federated STS URL does not support HTTPS. "),
    ],
)
def test_each_policy_refuses_in_its_own_words(emulator: Emulator, patch: dict[str, object], sentence: str) -> None:
    emulator.control.patch(patch)
    assert log_on(emulator).startswith(f"535 5.7.139 Authentication unsuccessful, {sentence}{SUFFIX}")


@pytest.mark.parametrize("code", [550, 535])
def test_passwords_end_with_the_announced_words_and_tokens_go_on(emulator: Emulator, code: int) -> None:
    emulator.control.patch({"switches": {"basic_authentication_retired": True}, "assumptions": {"retired_code": code}})
    assert log_on(emulator) == f"{code} 5.7.30 Basic authentication is not supported for Client Submission."
    assert log_on_by_token(emulator, make_token(emulator))[0].startswith("235 ")


def test_a_mailbox_may_be_allowed_where_the_organisation_is_not(emulator: Emulator) -> None:
    emulator.control.patch(
        {
            "switches": {"smtp_client_authentication_disabled": True},
            "mailboxes": {"relay@contoso.example": {"smtp_client_authentication_disabled": False}},
        }
    )
    assert log_on(emulator) == "235 2.7.0 Authentication successful"


def test_switching_smtp_auth_off_refuses_tokens_as_well(emulator: Emulator) -> None:
    emulator.control.patch({"switches": {"smtp_client_authentication_disabled": True}})
    reply, _ = log_on_by_token(emulator, make_token(emulator))
    assert reply.startswith("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the T")


@pytest.mark.parametrize("password", ["", "relay-passworD", "relay-password\0", "ä"])
def test_a_wrong_password_is_refused(emulator: Emulator, password: str) -> None:
    assert "the user credentials were incorrect." in log_on(emulator, password)


def test_a_mailbox_without_a_password_takes_none_not_even_the_empty_one(emulator: Emulator) -> None:
    assert "credentials were incorrect" in log_on(emulator, "", "shared@contoso.example")


def test_user_names_do_not_depend_on_case(emulator: Emulator) -> None:
    assert log_on(emulator, user="Relay@CONTOSO.example").startswith("235 ")


def test_repeated_failures_lock_the_account_and_every_try_prolongs_it(emulator: Emulator, clock: ManualClock) -> None:
    for _ in range(10):
        assert "credentials were incorrect" in log_on(emulator, "wrong")
    assert "account locked" in log_on(emulator)
    for _ in range(3):
        clock.advance(timedelta(seconds=59))
        assert "account locked" in log_on(emulator)
    clock.advance(timedelta(seconds=61))
    assert log_on(emulator) == "235 2.7.0 Authentication successful"


def test_a_success_forgets_earlier_failures(emulator: Emulator) -> None:
    for _ in range(9):
        log_on(emulator, "wrong")
    assert log_on(emulator).startswith("235 ")
    for _ in range(9):
        log_on(emulator, "wrong")
    assert log_on(emulator).startswith("235 ")


def test_a_good_token_opens_the_mailbox_it_has_rights_on(emulator: Emulator) -> None:
    reply, _ = log_on_by_token(emulator, make_token(emulator))
    assert reply == "235 2.7.0 Authentication successful"


def test_a_token_without_rights_on_the_mailbox_is_refused(emulator: Emulator) -> None:
    reply, note = log_on_by_token(emulator, make_token(emulator), "alice@contoso.example")
    assert reply.startswith(f"535 5.7.3 Authentication unsuccessful {SUFFIX}")
    assert note == "-- the application has no FullAccess to this mailbox"


def test_an_expired_token_is_refused(emulator: Emulator, clock: ManualClock) -> None:
    token = make_token(emulator, seconds=600)
    clock.advance(timedelta(seconds=599))
    assert log_on_by_token(emulator, token)[0].startswith("235 ")
    clock.advance(timedelta(seconds=1))
    reply, note = log_on_by_token(emulator, token)
    assert reply.startswith("535 5.7.3 ") and note == "-- the token has expired"


def test_a_token_made_before_a_revocation_is_refused(emulator: Emulator) -> None:
    token = make_token(emulator)
    emulator.tokens.rotate()
    reply, note = log_on_by_token(emulator, token)
    assert reply.startswith("535 5.7.3 ") and "signature" in note


def test_a_token_of_another_tenant_is_refused(emulator: Emulator) -> None:
    token = make_token(emulator)
    emulator.control.patch({"id": "another-tenant"})
    assert log_on_by_token(emulator, token)[1] == "-- the token is from another tenant"
    assert emulator.tenant.id != TENANT_ID


def test_a_token_without_the_role_is_refused(emulator: Emulator) -> None:
    emulator.control.patch({"applications": {CLIENT_ID: {"roles": ["IMAP.AccessAsApp"]}}})
    assert log_on_by_token(emulator, make_token(emulator))[1] == "-- the token lacks the role SMTP.SendAsApp"


def test_a_token_of_an_application_that_was_removed_is_refused(emulator: Emulator) -> None:
    token = make_token(emulator, client_id="00000000-0000-0000-0000-000000000000")
    assert log_on_by_token(emulator, token)[1] == "-- the application is not registered any more"


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "." * 5000, "ä.ö.ü", "e30.e30.e30"])
def test_what_is_no_token_is_refused_and_nothing_breaks(emulator: Emulator, token: str) -> None:
    assert log_on_by_token(emulator, token)[0].startswith("535 5.7.3 ")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_token_with_any_part_changed_is_refused(emulator: Emulator, place: int) -> None:
    parts = make_token(emulator).split(".")
    parts[place] = parts[place][:8] + ("A" if parts[place][8] != "A" else "B") + parts[place][9:]
    assert log_on_by_token(emulator, ".".join(parts))[0].startswith("535 5.7.3 ")


def test_a_token_line_of_twelve_thousand_octets_is_read_and_a_longer_one_is_too_long(emulator: Emulator) -> None:
    talk = Talk(emulator).encrypt()
    assert talk.say("AUTH XOAUTH2 " + "A" * 12_200).startswith("535 5.7.3 ")
    assert talk.say("AUTH XOAUTH2 " + "A" * 12_300) == "500 5.5.2 Command too long"
    assert talk.say("NOOP " + "A" * 5_000) == "500 5.5.2 Command too long"
    assert talk.say("NOOP") == "250 2.0.0 OK"


def test_an_endless_line_takes_no_memory_and_the_next_command_is_understood(emulator: Emulator) -> None:
    talk = Talk(emulator).encrypt()
    for _ in range(100):
        assert talk.send(b"A" * 50_000) == []
    assert talk.send(b"\r\nNOOP\r\n") == ["500 5.5.2 Command too long", "250 2.0.0 OK"]


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1"])
def test_old_tls_is_refused_at_auth_and_the_session_ends(emulator: Emulator, version: str) -> None:
    talk = Talk(emulator).encrypt(version)
    assert talk.say("AUTH LOGIN").startswith(
        "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. "
        f"Visit https://aka.ms/smtp_auth_tls. {SUFFIX}"
    )
    assert talk.send(b"NOOP\r\n") == []


def auth_over_old_tls(emulator: Emulator, server_name: str) -> str:
    talk = Talk(emulator)
    talk.send(b"EHLO client.example\r\nSTARTTLS\r\n")
    talk.session.secured(Tls(version="TLSv1.1", cipher="AES128-SHA", server_name=server_name))
    talk.send(b"EHLO client.example\r\n")
    reply = talk.say(f"AUTH LOGIN {b64('relay@contoso.example')}")
    return talk.say(b64("relay-password")) if reply.startswith("334 ") else reply


def test_the_legacy_host_takes_old_tls_where_the_organisation_opted_in(emulator: Emulator) -> None:
    legacy = "smtp-legacy.office365.com"
    assert auth_over_old_tls(emulator, legacy).startswith(
        f"550 5.7.67 TLS 1.0 and 1.1 are not supported for your organization. {SUFFIX}"
    )
    emulator.control.patch({"switches": {"allow_legacy_tls_clients": True}})
    assert auth_over_old_tls(emulator, legacy) == "235 2.7.0 Authentication successful"
    assert auth_over_old_tls(emulator, "") == "235 2.7.0 Authentication successful"
    assert auth_over_old_tls(emulator, "smtp.office365.com").startswith("421 4.7.66 ")


def test_logons_are_counted_by_mechanism(emulator: Emulator) -> None:
    logged_on(emulator)
    log_on_by_token(emulator, make_token(emulator))
    log_on(emulator, "wrong")
    report = emulator.control.report()
    assert report["logons"] == {"LOGIN": 1, "XOAUTH2": 1}
    assert report["refused"] == {"credentials": 1}
    assert msgspec.json.encode(report)
