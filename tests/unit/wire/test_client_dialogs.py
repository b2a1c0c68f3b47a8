"""Every dialog of ``tests/golden/client_dialogs``, with the server's octets in every split.

A file has a title (``#``), a head, and the talk. Head: ``message: SENDER -> RECIPIENT [NOTIFY=...] [ORCPT=...], ...``
(one line for each message), ``mail: RET=... ENVID=...``, ``tls: yes``, ``login: MECHANISM user secret``,
``bundle: yes`` (content may leave with its commands), ``stream: unfinished`` (the first lines of the content only).
Talk: ``S:`` server, ``C:`` client, ``C>`` octets of the client without line end, ``T:`` TLS begins, ``A:`` an answer
outside a transaction that is no success, ``R:`` the result of one recipient, ``X:`` the end (``X: server vanishes``
ends the connection).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.mail.address import Address
from posthouse.mail.envelope import Notify, Recipient
from posthouse.wire.sasl.client import External, SaslExchange, XOAuth2, choose_exchange
from posthouse.wire.smtp.client import ClientMachine, ClientState
from posthouse.wire.smtp.client_events import (
    Answer,
    Answered,
    CannotSend,
    ClientEvent,
    ContentWanted,
    Ended,
    NoAnswer,
    RecipientResult,
    Stage,
    Transaction,
    TransactionEnded,
)

DIALOGS = sorted((Path(__file__).parents[2] / "golden" / "client_dialogs").glob("*.txt"))
CONTENT = b"Subject: hello\r\n\r\n.dot\r\n"
UNFINISHED = b"Subject: hello\r\n\r\n"
Step = tuple[str, bytes | str]


@dataclass
class Dialog:
    messages: list[tuple[Address | None, tuple[Recipient, ...]]] = field(default_factory=list)
    mail: dict[str, str] = field(default_factory=dict)
    wants_tls: bool = False
    login: list[str] = field(default_factory=list)
    may_bundle: bool = False
    is_unfinished: bool = False
    steps: list[Step] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=lambda: {"A": [], "R": [], "X": []})


def _mailbox(text: str) -> Address | None:
    return None if text == "<>" else Address.parse(text)


def _recipient(text: str) -> Recipient:
    address, *parameters = text.split()
    named = dict(p.split("=", 1) for p in parameters)
    notify = Notify.DEFAULT
    for word in named.get("NOTIFY", "").split(","):
        notify |= Notify[word] if word else Notify.DEFAULT
    return Recipient(Address.parse(address), notify, named.get("ORCPT"))


def _message(text: str) -> tuple[Address | None, tuple[Recipient, ...]]:
    sender, _, recipients = text.partition(" -> ")
    return _mailbox(sender), tuple(_recipient(r) for r in recipients.split(", "))


def load(path: Path) -> Dialog:
    dialog = Dialog()
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(": ") if ": " in line else (line.rstrip(":"), "", "")
        if line.startswith("C> "):
            dialog.steps.append(("C", line[3:].encode().decode("unicode_escape").encode("latin-1")))
        elif key in ("S", "C"):
            octets = value.encode() + b"\r\n"
            if dialog.steps and dialog.steps[-1][0] == key:
                octets = dialog.steps.pop()[1] + octets  # type: ignore[operator]
            dialog.steps.append((key, octets))
        elif key == "X" and value == "server vanishes":
            dialog.steps.append(("V", ""))
        elif key == "T":
            dialog.steps.append(("T", ""))
        elif key in dialog.lines:
            dialog.lines[key].append(value)
        elif key == "message":
            dialog.messages.append(_message(value))
        elif key == "mail":
            ret, _, envid = value.partition(" ENVID=")
            dialog.mail = {"ret": ret.removeprefix("RET="), "envid": envid}
        elif key in ("tls", "bundle", "stream", "login"):
            dialog.wants_tls |= key == "tls"
            dialog.may_bundle |= (key, value) == ("bundle", "yes")
            dialog.is_unfinished |= key == "stream"
            dialog.login = value.split() if key == "login" else dialog.login
        else:
            assert not line or line.startswith("#"), f"{path.name}: {line}"
    return dialog


class Player:
    """Drives a machine through a dialog and collects what it says."""

    def __init__(self, dialog: Dialog, *, streams: bool) -> None:
        self.dialog = dialog
        self.streams = streams or dialog.is_unfinished
        self.machine = ClientMachine("me.example", keeps_transcript=True)
        self.sent = b""
        self.said: dict[str, list[str]] = {"A": [], "R": [], "X": []}
        self.is_secured = self.is_logged_in = False
        self.messages = iter(dialog.messages)
        self.recipients: tuple[Recipient, ...] = ()

    def receive(self, octets: bytes) -> None:
        self.machine.receive_data(octets)
        self.pump()

    def pump(self) -> None:
        while (event := self.machine.next_event()) is not None:
            self.follow(event)
            self.sent += self.machine.data_to_send()
        self.sent += self.machine.data_to_send()

    def follow(self, event: ClientEvent) -> None:
        match event:
            case Answered(stage=stage, reply=reply, detail=detail):
                if not reply.is_positive:
                    self.said["A"].append(f"{stage} {reply}" + (f" ({detail})" if detail else ""))
                    if stage is not Stage.AUTH:
                        return
                self.go_on(stage)
            case ContentWanted():
                content = UNFINISHED if self.dialog.is_unfinished else CONTENT
                for start in range(0, len(content), 3):
                    self.machine.send_content(content[start : start + 3])
                if not self.dialog.is_unfinished:
                    self.machine.end_content()
            case TransactionEnded(results=results):
                for recipient, result in zip(self.recipients, results, strict=True):
                    self.said["R"].append(f"{recipient.address}: {_shown(result)}")
                if self.machine.state is ClientState.READY:
                    self.next_message()
            case Ended(cause=cause):
                self.said["X"].append(cause)

    def go_on(self, stage: Stage) -> None:
        if stage is Stage.GREETING:
            self.machine.hello()
        elif stage is Stage.HELLO and self.dialog.wants_tls and not self.is_secured:
            self.machine.start_tls()
        elif stage is Stage.HELLO and self.dialog.login and not self.is_logged_in:
            self.is_logged_in = True
            self.machine.authenticate(_exchange(self.dialog.login, self.machine.extensions.mechanisms))
        elif stage in (Stage.HELLO, Stage.AUTH):
            self.next_message()

    def next_message(self) -> None:
        message = next(self.messages, None)
        if message is None:
            self.machine.quit()
            return
        sender, self.recipients = message
        content = None if self.streams else CONTENT
        transaction = Transaction(
            sender=sender, recipients=self.recipients, size_octets=len(CONTENT), content=content, **self.dialog.mail
        )
        self.machine.begin(transaction, may_bundle=self.dialog.may_bundle)

    def secure(self) -> None:
        self.is_secured = True
        self.machine.secured()
        self.machine.hello()
        self.pump()


def _exchange(login: list[str], offered: tuple[str, ...]) -> SaslExchange:
    match login:
        case ["EXTERNAL"]:
            return External()
        case ["XOAUTH2", user, token]:
            return XOAuth2(user, token)
        case [wanted, user, password]:
            chosen = choose_exchange(wanted, offered, user, password, may_use_clear=True)
            assert not isinstance(chosen, str), chosen
            return chosen
    raise AssertionError(login)


def _shown(result: RecipientResult) -> str:
    match result:
        case Answer(stage=stage, reply=reply):
            return f"{stage} {reply}"
        case NoAnswer(stage=stage, may_be_delivered=True):
            return f"unknown after {stage}"
        case NoAnswer(stage=stage):
            return f"no answer to {stage}"
        case CannotSend(status=status):
            return f"cannot be sent {status}"


def play(dialog: Dialog, split: Iterator[list[bytes]] | None = None, *, streams: bool = False, size: int = 0) -> Player:
    """Play a dialog; `size` cuts the server's octets into pieces, `split` gives the pieces of each block."""
    player = Player(dialog, streams=streams)
    for key, value in dialog.steps:
        if key == "S":
            assert isinstance(value, bytes)
            pieces = next(split) if split is not None else _pieces(value, size)
            for piece in pieces:
                player.receive(piece)
        elif key == "C":
            assert player.sent == value
            player.sent = b""
        elif key == "T":
            player.secure()
        else:
            player.machine.lost("gone")
            player.pump()
    assert player.sent == b""
    assert player.said == dialog.lines
    return player


