"""A next hop that says and does exactly what a test wants, over a real socket.

`Script` is what one connection is like; a server takes one script for each connection, the last for all that follow.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType


class Fault(Enum):
    """Instead of a reply."""

    DROP = auto()
    """Close in order."""
    ABORT = auto()
    """Reset the connection."""
    SILENCE = auto()
    """Say nothing, but read on."""
    DEAF = auto()
    """Say nothing and read nothing."""


@dataclass(frozen=True)
class Half:
    """Say this much and close."""

    octets: bytes


Say = bytes | Fault | Half
Answer = Say | Callable[[str], Say]


@dataclass
class Script:
    """One connection. `on` answers by verb; CONTENT stands for the final dot and for BDAT."""

    greeting: Say = b"220 mx.y.example ESMTP\r\n"
    keywords: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 200000000")
    secured_keywords: tuple[str, ...] | None = None
    on: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    is_implicit: bool = False
    stops_reading_after: int | None = None


@dataclass
class Seen:
    """What one connection brought."""

    commands: list[str] = field(default_factory=list)
    messages: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    content_octets: int = 0
    is_secured: bool = False
    peer_certificate: object = None


class _Over(Exception):
    """The connection ends here."""


class ScriptedServer:
    """Use as ``async with ScriptedServer(script) as server``."""

    def __init__(self, *scripts: Script, keeps_content: bool = True) -> None:
        self.scripts = scripts or (Script(),)
        self.keeps_content = keeps_content
        self.sessions: list[Seen] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._deaf = asyncio.Event()

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._deaf.set()
        for writer in self._writers:
            writer.transport.abort()

    @property
    def messages(self) -> list[tuple[str, list[str], bytes]]:
        """All messages that were taken, of all connections."""
        return [message for seen in self.sessions for message in seen.messages]

    def commands(self, verb: str) -> list[str]:
        """All commands with this verb, of all connections."""
        return [c for seen in self.sessions for c in seen.commands if c.upper().startswith(verb)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(len(self.sessions), len(self.scripts) - 1)]
        seen = Seen()
        self.sessions.append(seen)
        self._writers.append(writer)
        try:
            await _Conversation(script, seen, reader, writer, self.keeps_content, self._deaf).run()
        except (_Over, OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


class _Conversation:
    def __init__(
        self,
        script: Script,
        seen: Seen,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        keeps_content: bool,
        deaf: asyncio.Event,
    ) -> None:
        self.deaf = deaf
        self.script, self.seen, self.reader, self.writer = script, seen, reader, writer
        self.keeps_content = keeps_content
        self.sender = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        if self.script.is_implicit:
            await self.secure()
        await self.say(self.script.greeting)
        while line := await self.reader.readline():
            text = line.decode().rstrip("\r\n")
            self.seen.commands.append(text)
            await self.obey(text)

    async def obey(self, text: str) -> None:
        verb = text.partition(" ")[0].upper()
        if verb == "BDAT":
            await self.take_chunk(int(text.split()[1]))
            return
        reply = self.answer(verb, text)
        if verb == "AUTH" and verb not in self.script.on:
            await self.log_in(text)
            return
        if verb == "STARTTLS" and verb not in self.script.on:
            await self.say(b"220 2.0.0 Ready\r\n")
            await self.secure()
            return
        self.note(verb, text, reply)
        await self.say(reply)
        if verb == "DATA" and isinstance(reply, bytes) and reply.startswith(b"354"):
            await self.take_data()
        if verb == "QUIT":
            raise _Over

    def answer(self, verb: str, text: str) -> Say:
        found = self.script.on.get(verb)
        if found is not None:
            return found(text) if callable(found) else found
        match verb:
            case "EHLO":
                return self.hello()
            case "DATA":
                return b"354 Go ahead\r\n" if self.recipients else b"554 5.5.1 No valid recipients\r\n"
            case "CONTENT":
                return b"250 2.0.0 Queued\r\n"
            case "QUIT":
                return b"221 2.0.0 Bye\r\n"
            case _:
                return b"250 2.1.0 Ok\r\n"

    def hello(self) -> bytes:
        keywords = self.script.keywords
        if self.seen.is_secured and self.script.secured_keywords is not None:
            keywords = self.script.secured_keywords
        elif self.script.tls is not None and not self.seen.is_secured:
            keywords = (*keywords, "STARTTLS")
        return "".join(f"250-{line}\r\n" for line in ("mx.y.example", *keywords)).encode() + b"250 HELP\r\n"

    def note(self, verb: str, text: str, reply: Say) -> None:
        is_positive = isinstance(reply, bytes) and reply.startswith(b"2")
        if verb == "MAIL":
            self.sender, self.recipients = text if is_positive else "", []
        elif verb == "RCPT" and is_positive and self.sender:
            self.recipients.append(text[len("RCPT TO:") :])
        elif verb == "RSET":
            self.recipients = []

    async def log_in(self, text: str) -> None:
        words = text.split()
        answers = [words[2]] if len(words) > 2 else []
        if words[1].upper() == "LOGIN":
            for prompt in (b"Username:", b"Password:"):
                await self.say(b"334 " + base64.b64encode(prompt) + b"\r\n")
                answers.append((await self.reader.readline()).decode().strip())
        self.seen.commands.append("credentials " + " ".join(answers))
        await self.say(b"235 2.7.0 Authentication successful\r\n")

    async def secure(self) -> None:
        assert self.script.tls is not None
        plain = self.writer.transport
        try:
            await self.writer.start_tls(self.script.tls)
        except AttributeError as error:
            # The peer was gone before the handshake was over, and asyncio forgot the transport.
            self.writer._transport = plain  # type: ignore[attr-defined]
            raise _Over from error
        self.seen.is_secured = True
        self.seen.peer_certificate = self.writer.get_extra_info("peercert")

    async def take_data(self) -> None:
        lines: list[bytes] = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise _Over
            self.seen.content_octets += len(line)
            if (
                self.script.stops_reading_after is not None
                and self.seen.content_octets > self.script.stops_reading_after
            ):
                await self.say(self.answer("CONTENT", ""))
                raise _Over
            if self.keeps_content:
                lines.append(line.removeprefix(b"."))
        await self.finish(b"".join(lines))

    async def take_chunk(self, size: int) -> None:
        content = await self.reader.readexactly(size)
        self.seen.content_octets += size
        await self.finish(content)

    async def finish(self, content: bytes) -> None:
        reply = self.answer("CONTENT", "")
        if not self.recipients:
            reply = b"554 5.5.1 No valid recipients\r\n"
        if isinstance(reply, bytes) and reply.startswith(b"2"):
            self.seen.messages.append((self.sender, self.recipients, content if self.keeps_content else b""))
        self.recipients = []
        await self.say(reply)

    async def say(self, what: Say) -> None:
        match what:
            case bytes():
                self.writer.write(what)
                await self.writer.drain()
            case Half(octets=octets):
                self.writer.write(octets)
                raise _Over
            case Fault.DROP:
                raise _Over
            case Fault.ABORT:
                self.writer.transport.abort()
                raise _Over
            case Fault.DEAF:
                await self.deaf.wait()
                raise _Over
            case Fault.SILENCE:
                while await self.reader.read(1 << 16):
                    pass
                raise _Over
