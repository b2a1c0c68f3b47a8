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
def make_postfix(target: Target, open_room: Path) -> Iterator[Callable[[Target], Postfix]]:
    """Starts a Postfix whose relay host is the emulator, with one account."""
    with ExitStack() as stack:

        def make(account: Target) -> Postfix:
            options = Options(
                deliver="relay",
                relay=f"{account.host}:{account.port}",
                relay_login=(account.user, account.password),
                relay_tls="verify",
                relay_ca=open_room / "ca.pem",
                extra={
                    "smtp_tls_verify_cert_match": "hostname",
                    "smtp_sasl_mechanism_filter": "login",
                },
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
