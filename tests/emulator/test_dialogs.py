"""The dialogues in `dialogs/`, to the byte: in memory whole, in memory byte by byte, and over the network with TLS.

Files whose names begin with `mx-` are held with the MX. A file has lines `C:` and `S:`, and `T:` for the handshake.
`{b64:...}`, `{bearer:user:token}` (an empty token is filled in with a good one), `{greeting}` and `{hello}` are written
out before use.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.emulator.talk import b64, bearer, make_token

from m365emu.clock import ManualClock
from m365emu.emulator import Emulator
from m365emu.smtp.desk import Tls
from m365emu.tenant import Tenant

DIALOGS = sorted(Path(__file__).with_name("dialogs").glob("*.txt"))
FIRST = DIALOGS[[path.stem for path in DIALOGS].index("encryption-and-login")].read_text(encoding="utf-8")
_REPLIES = re.findall(r"(?:^S: .*\n)+", FIRST, re.MULTILINE)
GREETING, CLEAR_HELLO, SECURE_HELLO = _REPLIES[0], _REPLIES[1], _REPLIES[3]


@dataclass
class Turn:
    """What the client sends, and all that the server answers to it."""

    client: bytes
    server: bytes = b""
    handshake: bool = False


def is_for_the_mx(path: Path) -> bool:
    return path.stem.startswith("mx-")


def turns(path: Path, emulator: Emulator) -> list[Turn]:
    result = [Turn(b"")]
    for line in expanded(path.read_text(encoding="utf-8"), emulator):
        kind, _, text = line.partition(":")
        octets = text.removeprefix(" ").encode() + b"\r\n"
        if kind == "S":
            result[-1].server += octets
        elif kind == "T":
            result.append(Turn(b"", handshake=True))
        elif result[-1].server or result[-1].handshake or len(result) == 1:
            result.append(Turn(octets))
        else:
            result[-1].client += octets
    return result


def expanded(text: str, emulator: Emulator) -> Iterator[str]:
    text = text.replace("S: {greeting}\n", GREETING)
    before, handshake, after = text.partition("T: handshake\n")
    text = before.replace("S: {hello}\n", CLEAR_HELLO) + handshake + after.replace("S: {hello}\n", SECURE_HELLO)
    text = re.sub(r"\{b64:([^}]*)\}", lambda found: b64(found[1]), text)
    text = re.sub(
        r"\{bearer:([^:}]*):([^}]*)\}",
        lambda found: bearer(found[1], found[2] or make_token(emulator)),
        text,
    )
    return (line for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20], ids=["byte-by-byte", "in-sevens", "whole"])
@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
def test_the_dialogue_is_kept_to_the_byte_in_memory(path: Path, piece: int, emulator: Emulator) -> None:
    host = emulator.exchanger if is_for_the_mx(path) else emulator.host
    session = host.new_session("127.0.0.1")
    session.open()
    for turn in turns(path, emulator):
        if turn.handshake:
            session.secured(Tls(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384"))
        for start in range(0, len(turn.client), piece):
            session.receive(turn.client[start : start + piece])
        assert session.take_output() == turn.server


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_the_dialogue_is_kept_to_the_byte_over_the_network(
    path: Path, directory: Path, tenant: Tenant, clock: ManualClock
) -> None:
    async with Emulator(directory, tenant=tenant, clock=clock) as emulator:
        host, _, port = (emulator.mx if is_for_the_mx(path) else emulator.submission).rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for turn in turns(path, emulator):
            if turn.handshake:
                await writer.start_tls(ssl.create_default_context(cafile=emulator.ca), server_hostname="localhost")
            writer.write(turn.client)
            if turn.server:
                assert await reader.readexactly(len(turn.server)) == turn.server
        assert await reader.read() == b""
        writer.close()
