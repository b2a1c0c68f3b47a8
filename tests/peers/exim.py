"""A real Exim of one's own as next hop: takes mail for every domain and puts it into one maildir.

Shape: `Exim` writes a configuration below a private directory and runs the daemon in the foreground, with STARTTLS and,
where there are accounts, AUTH PLAIN after TLS only.
Source: the Exim specification by observation. Failures: `programs.ServerFailed` with the end of Exim's log.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.peers.certificates import Pair
from tests.peers.private_view import private_view
from tests.peers.programs import PEERS, Server, free_port, require_file, wait_until

_USER = "Debian-exim"
_CONFIGURATION = """\
exim_path = {program}
keep_environment =
primary_hostname = next-hop.test
spool_directory = {directory}/spool
log_file_path = {directory}/spool/%s.log
pid_file_path = {directory}/spool/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
dns_again_means_nonexist = *
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if def:tls_in_cipher {{*}}{{}}}}
message_size_limit = 200M
acl_smtp_rcpt = check_recipient

begin acl
check_recipient:
  {condition}

begin routers
everything:
  driver = accept
  transport = inbox

begin transports
inbox:
  driver = appendfile
  directory = {directory}/spool/inbox
  maildir_format
  user = {user}

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{ {{eq{{$auth2}}{{{login}}}}} {{eq{{$auth3}}{{{password}}}}} }} }}
  server_set_id = $auth2
"""


class Exim:
    """One instance. `start` it, read `port`, `stop` it."""

    def __init__(self, directory: Path, tls: Pair, login: tuple[str, str] | None = None) -> None:
        self.program = require_file(PEERS / "exim/usr/sbin/exim4", "Exim")
        self.directory = directory
        self.port = free_port()
        user, password = login or ("nobody", "")
        self._configuration = _CONFIGURATION.format(
            program=self.program,
            directory=directory,
            port=self.port,
            certificate=tls.certificate,
            key=tls.key,
            user=_USER,
            condition="accept authenticated = *" if login else "accept",
            login=user,
            password=password,
        )
        self._server: Server | None = None

    def start(self) -> Exim:
        """Serve."""
        configuration = self.directory / "exim.conf"
        configuration.write_text(self._configuration)
        (self.directory / "spool").mkdir()
        os.chown(self.directory / "spool", 64000, 64000)
        command: list[str | Path] = [self.program, "-C", configuration, "-bdf"]
        self._server = Server(private_view(self.directory, command, users=[_USER]), self.directory / "exim.log")
        self._server.wait_for_port(self.port)
        return self

    def stop(self) -> None:
        """End all processes of this instance."""
        if self._server is not None:
            self._server.stop()

    def wait_for_mail(self, count: int = 1, seconds: float = 30) -> list[bytes]:
        """Every delivered message, with the line ends Exim gave it, once there are so many."""
        folder = self.directory / "spool/inbox/new"
        wait_until(
            lambda: folder.exists() and len(list(folder.iterdir())) >= count, seconds, f"{count} in Exim's maildir"
        )
        return [path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)]
