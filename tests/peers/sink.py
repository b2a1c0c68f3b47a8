"""A small SMTP server for tests: keeps every message, and fails at chosen points.

Written apart from the product, on asyncio streams in a thread of its own, so that it can judge the product.
Source: RFC 5321 4.1, RFC 3207, RFC 4954.
Shape: `Sink` serves from ``start`` to ``stop``; `Faults` says where it misbehaves; `Arrival` is one message taken. A
message counts as taken when its octets are in, also where the reply is then withheld.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from dataclasses import dataclass, field
from typing import Literal

from tests.peers.programs import wait_until

Point = Literal["greeting", "mail", "rcpt", "data", "content", "dot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message: envelope, octets (not dot-stuffed), and how it came."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    mail_arguments: str
    recipient_arguments: tuple[str, ...]
    login: str
    tls: bool
    connection: int


@dataclass(slots=True, kw_only=True)
class Faults:
    """What goes wrong, and how often.

    Attributes:
        replies: A reply for a point instead of the good one.
        recipients: A reply for one recipient (lower case).
        cut: Close the connection at this point, without a reply.
        stall: Never answer at this point.
        times: So many times; afterwards all goes well. Negative: always.
    """

    replies: dict[Point, str] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)
    cut: Point | None = None
    stall: Point | None = None
    times: int = -1

    def _spend(self) -> bool:
        if self.times == 0:
            return False
        self.times -= 1
        return True

    def reply(self, point: Point) -> str | None:
        """The bad reply due at this point, if any."""
        return self.replies[point] if point in self.replies and self._spend() else None

    def cuts(self, point: Point) -> bool:
        """Whether the connection ends here."""
        return self.cut == point and self._spend()

    def stalls(self, point: Point) -> bool:
        """Whether no answer ever comes here."""
        return self.stall == point and self._spend()


class Cut(Exception):
    """The sink closes the connection."""


class Sink:
    """The server. Its attributes may be read from any thread; lists only grow."""

    def __init__(
        self,
        *,
        faults: Faults | None = None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        logins: dict[str, str] | None = None,
        extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 200000000"),
    ) -> None:
        self.faults = faults or Faults()
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self.port = 0
        self._tls, self._implicit, self._logins = tls, implicit, logins or {}
        self._extensions = extensions
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="sink", daemon=True)
        self._ready = threading.Event()

    def start(self, port: int = 0) -> Sink:
        """Begin to listen."""
        self.port = port
        self._thread.start()
        assert self._ready.wait(10), "the sink did not start"
        return self

    def stop(self) -> None:
        """Close every connection and the listener."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def wait_for(self, count: int, seconds: float = 30) -> list[Arrival]:
        """Wait until ``count`` messages are in."""
        wait_until(
            lambda: len(self.arrivals) >= count, seconds, lambda: f"{count} messages, {len(self.arrivals)} so far"
        )
        return self.arrivals

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        context = self._tls if self._implicit else None
        server = self._loop.run_until_complete(
            asyncio.start_server(self._session, "127.0.0.1", self.port, ssl=context, limit=1 << 20, backlog=1000)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await _Session(self, self.connections, reader, writer).run()
        except (Cut, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The test cut the connection, the peer did, or the sink is being stopped.
            return
        finally:
            writer.close()

    @property
    def logins(self) -> dict[str, str]:
        """Accounts and passwords; empty where nobody needs to log in."""
        return self._logins

    @property
    def context(self) -> ssl.SSLContext | None:
        """For STARTTLS; None where it is not offered."""
        return None if self._implicit else self._tls

    @property
    def extensions(self) -> tuple[str, ...]:
        """EHLO keywords besides STARTTLS and AUTH."""
        return self._extensions


class _Session:
    """One connection of the sink."""

    def __init__(self, sink: Sink, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink, self.number, self.reader, self.writer = sink, number, reader, writer
        self.tls = writer.get_extra_info("ssl_object") is not None
        self.login = ""
        self.mail: tuple[str, str] | None = None
        self.rcpt: list[tuple[str, str]] = []

    async def run(self) -> None:
        await self._answer("greeting", "220 sink.test ESMTP")
        while line := await self.reader.readline():
            verb, _, rest = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
            match verb.upper():
                case "EHLO":
                    await self._say(*self._capabilities())
                case "HELO" | "NOOP":
                    await self._say("250 sink.test")
                case "RSET":
                    self._forget()
                    await self._say("250 2.0.0 Forgotten")
                case "STARTTLS":
                    await self._start_tls()
                case "AUTH":
                    await self._authenticate(rest)
                case "MAIL":
                    await self._mail(rest)
                case "RCPT":
                    await self._recipient(rest)
                case "DATA":
                    await self._data()
                case "QUIT":
                    await self._say("221 2.0.0 Bye")
                    return
                case _:
                    await self._say("500 5.5.2 Not known")

    def _capabilities(self) -> list[str]:
        names = ["sink.test", *self.sink.extensions]
        if self.sink.context is not None and not self.tls:
            names.append("STARTTLS")
        if self.sink.logins:
            names.append("AUTH PLAIN LOGIN")
        return [f"250-{name}" for name in names[:-1]] + [f"250 {names[-1]}"]

    async def _say(self, *lines: str) -> None:
        self.writer.write("".join(line + "\r\n" for line in lines).encode())
        await self.writer.drain()

    async def _answer(self, point: Point, good: str) -> bool:
        if self.sink.faults.cuts(point):
            raise Cut
        if self.sink.faults.stalls(point):
            await asyncio.Event().wait()
        bad = self.sink.faults.reply(point)
        await self._say(bad or good)
        return bad is None

    def _forget(self) -> None:
        self.mail = None
        self.rcpt = []

    async def _start_tls(self) -> None:
        if self.sink.context is None or self.tls:
            await self._say("502 5.5.1 Not offered")
            return
        await self._say("220 2.0.0 Go on")
        await self.writer.start_tls(self.sink.context)
        self.tls = True
        self._forget()

    async def _authenticate(self, rest: str) -> None:
        mechanism, _, first = rest.partition(" ")
        if mechanism.upper() == "PLAIN":
            _, user, password = ((first and _decode(first)) or await self._challenge("")).split("\0")
        else:
            user = (first and _decode(first)) or await self._challenge("Username:")
            password = await self._challenge("Password:")
        if self.sink.logins.get(user) != password:
            await self._say("535 5.7.8 No")
            return
        self.login = user
        await self._say("235 2.7.0 Welcome")

    async def _challenge(self, prompt: str) -> str:
        await self._say(f"334 {base64.b64encode(prompt.encode()).decode()}")
        return _decode((await self.reader.readline()).decode().strip())

    async def _mail(self, rest: str) -> None:
        if self.sink.logins and not self.login:
            await self._say("530 5.7.0 Log in")
        elif await self._answer("mail", "250 2.1.0 Ok"):
            self._forget()
            self.mail = _path(rest)

    async def _recipient(self, rest: str) -> None:
        path = _path(rest)
        refusal = self.sink.faults.recipients.get(path[0].lower())
        if refusal is not None:
            await self._say(refusal)
        elif self.mail is None:
            await self._say("503 5.5.1 MAIL first")
        elif await self._answer("rcpt", "250 2.1.5 Ok"):
            self.rcpt.append(path)

    async def _data(self) -> None:
        if self.mail is None or not self.rcpt:
            await self._say("503 5.5.1 No valid recipients")
            return
        if not await self._answer("data", "354 Go on"):
            return
        if self.sink.faults.cuts("content"):
            await self.reader.readline()
            raise Cut
        content = await self._content()
        if "dot" not in self.sink.faults.replies or self.sink.faults.times == 0:
            self._keep(content, self.mail)
        await self._answer("dot", "250 2.0.0 Taken")
        self._forget()

    async def _content(self) -> bytes:
        lines: list[bytes] = []
        while (line := await self.reader.readuntil(b"\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def _keep(self, content: bytes, mail: tuple[str, str]) -> None:
        self.sink.arrivals.append(
            Arrival(
                sender=mail[0],
                recipients=tuple(path for path, _ in self.rcpt),
                content=content,
                mail_arguments=mail[1],
                recipient_arguments=tuple(arguments for _, arguments in self.rcpt),
                login=self.login,
                tls=self.tls,
                connection=self.number,
            )
        )


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()


def _path(rest: str) -> tuple[str, str]:
    """``FROM:<a@b> SIZE=1`` as address and arguments."""
    path, _, arguments = rest.partition(":")[2].strip().partition(">")
    return path.lstrip("<"), arguments.strip()
