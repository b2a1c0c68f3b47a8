"""Any octets at the SMTP server machine: it never raises, and how they are split makes no difference."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.dialog import Scene
from tests.dialog_memory import MemoryDriver

from posthouse.wire.smtp.events import (
    Closed,
    ContentAborted,
    ContentChunk,
    ContentRequested,
    Reset,
    ServerEvent,
)

MAX_BACKLOG_OCTETS = 12288 + 2048


@dataclass(slots=True)
class Outcome:
    """What a session came to, without the accidents of splitting."""

    events: list[object] = field(default_factory=list)
    sent: bytes = b""


def one_input(data: bytes) -> None:
    """The first two octets choose server and split, the others are what the client sends."""
    if len(data) < 2:
        return
    choice, size, octets = data[0], data[1] % 16 + 1, data[2:]
    whole = play(choice, [octets])
    pieces = [octets[place : place + size] for place in range(0, len(octets), size)]
    assert play(choice, pieces) == whole


def play(choice: int, pieces: list[bytes]) -> Outcome:
    """One session from hello to end of input."""
    driver = MemoryDriver(scene_of(choice))
    sent = bytearray()
    for piece in pieces:
        sent += driver.feed(piece)
        if driver.machine.state not in ("handshake", "closed"):
            assert driver.machine.backlog_octets <= MAX_BACKLOG_OCTETS
    driver.machine.peer_closed()
    driver.pump()
    sent += driver.machine.data_to_send()
    return Outcome(normalised(driver.events), bytes(sent))


def scene_of(choice: int) -> Scene:
    """One of some servers that differ where it matters."""
    offer = {"before-tls": "PLAIN,LOGIN,CRAM-MD5,SCRAM-SHA-256,EXTERNAL", "max-errors": "50"}
    if choice & 1:
        offer |= {"max-message": "100", "max-line": "40", "max-recipients": "2"}
    if choice & 2:
        offer |= {"starttls": "", "no-chunking": ""}
    return Scene(offer=offer, newlines="repair" if choice & 4 else "refuse", account=("a", "b"))


def normalised(events: list[ServerEvent]) -> list[object]:
    """Chunks joined; chunks of a message that came to nothing left out, since how many came is an accident."""
    result: list[object] = []
    content: bytearray | None = None
    for event in events:
        match event:
            case ContentRequested():
                content = bytearray()
                result.append(event)
            case ContentChunk() if content is not None:
                content += event.data
                if event.is_last:
                    result.append((bytes(content), event.repaired_lines))
            case ContentAborted() | Reset() | Closed():
                content = None
                result.append(event)
            case _:
                result.append(event)
    return result
