"""Postfix's own ``smtp-sink``: takes mail, or misbehaves as its options say, and dumps each message into a file."""

from __future__ import annotations

from pathlib import Path

from tests.peers.programs import Server, free_port, require, wait_until


class SmtpSink:
    """One running ``smtp-sink``. `options` as in its manual: ``"-r", "rcpt"`` refuses recipients with 450."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        self._messages = directory / "sunk"
        self._messages.mkdir()
        self._messages.chmod(0o777)
        command: list[str | Path] = [require("smtp-sink"), "-u", "nobody", "-d", f"{self._messages}/message."]
        command += [*options, f"127.0.0.1:{self.port}", "1000"]
        self._server = Server(command, directory / "smtp-sink.log")
        self._server.wait_for_port(self.port)

    def messages(self) -> list[bytes]:
        """The dump of every transaction: the envelope as X- fields, then the message with bare LF."""
        return [path.read_bytes() for path in sorted(self._messages.iterdir())]

    def wait_for_mail(self, count: int = 1, seconds: float = 30) -> list[bytes]:
        """Wait until so many transactions are dumped."""
        wait_until(lambda: len(self.messages()) >= count, seconds, f"{count} messages in smtp-sink")
        return self.messages()

    def stop(self) -> None:
        """End it."""
        self._server.stop()
