"""The pytest plugin: a fixture for synchronous and asynchronous tests, and for tests of other projects."""

import smtplib
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from m365emu.background import Background
from m365emu.tenant import TenantError

LETTER = "From: website@contoso.example\r\nTo: alice@contoso.example\r\nSubject: Order 1\r\n\r\nThank you.\r\n"


def send(m365emu: Background, sender: str = "website@contoso.example", letter: str = LETTER) -> None:
    with smtplib.SMTP(*m365emu.smtp, timeout=10) as client:
        client.starttls(context=m365emu.ssl_context())
        client.login(sender, m365emu.password(sender))
        client.sendmail(sender, ["alice@contoso.example"], letter)


def test_a_synchronous_test_sends_and_looks(m365emu: Background) -> None:
    send(m365emu)
    (record,) = m365emu.wait_for_messages("alice@contoso.example")
    assert record.subject == "Order 1"
    assert m365emu.parsed(record).text == "Thank you.\r\n"
    assert m365emu.content(record) == LETTER.encode()
    assert [r.id for r in m365emu.messages("website@contoso.example/sent")] == [record.id]


async def test_an_asynchronous_test_waits_without_standing_still(m365emu: Background) -> None:
    import asyncio

    sending = asyncio.create_task(asyncio.to_thread(send, m365emu))
    (record,) = await m365emu.messages_arrived("alice@contoso.example")
    await sending
    assert record.subject == "Order 1"


@pytest.mark.m365emu(tenant={"switches": {"smtp_client_authentication_disabled": True}})
def test_the_marker_changes_the_tenant_and_the_reason_of_a_refusal_can_be_asked_for(m365emu: Background) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError, match="disabled for the Tenant"):
        send(m365emu)
    (entry,) = m365emu.refusals(who="website@contoso.example")
    assert "SmtpClientAuthentication is disabled for the Tenant." in entry.reason
    assert "SMTP AUTH is switched off for the tenant" in entry.reason


@pytest.mark.m365emu(scenario="mailbox-full")
def test_the_marker_plays_a_scenario(m365emu: Background) -> None:
    with pytest.raises(smtplib.SMTPDataError, match="Mailbox full"):
        send(m365emu, "relay@contoso.example", LETTER.replace("website@", "relay@"))
    assert [finding.met for finding in m365emu.findings() if finding.what == "duplicates"] == [True]


def test_faults_time_and_the_tenant_are_at_hand(m365emu: Background) -> None:
    before = m365emu.now()
    m365emu.fault("mail", "451 4.7.0 Temporary server error", count=1)
    with pytest.raises(smtplib.SMTPSenderRefused, match=r"4\.7\.0 Temporary"):
        send(m365emu)
    assert (m365emu.advance(hours=3) - before).total_seconds() >= 3 * 3600
    m365emu.patch(mailboxes={"website@contoso.example": {"account": "disabled"}})
    with pytest.raises(smtplib.SMTPAuthenticationError, match="account has an issue"):
        send(m365emu)
    assert m365emu.statistics()["refused"] == {"fault": 1, "account_issue": 1}
    m365emu.reset()
    assert m365emu.statistics()["refused"] == {}
    with pytest.raises(ValueError, match="explode"):
        m365emu.order("explode")


def test_a_program_under_test_learns_the_addresses_from_its_environment(m365emu: Background) -> None:
    environment = m365emu.environment()
    assert environment["M365_SUBMISSION"] == m365emu.submission
    assert Path(environment["SSL_CERT_FILE"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    with urllib.request.urlopen(f"{environment['M365_INBOX']}/api/clock") as answer:
        assert answer.status == 200


def test_what_cannot_be_played_is_said_and_leaves_no_thread_behind(tmp_path: Path) -> None:
    import threading

    before = threading.active_count()
    with pytest.raises(TenantError, match="colour"):
        Background(tmp_path, tenant={"switches": {"colour": True}})
    running = Background(tmp_path, scenario="no-such-scenario")
    with pytest.raises(Exception, match="no-such-scenario"):
        running.start()
    assert threading.active_count() == before


def test_another_project_needs_nothing_but_the_fixture_s_name(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "import pytest, smtplib\n\n"
        "def test_order_confirmation(m365emu):\n"
        "    with smtplib.SMTP(*m365emu.smtp) as client:\n"
        "        client.starttls(context=m365emu.ssl_context())\n"
        "        client.login('website@contoso.example', m365emu.password('website@contoso.example'))\n"
        "        client.sendmail('website@contoso.example', ['bob@contoso.example'],\n"
        "                        'From: website@contoso.example\\r\\n\\r\\nHello\\r\\n')\n"
        "    assert len(m365emu.wait_for_messages('bob@contoso.example')) == 1\n\n"
        "@pytest.mark.m365emu(colour='red')\n"
        "def test_wrong_option(m365emu):\n"
        "    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "the marker m365emu knows no colour" in done.stdout
