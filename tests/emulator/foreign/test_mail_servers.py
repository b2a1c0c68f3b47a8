"""Postfix and Exim hand their mail to the emulator as their smart host, and log what it says.

Postfix logs on with a password only: Debian brings no XOAUTH2 for the Cyrus SASL library that speaks for it.
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.emulator.foreign.exim import exim
from tests.emulator.foreign.letter import Letter, assert_arrived, write_letter
from tests.emulator.foreign.target import Target
from tests.peers.postfix import Options, Postfix

from m365emu.client_certificates import client_certificates
from m365emu.emulator import Emulator

RELAY = "relay@contoso.example"
WRONG_PASSWORD = "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."
NOT_ALLOWED = "554 5.2.252 SendAsDenied; relay@contoso.example not allowed to send as bob@contoso.example"
NO_RIGHT = "535 5.7.3 Authentication unsuccessful"


@pytest.fixture
def open_room(running: Emulator) -> Iterator[Path]:
    """A directory with a short name that servers may enter after they dropped root, with the authority to trust."""
    directory = Path(tempfile.mkdtemp(prefix="ph"))
    directory.chmod(0o755)
    shutil.copy(running.ca, directory / "ca.pem")
    (directory / "ca.pem").chmod(0o644)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def make_postfix(open_room: Path) -> Iterator[Callable[[Target], Postfix]]:
    """Starts a Postfix whose relay host is one of the emulator's, with its account or its certificate."""
    with ExitStack() as stack:

        def make(hop: Target) -> Postfix:
            extra = {"smtp_tls_verify_cert_match": "hostname", "smtp_sasl_mechanism_filter": "login"}
            if hop.certificate:
                extra |= {"smtp_tls_cert_file": str(hop.certificate), "smtp_tls_key_file": str(hop.key)}
            options = Options(
                deliver="relay",
                relay=f"{hop.host}:{hop.port}",
                relay_login=(hop.user, hop.password) if hop.user else None,
                relay_tls="verify",
                relay_ca=open_room / "ca.pem",
                extra=extra,
            )
            directory = open_room / "postfix"
            directory.mkdir()
            server = Postfix(directory, options)
            stack.callback(server.stop)
            return server.start()

        yield make


def hand_over(postfix: Postfix, letter: Letter) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.port) as session:
        session.sendmail(letter.sender, [letter.recipient], letter.octets)


async def test_postfix_logs_on_with_its_password_and_hands_mail_on(
    running: Emulator, target: Target, make_postfix: Callable[[Target], Postfix]
) -> None:
    postfix = await asyncio.to_thread(make_postfix, target)
    letter = write_letter(RELAY)
    await asyncio.to_thread(hand_over, postfix, letter)
    content = await assert_arrived(running, letter, by="LOGIN")
    assert content.endswith(letter.octets)


async def test_postfix_keeps_mail_and_logs_why_its_password_was_refused(
    running: Emulator, target: Target, make_postfix: Callable[[Target], Postfix]
) -> None:
    postfix = await asyncio.to_thread(make_postfix, replace(target, password="wrong-password"))
    await asyncio.to_thread(hand_over, postfix, write_letter(RELAY))
    await asyncio.to_thread(postfix.wait_for_log, "status=deferred")
    assert WRONG_PASSWORD in postfix.log_text()
    assert running.store.messages() == []


async def test_postfix_gives_a_message_up_and_logs_whose_name_it_used(
    running: Emulator, target: Target, make_postfix: Callable[[Target], Postfix]
) -> None:
    postfix = await asyncio.to_thread(make_postfix, target)
    await asyncio.to_thread(hand_over, postfix, write_letter("bob@contoso.example"))
    await asyncio.to_thread(postfix.wait_for_log, "status=bounced")
    assert NOT_ALLOWED in postfix.log_text()
    assert running.store.messages("alice@contoso.example") == []


async def test_postfix_relays_to_anybody_by_the_certificate_that_a_connector_knows(
    running: Emulator, directory: Path, exchanger: Target, make_postfix: Callable[[Target], Postfix]
) -> None:
    running.control.patch({"connectors": {"office": {"tls_sender_certificate_name": "relay.contoso.example"}}})
    files = client_certificates(directory)
    hop = replace(exchanger, certificate=files.client, key=files.client_key)
    postfix = await asyncio.to_thread(make_postfix, hop)
    letter = write_letter("printer@contoso.example", "customer@elsewhere.example")
    await asyncio.to_thread(hand_over, postfix, letter)
    content = await assert_arrived(running, letter, by="connector:office", mailbox="", folder="external")
    assert content.endswith(letter.octets)
    await asyncio.to_thread(postfix.wait_for_log, "Queued mail for delivery")


async def test_exim_logs_on_with_its_password_and_hands_mail_on(
    running: Emulator, target: Target, open_room: Path
) -> None:
    letter = write_letter(RELAY)
    done = await asyncio.to_thread(exim, replace(target, ca=open_room / "ca.pem"), letter, open_room)
    assert "Completed" in done.output, done.output
    content = await assert_arrived(running, letter, by="LOGIN")
    assert content.endswith(letter.octets)


async def test_exim_keeps_mail_and_logs_why_its_password_was_refused(
    running: Emulator, target: Target, open_room: Path
) -> None:
    wrong = replace(target, ca=open_room / "ca.pem", password="wrong-password")
    done = await asyncio.to_thread(exim, wrong, write_letter(RELAY), open_room)
    assert WRONG_PASSWORD in done.output
    assert running.store.messages() == []


async def test_exim_gives_a_message_up_and_logs_whose_name_it_used(
    running: Emulator, target: Target, open_room: Path
) -> None:
    account = replace(target, ca=open_room / "ca.pem")
    done = await asyncio.to_thread(exim, account, write_letter("bob@contoso.example"), open_room)
    assert NOT_ALLOWED in done.output
    assert running.store.messages("alice@contoso.example") == []


async def test_exim_logs_on_with_a_token(running: Emulator, target: Target, token: str, open_room: Path) -> None:
    letter = write_letter(RELAY)
    account = replace(target, ca=open_room / "ca.pem", password="", token=token)
    done = await asyncio.to_thread(exim, account, letter, open_room)
    assert "Completed" in done.output, done.output
    content = await assert_arrived(running, letter, by="XOAUTH2")
    assert content.endswith(letter.octets)


async def test_exim_keeps_mail_when_its_token_opens_another_mailbox(
    running: Emulator, target: Target, token: str, open_room: Path
) -> None:
    stranger = replace(target, ca=open_room / "ca.pem", user="alice@contoso.example", password="", token=token)
    done = await asyncio.to_thread(exim, stranger, write_letter("alice@contoso.example"), open_room)
    assert NO_RIGHT in done.output
    assert running.store.messages() == []
