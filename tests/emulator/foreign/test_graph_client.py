"""Microsoft's own JavaScript libraries, msal-node and the Graph client, send mail through the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.emulator.foreign.letter import ATTACHMENT, Letter, assert_whole, write_letter, write_options
from tests.emulator.foreign.libraries import HERE, NODE_MODULES
from tests.peers.programs import Finished, require, require_file, run

from m365emu.client_certificates import client_certificates
from m365emu.emulator import Emulator

RELAY = "relay@contoso.example"
Send = Callable[..., Finished]


@pytest.fixture
def send(running: Emulator, room: Path) -> Send:
    """Sends a letter with the two libraries; further arguments replace what they are told."""
    running.control.patch({"applications": {running.client_id: {"roles": ["Mail.Send", "Mail.ReadWrite"]}}})
    return partial(_send, running, room)


def _send(emulator: Emulator, room: Path, letter: Letter, way: str, **changes: object) -> Finished:
    for name in ("@azure/msal-node", "@microsoft/microsoft-graph-client"):
        require_file(NODE_MODULES / name, name)
    (room / "letter.eml").write_bytes(letter.octets)
    options = letter.write_parts(room) | {
        "authority": emulator.authority,
        "graph": emulator.graph,
        "clientId": emulator.client_id,
        "clientSecret": emulator.client_secret,
        "mime": str(room / "letter.eml"),
        "way": way,
    }
    return run(
        [require("node"), HERE / "graph.js", write_options(room, {**options, **changes})],
        env={"NODE_PATH": str(NODE_MODULES), "NODE_EXTRA_CA_CERTS": str(emulator.ca)},
    )


@pytest.mark.parametrize(("way", "size"), [("json", 1), ("mime", 1), ("upload", 250)])
async def test_a_message_sent_by_graph_arrives_whole(running: Emulator, send: Send, way: str, size: int) -> None:
    # Graph takes upload sessions from 3 MB on.
    letter = replace(write_letter(RELAY), attachment=ATTACHMENT * size)
    done = await asyncio.to_thread(send, letter, way)
    assert done.code == 0, done.output
    (record,) = await running.wait_for_messages(letter.recipient)
    assert_whole(running.content(record), letter)
    assert (record.mailbox, record.envelope_to) == (RELAY, [letter.recipient])


async def test_a_certificate_stands_for_the_client_secret(running: Emulator, directory: Path, send: Send) -> None:
    files = client_certificates(directory)
    running.control.patch({"applications": {running.client_id: {"certificates": [{"pem": files.app.read_text()}]}}})
    certificate = x509.load_pem_x509_certificate(files.app.read_bytes())
    proof = {
        "thumbprintSha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "privateKey": files.app_key.read_text(),
    }
    letter = write_letter(RELAY)
    done = await asyncio.to_thread(send, letter, "mime", clientSecret="", clientCertificate=proof)
    assert done.code == 0, done.output
    (record,) = await running.wait_for_messages(letter.recipient)
    assert_whole(running.content(record), letter)


async def test_a_wrong_client_secret_is_answered_in_entras_words(running: Emulator, send: Send) -> None:
    done = await asyncio.to_thread(send, write_letter(RELAY), "json", clientSecret="wrong-secret")
    assert done.code != 0
    assert "AADSTS7000215: Invalid client secret provided." in done.output
    assert "wrong-secret" not in done.output


async def test_an_application_that_may_not_send_is_refused(running: Emulator, send: Send) -> None:
    running.control.patch({"applications": {running.client_id: {"roles": ["Mail.Read"]}}})
    done = await asyncio.to_thread(send, write_letter(RELAY), "json")
    assert done.code != 0
    assert "403 ErrorAccessDenied" in done.output
    assert running.store.messages() == []
