"""The message that every client sends, and the check that it arrived whole.

Purpose: one text and one attachment with everything that is easily damaged: leading dots, trailing blanks, umlauts,
every octet. Shape: clients that send octets take `Letter.octets`; clients that compose take the parts. `assert_whole`
reads what arrived as a mail program would.
"""

from __future__ import annotations

import email
import email.policy
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from m365emu.emulator import Emulator

TEXT = "Guten Tag,\n.\n..two dots\n.leading dot\nFrom the start\nGrüße aus dem Büro\n\nThe last line\n"
ATTACHMENT = bytes(range(256)) * 64
FILE_NAME = "scan.pdf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message; its subject contains a mark that no other has."""

    sender: str
    recipient: str
    subject: str
    attachment: bytes = field(default=ATTACHMENT, repr=False)

    @property
    def octets(self) -> bytes:
        """The message, composed here, with CRLF line ends."""
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"], message["To"], message["Subject"] = self.sender, self.recipient, self.subject
        message["Date"] = "Sat, 21 Nov 2026 10:00:00 +0000"
        message["Message-ID"] = f"<{self.subject.rpartition(' ')[2]}@client.test>"
        message.set_content(TEXT)
        message.add_attachment(self.attachment, maintype="application", subtype="pdf", filename=FILE_NAME)
        message.set_boundary("=_the_parts_of_the_letter")
        return message.as_bytes()

    def write_parts(self, directory: Path) -> dict[str, str]:
        """Write text and attachment into files; the paths and names that a composing client needs."""
        (directory / "text.txt").write_text(TEXT)
        (directory / FILE_NAME).write_bytes(self.attachment)
        return {
            "from": self.sender,
            "to": self.recipient,
            "subject": self.subject,
            "text": str(directory / "text.txt"),
            "attachment": str(directory / FILE_NAME),
        }


def write_letter(sender: str, recipient: str = "alice@contoso.example") -> Letter:
    """A new message."""
    return Letter(sender=sender, recipient=recipient, subject=f"Prüfbericht für Müller {secrets.token_hex(8)}")


def write_options(directory: Path, options: Mapping[str, object]) -> Path:
    """Write what a client program is told into a file: secrets do not belong on a command line."""
    path = directory / "options.json"
    path.write_text(json.dumps(options))
    path.chmod(0o600)
    return path


def assert_whole(arrived: bytes, letter: Letter) -> None:
    """Subject, text and attachment are what the letter says."""
    message = email.message_from_bytes(arrived, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == letter.subject
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").rstrip("\n") == TEXT.rstrip("\n")
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == FILE_NAME
    assert attachment.get_content() == letter.attachment


async def assert_arrived(
    emulator: Emulator, letter: Letter, *, by: str, mailbox: str = "relay@contoso.example", folder: str = ""
) -> bytes:
    """The letter, and nothing else, is where it belongs.

    Args:
        emulator: Where.
        letter: What.
        by: How its sender logged on, or why he need not.
        mailbox: To which mailbox he logged on.
        folder: Where it lies, if not in the recipient's mailbox.
    """
    (record,) = await emulator.wait_for_messages(folder or letter.recipient)
    content = emulator.content(record)
    assert_whole(content, letter)
    assert (record.envelope_from, record.envelope_to) == (letter.sender, [letter.recipient])
    assert (record.authentication, record.mailbox) == (by, mailbox)
    return content
