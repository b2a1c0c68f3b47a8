"""Talking to the MX without a network."""

from m365emu.emulator import Emulator
from m365emu.smtp.desk import Tls
from m365emu.smtp.session import Session, Want

STRANGER = "198.51.100.9"
OFFICE = "203.0.113.7"
CONTENT = b"From: someone@elsewhere.example\r\nMessage-ID: <m@elsewhere.example>\r\n\r\nHello\r\n"
OWN_CONTENT = b"From: printer@contoso.example\r\nMessage-ID: <p@contoso.example>\r\n\r\nHello\r\n"
HOST = "FR2DEU01FT042.Eop-deu01.prod.protection.outlook.com"


class MxTalk:
    """One side of a conversation with the MX: says lines, returns the replies to them."""

    def __init__(self, emulator: Emulator, client: str = STRANGER, hello: str = "mail.elsewhere.example") -> None:
        self.session: Session = emulator.exchanger.new_session(client)
        self.session.open()
        self.greeting = self.replies()
        self.hello = self.send(f"EHLO {hello}\r\n".encode())

    def replies(self) -> list[str]:
        return self.session.take_output().decode().splitlines()

    def send(self, data: bytes) -> list[str]:
        self.session.receive(data)
        return self.replies()

    def say(self, line: str) -> str:
        """Say one line and return the single reply line."""
        (reply,) = self.send(line.encode() + b"\r\n")
        return reply

    def encrypt(self, *names: str) -> "MxTalk":
        """Start TLS with a client certificate of these names, greet again."""
        self.say("STARTTLS")
        assert self.session.want is Want.UPGRADE
        self.session.secured(Tls(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", peer_names=names))
        self.hello = self.send(b"EHLO mail.elsewhere.example\r\n")
        return self

    def ask(self, sender: str, *recipients: str) -> str:
        """Say MAIL and RCPTs, and return the last reply."""
        reply = self.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            reply = self.say(f"RCPT TO:<{recipient}>")
        return reply

    def deliver(
        self,
        sender: str = "someone@elsewhere.example",
        recipients: tuple[str, ...] = ("alice@contoso.example",),
        content: bytes = CONTENT,
    ) -> str:
        """Deliver one message and return the last reply."""
        assert self.ask(sender, *recipients) == "250 2.1.5 Recipient OK"
        assert self.say("DATA").startswith("354 ")
        return self.send(content + b".\r\n")[-1]
