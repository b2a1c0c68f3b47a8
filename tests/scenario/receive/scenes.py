"""Dialog files against the real receiver over a socket: the scene becomes settings, a flow and an account."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.dialog import ClientCloses, Dialog, Expect, Handshake, Scene, Send, ServerCloses, match_lines
from tests.dialog_memory import show_envelope
from tests.unit.net.authority import Authority
from tests.unit.receive.memory import octets_of
from tests.unit.receive.office import FLOW, HOSTNAME, Client, Office, listener, open_office

from posthouse.decide.flow import Flow
from posthouse.decide.policy import Policy, Rights
from posthouse.mail.address import Address
from posthouse.mail.message import Message
from posthouse.mail.verdict import Refuse, Verdict
from posthouse.net.certificates import ServerCertificates
from posthouse.receive.login import cram_purpose
from posthouse.receive.passwords import hash_password, make_scram_keys
from posthouse.receive.port import NotTaken
from posthouse.receive.settings import ListenerSettings, LoginSettings
from posthouse.store.port import Account
from posthouse.store.sealing import Sealer
from posthouse.wire.smtp.events import MailFrom

_QUEUED = re.compile(r"OK queued as [0-9A-Z]{13}$")


class ScenePolicy(Policy):
    """Lets everybody send everything that the scene does not refuse."""

    def __init__(self, scene: Scene) -> None:
        inbound = FLOW["inbound"][0] | {"bare_newlines": scene.newlines}
        super().__init__(Flow.model_validate(FLOW | {"inbound": [inbound]}))
        self._scene = scene

    def judge_sender(self, rights: Rights | None, sender: Address | None) -> Verdict:
        reply = self._scene.refusals.get(("mail", str(sender or "")))
        return Refuse(reply, "the scene") if reply is not None else super().judge_sender(rights, sender)

    def judge_recipient(self, rights: Rights | None, recipient: Address) -> Verdict:
        subject = str(recipient).removesuffix(f"@{self.flow.domain[0].name}")
        reply = self._scene.refusals.get(("rcpt", str(recipient))) or self._scene.refusals.get(("rcpt", subject))
        return Refuse(reply, "the scene") if reply is not None else super().judge_recipient(rights, recipient)


def unfit(dialog: Dialog, *, over_tls: bool) -> str | None:
    """Why a dialog cannot run here, or None."""
    offer = dialog.scene.offer
    if any(verb in {"hello", "data"} for verb, _ in dialog.scene.refusals):
        return "the receiver refuses no hello and no DATA"
    if "before-tls" in offer and offer.get("mechanisms", "") not in ("", offer["before-tls"]):
        return "a listener offers the same mechanisms before and after TLS, or none before"
    if any(isinstance(step, Expect) and step.patterns[0].startswith("334 PD") for step in dialog.steps):
        return "its challenge is not drawn at random"
    says_starttls = any(isinstance(step, Send) and b"STARTTLS" in step.octets for step in dialog.steps)
    if over_tls and (says_starttls or "starttls" in offer or "before-tls" in offer):
        return "it is about what comes before TLS"
    return None


def settings_for(scene: Scene, *, over_tls: bool) -> ListenerSettings:
    """The listener of a scene."""
    offer = scene.offer
    in_clear = offer.get("before-tls", "")
    mechanisms = offer.get("mechanisms", "") or in_clear
    wanted: dict[str, object] = {
        "tls": "implicit" if over_tls or "implicit-tls" in offer else "starttls" if "starttls" in offer else "none",
        "auth": tuple(filter(None, mechanisms.split(","))),
        "auth_without_tls": bool(in_clear),
        "profile": "legacy" if in_clear else "modern",
        "auth_equals": "auth-equals" in offer,
        "chunking": "no-chunking" not in offer,
        "smtputf8": "no-smtputf8" not in offer,
        "client_certificates": "EXTERNAL" in mechanisms,
        "bare_newlines": scene.newlines,
    }
    numbers = {"max-message": "max_message", "max-recipients": "max_recipients", "max-errors": "max_errors"}
    wanted |= {name: int(offer[word]) for word, name in numbers.items() if word in offer}
    made = listener(**wanted)
    return made.model_copy(update={"max_line": int(offer["max-line"])}) if "max-line" in offer else made


@asynccontextmanager
async def stage(directory: Path, dialog: Dialog, authority: Authority, *, over_tls: bool) -> AsyncIterator[Office]:
    """The receiver of a scene."""
    scene = dialog.scene
    pair = authority.issue(HOSTNAME, as_file="server")
    certificates = ServerCertificates(pair.certificate, pair.key, authority.file)
    (directory / "spool").mkdir()
    async with open_office(
        directory / "spool",
        settings_for(scene, over_tls=over_tls),
        flow=ScenePolicy(scene),
        certificates=certificates,
        login=LoginSettings(allow_cram_md5=True),
    ) as office:
        if scene.account is not None:
            name, password = scene.account
            sealed = Sealer(b"k" * 32).seal(password.encode(), cram_purpose(name))
            office.store.kept[name] = Account(
                name=name,
                password_hash=hash_password(password),
                senders=("*",),
                scram=make_scram_keys(password),
                sealed_cram_secret=sealed,
                created_at=office.clock.now(),
            )
        refusal = scene.refusals.get(("message", ""))
        if refusal is not None:
            office.intake.failure = NotTaken(refusal, "the scene")
        yield office


async def play(office: Office, dialog: Dialog, tls: ssl.SSLContext, *, over_tls: bool) -> None:
    """Say what the client says, and compare."""
    is_secured = over_tls or "implicit-tls" in dialog.scene.offer
    client = await office.client(tls=tls if is_secured else None)
    for step in dialog.steps:
        match step:
            case Send(octets):
                client.send(octets)
            case Expect(patterns):
                for pattern in patterns:
                    await _expect(client, pattern)
            case Handshake():
                await client.writer.start_tls(tls, server_hostname=HOSTNAME)
            case ServerCloses():
                assert await client.rest() == b""
            case ClientCloses():
                client.writer.write_eof() if client.writer.can_write_eof() else client.close()
    client.close()
    while office.receiver.open_connections["in"]:
        await asyncio.sleep(0.001)


async def _expect(client: Client, pattern: str) -> None:
    lines = []
    while True:
        line = (await client.reader.readline()).decode().rstrip("\r\n")
        lines.append(_QUEUED.sub("OK", line))
        if not pattern.endswith(" ...") or pattern[3:4] == "-" or line[3:4] != "-":
            break
    assert not match_lines([pattern], lines), match_lines([pattern], lines)


def show(message: Message) -> str:
    """The envelope as dialogs write it."""
    envelope = message.envelope
    mail = MailFrom(
        sender=envelope.sender,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        ret=envelope.ret,
        envid=envelope.envid,
        declared_octets=envelope.declared_octets,
    )
    return show_envelope(mail, list(envelope.recipients))


def check_messages(office: Office, dialog: Dialog) -> None:
    """What arrived, and what was aborted."""
    assert len(office.intake.messages) == len(dialog.messages)
    for message, expected in zip(office.intake.messages, dialog.messages, strict=True):
        if expected.envelope is not None:
            wanted = expected.envelope.replace("-> Postmaster", "-> Postmaster@example.com")
            assert show(message) == re.sub(r"[; ]*AUTH=\S+", "", wanted)
        if expected.content is not None:
            assert octets_of(message).endswith(expected.content)
        for repair in expected.repairs:
            assert repair in message.repairs
    aborted = [str(r["reason"]) for r in office.intake.refusals("content") if "reply" not in r]
    assert aborted == dialog.aborts
