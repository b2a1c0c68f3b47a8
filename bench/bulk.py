"""Sends big messages as fast as a socket takes them: ``python -m bench.bulk PORT SESSIONS COUNT SIZE``.

smtp-source writes line by line, which costs it more time for 5 MB than a good server needs to take them in, so beyond a
point it measures itself. Here the octets are made once and handed to the kernel in one piece.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
from collections.abc import Callable

_LINE = b"z" * 78 + b"\r\n"


def main() -> None:
    """Send; the exit code is 1 where any message was not taken."""
    port, sessions, count, size = (int(text) for text in sys.argv[1:])
    message = b"Subject: bulk\r\n\r\n" + _LINE * (size // len(_LINE)) + b".\r\n"
    numbers = itertools.count()
    failures: list[str] = []

    def work() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
                replies = connection.makefile("rb")
                _expect(replies.readline(), b"220")
                _ask(connection, replies.readline, b"HELO bulk.test\r\n", b"250")
                while next(numbers) < count:
                    _ask(connection, replies.readline, b"MAIL FROM:<bulk@example.com>\r\n", b"250")
                    _ask(connection, replies.readline, b"RCPT TO:<bulk@example.net>\r\n", b"250")
                    _ask(connection, replies.readline, b"DATA\r\n", b"354")
                    _ask(connection, replies.readline, message, b"250")
        except (OSError, ValueError) as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit("\n".join(failures))


def _ask(connection: socket.socket, read: Callable[[], bytes], octets: bytes, code: bytes) -> None:
    connection.sendall(octets)
    _expect(read(), code)


def _expect(line: bytes, code: bytes) -> None:
    if not line.startswith(code):
        raise ValueError(f"expected {code!r}, got {line!r}")


if __name__ == "__main__":
    main()