def _pieces(octets: bytes, size: int) -> list[bytes]:
    step = size or len(octets)
    return [octets[n : n + step] for n in range(0, len(octets), step)]


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
class TestDialog:
    def test_a_dialog_goes_as_written_when_it_comes_whole(self, path: Path) -> None:
        play(load(path))

    def test_a_dialog_goes_as_written_when_it_comes_octet_by_octet(self, path: Path) -> None:
        play(load(path), size=1)

    def test_a_dialog_goes_as_written_with_streamed_content(self, path: Path) -> None:
        if load(path).may_bundle:
            pytest.skip("streamed content is never bundled")
        play(load(path), streams=True)

    def test_a_dialog_goes_as_written_when_it_is_split_at_any_offset(self, path: Path) -> None:
        blocks = [value for key, value in load(path).steps if key == "S"]
        for number, block in enumerate(blocks):
            for offset in range(1, len(block)):
                cut = [[b] for b in blocks]
                cut[number] = [block[:offset], block[offset:]]  # type: ignore[list-item]
                play(load(path), iter(cut))  # type: ignore[arg-type]

    def test_the_transcript_shows_no_credentials(self, path: Path) -> None:
        dialog = load(path)
        player = play(dialog)
        shown = "\n".join(text for _, text in player.machine.transcript or [])
        for secret in ("secret", "c2VjcmV0", "EwBAAl3B", "dXNlcj", "AHVzZXI", "b913a602"):
            assert secret not in shown
        assert "hello" not in shown
