"""Foreign programs and servers as child processes: found, started, waited for, stopped.

Shape: `require` gives the path of a program or ends the test: skipped by name on a developer's machine, failed under
``CI=true``. `Server` is one child that stays; it is ended by its own process group, never by name. `run` is one child
that ends by itself.
Failures: a server that ends early or is not ready in time raises `ServerFailed` with the end of its log.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PEERS = CHECKOUT / ".peers"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"])
START_SECONDS = 20.0


class ServerFailed(Exception):
    """A server did not come up, or did not answer; the text carries the end of its log."""


def cannot(reason: str) -> None:
    """End the test: what is missing is a failure for continuous integration and a skip for a person."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def missing(name: str) -> None:
    """End the test because a program is not there."""
    cannot(f"{name} is not installed; .ci/install-peers installs it")


def require(name: str) -> Path:
    """The path of a program, or the end of the test."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        missing(name)
    return Path(str(found))


def require_file(path: Path, name: str) -> Path:
    """A file of an unpacked peer, or the end of the test."""
    if not path.exists():
        missing(name)
    return path


def require_root(name: str) -> None:
    """End the test where only root can start the program."""
    if os.geteuid() != 0:
        cannot(f"{name} can be started by root only")


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of a program that ended: exit code and everything it wrote, both streams in order."""

    code: int
    output: str


def run(
    command: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 60,
    merge: bool = True,
) -> Finished:
    """Run a program to its end, at most ``seconds``. Without ``merge`` a good end gives standard output alone."""
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=seconds,
        check=False,
    )
    output = done.stdout if done.returncode == 0 else done.stdout + (done.stderr or b"")
    return Finished(code=done.returncode, output=output.decode(errors="replace"))


class Server:
    """One child process that serves until it is stopped."""

    def __init__(self, command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def wait_for_line(self, start: str, seconds: float = START_SECONDS) -> str:
        """Wait until the server prints a line that begins with ``start``."""
        stdout = self.process.stdout
        assert stdout is not None
        deadline = time.monotonic() + seconds
        seen = b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([stdout], [], [], left)[0]:
                continue
            chunk = os.read(stdout.fileno(), 4096)
            if not chunk:
                break
            seen += chunk
            for line in seen.decode(errors="replace").splitlines():
                if line.startswith(start):
                    return line
        raise ServerFailed(f"no line {start!r}; printed {seen!r}; log:\n{self.last_words()}")

    def wait_for_port(self, port: int, address: str = "127.0.0.1", seconds: float = START_SECONDS) -> None:
        """Wait until the server greets a connection on ``port``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"ended with code {self.process.returncode}; log:\n{self.last_words()}")
            try:
                with socket.create_connection((address, port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise ServerFailed(f"nothing on port {port} within {seconds} s; log:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        """SIGKILL, at once."""
        self._signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, then SIGKILL after ``seconds``; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=seconds)
        self._signal(signal.SIGKILL)
        code = self.process.wait(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


def wait_until(condition: Callable[[], object], seconds: float, what: str | Callable[[], str]) -> None:
    """Wait until a function gives something true; at most ``seconds``, then fail and say ``what``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
