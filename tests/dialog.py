"""Dialogs as a mail administrator writes them down, read into steps.

A dialog file has a title (``#`` lines), a head that says what the server is like, and the talk::

    # A recipient is refused
    offer: starttls mechanisms=PLAIN,LOGIN
    account: printer secret
    refuse rcpt bob@example.net: 550 5.1.1 User unknown

    S: 220 relay.example ESMTP Posthouse
    C: EHLO printer
    S: 250 ...
    C: MAIL FROM:<printer@example.com>

``C:`` is a line of the client, ``C>`` octets without line end and with ``\\r``, ``\\n``, ``\\t``, ``\\0``, ``\\xNN``,
``\\\\`` and ``{3000*A}`` for repetition. ``S:`` is a line of the server; ``...`` stands for any text, and
``S: 250 ...`` for a whole reply with that code. Lines of one side in a row are sent in one go. ``T:`` begins TLS.
After the reply to the content, ``E:`` shows the envelope, ``M:`` lines (or ``M>``, as ``C>``) the content and ``R:``
one repair. ``X: server closes``, ``X: client closes``. ``B:`` gives the reason of an aborted message.

Head: ``offer:`` takes words of `Scene.offer`; ``newlines: refuse`` or ``repair``; ``account: name password`` (also used
as certificate name); ``refuse hello|mail|rcpt|data|message WHAT: reply``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.mail.reply import Reply

DIALOGS = Path(__file__).parent / "golden" / "dialogs"


@dataclass(frozen=True, slots=True)
class Send:
    """Octets of the client."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Lines of the server, as patterns."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Handshake:
    """TLS begins."""


@dataclass(frozen=True, slots=True)
class ServerCloses:
    """The server ends the connection."""


@dataclass(frozen=True, slots=True)
class ClientCloses:
    """The client ends the connection."""


Step = Send | Expect | Handshake | ServerCloses | ClientCloses


@dataclass(slots=True)
class Expected:
    """One message that must have arrived; None means that the dialog does not say."""

    envelope: str | None = None
    content: bytes | None = None
    repairs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    """What the server is like.

    Attributes:
        offer: Words such as ``starttls``, ``implicit-tls``, ``auth-equals``, ``no-chunking``, ``mechanisms=A,B``,
            ``before-tls=A,B``, ``max-message=1000``, ``max-recipients=2``, ``max-errors=3``, ``max-line=100``.
        refusals: ``("rcpt", "bob@example.net")`` to the reply; the subject of ``data`` and ``message`` is empty.
    """

    offer: dict[str, str] = field(default_factory=dict)
    newlines: str = "refuse"
    account: tuple[str, str] | None = None
    refusals: dict[tuple[str, str], Reply] = field(default_factory=dict)


@dataclass(slots=True)
class Dialog:
    """One file."""

    name: str
    title: str
    scene: Scene
    steps: list[Step] = field(default_factory=list)
    messages: list[Expected] = field(default_factory=list)
    aborts: list[str] = field(default_factory=list)


def all_dialogs() -> list[Dialog]:
    """Every dialog of the collection, by name."""
    return [load_dialog(path) for path in sorted(DIALOGS.glob("*.txt"))]


def load_dialog(path: Path) -> Dialog:
    """Read one file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    title = " ".join(line[1:].strip() for line in lines if line.startswith("#"))
    dialog = Dialog(path.stem, title, Scene())
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            _read_line(dialog, line)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(f"{path}:{number}: {line!r} is not understood") from error
    return dialog


def _read_line(dialog: Dialog, line: str) -> None:
    if len(line) < 2 or line[1] not in ":>" or line[0] not in "CSTEMRXB":
        _read_head(dialog.scene, line)
        return
    kind, text = line[:2], line[3:]
    match kind:
        case "C:":
            _send(dialog, text.encode() + b"\r\n")
        case "C>":
            _send(dialog, unescape(text))
        case "S:":
            _expect(dialog, text)
        case "T:":
            dialog.steps.append(Handshake())
        case "E:":
            dialog.messages.append(Expected(envelope=text))
        case "M:" | "M>":
            message = dialog.messages[-1]
            octets = text.encode() + b"\r\n" if kind == "M:" else unescape(text)
            message.content = (message.content or b"") + octets
        case "R:":
            dialog.messages[-1].repairs.append(text)
        case "B:":
            dialog.aborts.append(text)
        case "X:":
            closes: dict[str, Step] = {"server closes": ServerCloses(), "client closes": ClientCloses()}
            dialog.steps.append(closes[text])
        case _:
            raise ValueError("unknown kind of line")


def _send(dialog: Dialog, octets: bytes) -> None:
    last = dialog.steps[-1] if dialog.steps else None
    if isinstance(last, Send):
        dialog.steps[-1] = Send(last.octets + octets)
    else:
        dialog.steps.append(Send(octets))


def _expect(dialog: Dialog, pattern: str) -> None:
    last = dialog.steps[-1] if dialog.steps else None
    if isinstance(last, Expect):
        dialog.steps[-1] = Expect((*last.patterns, pattern))
    else:
        dialog.steps.append(Expect((pattern,)))


def _read_head(scene: Scene, line: str) -> None:
    key, _, value = line.partition(": ")
    words = key.split()
    match words:
        case ["offer"]:
            scene.offer |= {word.partition("=")[0]: word.partition("=")[2] for word in value.split()}
        case ["newlines"]:
            scene.newlines = value
        case ["account"]:
            name, password = value.split(" ", 1)
            scene.account = (name, password)
        case ["refuse", verb, *subject]:
            code, enhanced, text = value.split(" ", 2)
            scene.refusals[(verb, " ".join(subject))] = Reply.of(int(code), enhanced, text)
        case _:
            raise ValueError("unknown head line")


def unescape(text: str) -> bytes:
    """Octets of a ``C>`` or ``M>`` line."""
    simple = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}

    def one(match: re.Match[str]) -> str:
        if match["count"]:
            return match["what"] * int(match["count"])
        if match["hex"]:
            return chr(int(match["hex"], 16))
        return simple[match["char"]].decode()

    pattern = r"\\x(?P<hex>[0-9A-Fa-f]{2})|\\(?P<char>.)|\{(?P<count>\d+)\*(?P<what>[^}]+)\}"
    return re.sub(pattern, one, text).encode("latin-1")


def match_lines(patterns: Sequence[str], lines: Sequence[str]) -> str:
    """Compare what the server said with what it should say.

    Returns:
        Empty if they agree, else what differs.
    """
    rest = list(lines)
    for pattern in patterns:
        if not rest:
            return f"expected {pattern!r}, got nothing more; all lines: {list(lines)}"
        code = pattern[:3]
        if pattern == f"{code} ...":
            while rest and rest[0].startswith(f"{code}-"):
                rest.pop(0)
            if not rest or not rest[0].startswith(f"{code} "):
                return f"expected a reply {code}, got {rest[:1]}; all lines: {list(lines)}"
            rest.pop(0)
        elif not re.fullmatch(".*".join(map(re.escape, pattern.split("..."))), rest[0].rstrip()):
            return f"expected {pattern!r}, got {rest[0]!r}"
        else:
            rest.pop(0)
    return f"not expected: {rest}" if rest else ""
