"""Any octets at the SMTP client machine: it never raises, and every recipient ends with exactly one true result."""

from __future__ import annotations

from posthouse.mail.address import Address
from posthouse.mail.envelope import Recipient
from posthouse.wire.sasl.client import Login, XOAuth2
from posthouse.wire.smtp.client import ClientMachine, ClientState
from posthouse.wire.smtp.client_events import (
    Answer,
    Answered,
    ClientEvent,
    ContentWanted,
    Ended,
    NoAnswer,
    Stage,
    Transaction,
    TransactionEnded,
)

CONTENT = b"Subject: x\r\n\r\n.\r\nend"
RECIPIENTS = tuple(Recipient(Address(name, "y.example")) for name in "bcd")
MAX_TRANSACTIONS = 4


class _Driver:
    """Asks for one thing after the other, as the first octet of the input says."""

    def __init__(self, choice: int) -> None:
        self.machine = ClientMachine("me.example", keeps_transcript=bool(choice & 1))
        self.streams = bool(choice & 2)
        self.bundles = bool(choice & 4)
        self.logs_in = choice >> 3 & 3
        self.begun = self.ended = 0
        self.is_over = False
        self.sent = b""
        self.sent_before = 0

    def feed(self, octets: bytes) -> None:
        self.machine.receive_data(octets)
        self.pump()

    def pump(self) -> None:
        while (event := self.machine.next_event()) is not None:
            assert not self.is_over, "something came after the end"
            self.follow(event)
            self.sent += self.machine.data_to_send()
        self.sent += self.machine.data_to_send()

    def follow(self, event: ClientEvent) -> None:
        match event:
            case Answered(stage=stage, reply=reply):
                if self.machine.state is ClientState.CLOSED:
                    return
                self.go_on(stage, reply.is_positive)
            case ContentWanted():
                self.machine.send_content(CONTENT)
                self.machine.end_content()
            case TransactionEnded():
                self.check(event)
                self.begin()
            case Ended():
                self.is_over = True

    def go_on(self, stage: Stage, is_positive: bool) -> None:
        if stage is Stage.GREETING:
            self.machine.hello()
        elif stage is Stage.HELLO and is_positive and self.logs_in:
            self.machine.authenticate(Login("u", "p") if self.logs_in & 1 else XOAuth2("u", "t"))
            self.logs_in = 0
        elif self.machine.state is ClientState.READY:
            self.begin()

    def begin(self) -> None:
        if self.machine.state is not ClientState.READY or self.begun == MAX_TRANSACTIONS:
            return
        self.begun += 1
        self.sent_before = len(self.sent)
        content = None if self.streams else CONTENT
        transaction = Transaction(
            sender=Address("a", "x.example"), recipients=RECIPIENTS, size_octets=len(CONTENT), content=content
        )
        self.machine.begin(transaction, may_bundle=self.bundles)

    def check(self, event: TransactionEnded) -> None:
        self.ended += 1
        assert len(event.results) == len(RECIPIENTS)
        said = self.sent[self.sent_before :]
        went_out = b"\r\n..\r\nend\r\n.\r\n" in said or b" LAST\r\n" + CONTENT in said
        for result in event.results:
            if isinstance(result, Answer) and result.reply.is_positive:
                assert result.stage is Stage.CONTENT and went_out, "delivered without content"
            if isinstance(result, NoAnswer):
                assert result.may_be_delivered == went_out, "unknown is what went out whole, and nothing else"


def one_input(data: bytes) -> None:
    """The first octet chooses what is asked; the second how the rest is cut."""
    if len(data) < 2:
        return
    driver, size = _Driver(data[0]), data[1] % 32 + 1
    for start in range(2, len(data), size):
        driver.feed(data[start : start + size])
    driver.machine.lost("gone")
    driver.pump()
    assert driver.is_over and driver.ended == driver.begun
