"""Talking to a session without a network, and the tenant that the tests know by heart."""

import base64
from datetime import UTC, datetime, timedelta

from m365emu.emulator import Emulator
from m365emu.smtp.desk import Tls
from m365emu.smtp.session import Session, Want

NOON = datetime(2025, 11, 23, 12, 0, 0, 31_000, tzinfo=UTC)
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
TENANT_ID = "99999999-8888-7777-6666-555555555555"
SECRET = "the-client-secret~of~the~tests"

TENANT: dict[str, object] = {
    "id": TENANT_ID,
    "name": "Contoso",
    "domains": ["contoso.example", "contoso.onmicrosoft.example"],
    "mailboxes": {
        "relay@contoso.example": {"password": "relay-password", "full_access": [CLIENT_ID]},
        "printer@contoso.example": {
            "password": "printer-password",
            "send_as": [CLIENT_ID, "relay@contoso.example"],
        },
        "alice@contoso.example": {"password": "alice-password", "aliases": ["alice.smith@contoso.example"]},
        "bob@contoso.example": {"password": "bob-password"},
        "shared@contoso.example": {"full_access": [CLIENT_ID]},
    },
    "applications": {
        CLIENT_ID: {"name": "Mail relay", "object_id": "object-1", "secrets": [{"value": SECRET}]},
    },
}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def bearer(user: str, token: str) -> str:
    return b64(f"user={user}\x01auth=Bearer {token}\x01\x01")


def make_token(emulator: Emulator, client_id: str = CLIENT_ID, seconds: int = 3600) -> str:
    return emulator.tokens.make(
        client_id=client_id,
        application=emulator.tenant.applications[CLIENT_ID],
        tenant_id=emulator.tenant.id,
        lifetime=timedelta(seconds=seconds),
    )


class Talk:
    """One side of a conversation: says lines, returns the replies to them."""

    def __init__(self, emulator: Emulator) -> None:
        self.session: Session = emulator.host.new_session("192.0.2.7")
        self.session.open()
        self.greeting = self.replies()

    def replies(self) -> list[str]:
        return self.session.take_output().decode().splitlines()

    def send(self, data: bytes) -> list[str]:
        self.session.receive(data)
        return self.replies()

    def say(self, line: str) -> str:
        """Say one line and return the single reply line."""
        (reply,) = self.send(line.encode() + b"\r\n")
        return reply

    def encrypt(self, version: str = "TLSv1.3") -> "Talk":
        """Greet, start TLS, greet again."""
        self.send(b"EHLO client.example\r\nSTARTTLS\r\n")
        assert self.session.want is Want.UPGRADE
        self.session.secured(Tls(version=version, cipher="TLS_AES_256_GCM_SHA384"))
        self.send(b"EHLO client.example\r\n")
        return self

    def log_on(self, user: str = "relay@contoso.example", password: str | None = None) -> "Talk":
        """Encrypt and log on by AUTH LOGIN."""
        self.encrypt()
        password = password or user.partition("@")[0] + "-password"
        self.say(f"AUTH LOGIN {b64(user)}")
        assert self.say(b64(password)) == "235 2.7.0 Authentication successful"
        return self

    def submit(
        self,
        content: bytes = b"From: relay@contoso.example\r\nMessage-ID: <m@example>\r\n\r\nHello\r\n",
        sender: str = "relay@contoso.example",
        recipients: tuple[str, ...] = ("alice@contoso.example",),
    ) -> str:
        """Send one message and return the last reply, or nothing while it is held back."""
        self.begin(sender, recipients)
        replies = self.send(content + b".\r\n")
        return replies[-1] if replies else ""

    def begin(
        self,
        sender: str = "relay@contoso.example",
        recipients: tuple[str, ...] = ("alice@contoso.example",),
    ) -> None:
        """Go up to the reply to DATA."""
        assert self.say(f"MAIL FROM:<{sender}>") == "250 2.1.0 Sender OK"
        for recipient in recipients:
            assert self.say(f"RCPT TO:<{recipient}>") == "250 2.1.5 Recipient OK"
        assert self.say("DATA") == "354 Start mail input; end with <CRLF>.<CRLF>"


def logged_on(emulator: Emulator, user: str = "relay@contoso.example") -> Talk:
    """Return a conversation that is encrypted and logged on."""
    return Talk(emulator).log_on(user)


def logged_on_by_token(emulator: Emulator, user: str = "relay@contoso.example") -> Talk:
    """Return a conversation that is encrypted and logged on as an application."""
    talk = Talk(emulator).encrypt()
    assert talk.say(f"AUTH XOAUTH2 {bearer(user, make_token(emulator))}").startswith("235 ")
    return talk
