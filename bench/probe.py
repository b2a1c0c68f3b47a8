"""Time to the 250, seen by one more client while the load runs. A process of its own: ``python -m bench.probe PORT``.

It sends one 4 KB message after the other over one kept connection, with a short pause between them, until its standard
input is closed; then it prints the milliseconds from the final dot to the reply, one line each. smtp-source gives none.
"""

from __future__ import annotations

import select
import socket
import sys
import time

PAUSE_SECONDS = 0.005
_BODY = b"Subject: probe\r\n\r\n" + b"x" * 70 + b"\r\n"
_MESSAGE = _BODY + (b"y" * 78 + b"\r\n") * 50


def main() -> None:
    """Probe the port given as argument."""
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        replies = connection.makefile("rb")
        _expect(replies.readline(), b"220")
        connection.sendall(b"HELO probe.test\r\n")
        _expect(replies.readline(), b"250")
        while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            for command, code in (
                (b"MAIL FROM:<probe@example.com>\r\n", b"250"),
                (b"RCPT TO:<probe@example.net>\r\n", b"250"),
                (b"DATA\r\n", b"354"),
            ):
                connection.sendall(command)
                _expect(replies.readline(), code)
            connection.sendall(_MESSAGE)
            begin = time.perf_counter()
            connection.sendall(b".\r\n")
            _expect(replies.readline(), b"250")
            times.append((time.perf_counter() - begin) * 1000)
    print("\n".join(f"{value:.3f}" for value in times))


def _expect(line: bytes, code: bytes) -> None:
    if not line.startswith(code):
        raise SystemExit(f"expected {code!r}, got {line!r}")


if __name__ == "__main__":
    main()
