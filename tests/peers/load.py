"""A client that sends without pause over several connections and notes what became of every message.

Shape: `Load` runs in threads of its own until stopped or until the server goes away; then `Load.taken` are the marks
of messages answered 250, `Load.unanswered` those whose octets went out without an answer: they may or may not be kept.
"""

from __future__ import annotations

import itertools
import socket
import threading
from dataclasses import dataclass, field
from typing import BinaryIO

from tests.peers.clients import RECIPIENT, SENDER


@dataclass(slots=True, kw_only=True)
class Load:
    """One burst against one port."""

    port: int
    connections: int = 8
    recipients: tuple[str, ...] = (RECIPIENT,)
    label: str = "load"
    body: bytes = b"A line of text.\r\n" * 40
    taken: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Load:
        """Begin on all connections."""
        for number in range(self.connections):
            thread = threading.Thread(target=self._send_all, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def wait_for(self, count: int, seconds: float = 20) -> None:
        """Wait until so many messages are taken."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.002)):
            if len(self.taken) >= count:
                return
            pause.wait(0.002)
        raise AssertionError(f"only {len(self.taken)} of {count} messages taken; refused: {self.refused[:3]}")

    def stop(self) -> Load:
        """Let every connection finish its message, or notice that the server is gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a connection hangs"
        return self

    def _send_all(self, number: int) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                replies = connection.makefile("rb")
                _expect(replies.readline(), b"220")
                connection.sendall(b"HELO load.test\r\n")
                _expect(replies.readline(), b"250")
                for count in itertools.count():
                    if self._stop.is_set():
                        return
                    self._send_one(connection, replies, f"{self.label}-{number}-{count}")
        except OSError:
            return

    def _send_one(self, connection: socket.socket, replies: BinaryIO, mark: str) -> None:
        rcpt = "".join(f"RCPT TO:<{name}>\r\n" for name in self.recipients)
        connection.sendall(f"MAIL FROM:<{SENDER}>\r\n{rcpt}DATA\r\n".encode())
        for wanted in [b"250"] * (1 + len(self.recipients)) + [b"354"]:
            _expect(replies.readline(), wanted)
        header = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: {mark}\r\nMessage-ID: <{mark}@load.test>\r\n"
        self.unanswered.add(mark)
        connection.sendall(header.encode() + b"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n" + self.body + b".\r\n")
        reply = replies.readline()
        if reply.startswith(b"250"):
            self.taken.add(mark)
        elif reply:
            self.refused.append(reply.decode(errors="replace"))
        else:
            raise ConnectionError("closed before the reply")
        self.unanswered.discard(mark)


def _expect(line: bytes, code: bytes) -> None:
    if not line.startswith(code):
        raise ConnectionError(f"expected {code!r}, got {line!r}")
