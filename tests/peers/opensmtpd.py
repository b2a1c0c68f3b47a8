"""A real OpenSMTPD of one's own as next hop: takes mail for every domain and puts it into one maildir.

Shape: `OpenSmtpd` writes a configuration below a private directory and runs the daemon in the foreground. Its spool,
its empty directory and its users are private to the process. With a certificate it offers STARTTLS, but Debian
12's build (6.8 on OpenSSL 3) fails every handshake: a peer whose TLS is offered and broken.
Source: smtpd.conf(5) by observation. Failures: `programs.ServerFailed` with the end of its log.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.peers.certificates import Pair
from tests.peers.private_view import private_view
from tests.peers.programs import PEERS, Server, free_port, require_file, wait_until

_USERS = ("opensmtpd", "opensmtpq", "mailbox")
_CONFIGURATION = """\
{pki}smtp max-message-size 200M
listen on 127.0.0.1 port {port} {tls} hostname next-hop.test
action "inbox" maildir "{directory}/mail" virtual {{ "@" = "mailbox" }}
match from any for any action "inbox"
"""


class OpenSmtpd:
    """One instance. `start` it, read `port`, `stop` it."""

    def __init__(self, directory: Path, broken_tls: Pair | None = None) -> None:
        self.program = require_file(PEERS / "opensmtpd/usr/sbin/smtpd", "OpenSMTPD")
        self.directory = directory
        self.port = free_port()
        self._tls = broken_tls
        self._server: Server | None = None

    def start(self) -> OpenSmtpd:
        """Serve."""
        configuration = self.directory / "smtpd.conf"
        pki = ""
        if self._tls is not None:
            pki = f'pki own cert "{self._tls.certificate}"\npki own key "{self._tls.key}"\n'
            # The daemon refuses a key that others may read.
            self._tls.key.chmod(0o600)
        tls = "tls pki own" if pki else ""
        configuration.write_text(_CONFIGURATION.format(pki=pki, tls=tls, port=self.port, directory=self.directory))
        for name in ("run", "lib/opensmtpd/empty", "spool/smtpd", "mail"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "spool/smtpd").chmod(0o711)
        os.chown(self.directory / "mail", 64002, 64002)
        command: list[str | Path] = [self.program, "-d", "-f", configuration]
        copies = {
            "/run": self.directory / "run",
            "/var/lib": self.directory / "lib",
            "/var/spool": self.directory / "spool",
            "/usr/libexec": PEERS / "opensmtpd/usr/libexec",
        }
        self._server = Server(
            private_view(self.directory, command, users=_USERS, copies=copies), self.directory / "smtpd.log"
        )
        self._server.wait_for_port(self.port)
        return self

    def stop(self) -> None:
        """End all processes of this instance."""
        if self._server is not None:
            self._server.stop()

    def wait_for_mail(self, count: int = 1, seconds: float = 30) -> list[bytes]:
        """Every delivered message, with the line ends OpenSMTPD gave it, once there are so many."""
        folder = self.directory / "mail/new"
        wait_until(lambda: folder.exists() and len(list(folder.iterdir())) >= count, seconds, f"{count} in the maildir")
        return [path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)]
