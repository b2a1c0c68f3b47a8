"""A real Exim that hands one message on to the submission host as its smart host.

Purpose: Exim as the mail server of a Unix machine that logs on to Microsoft 365 with a password or a token. Shape: one
process takes the message from standard input and delivers it in the foreground (``-odf``); nothing listens.
Source: the Exim specification, chapters "The manualroute router", "The smtp transport", "The plaintext
authenticator". Failures: Exim ends with code 0 whatever becomes of the message; the main log says it.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.emulator.foreign.letter import Letter
from tests.emulator.foreign.target import Target
from tests.peers.private_view import private_view
from tests.peers.programs import PEERS, Finished, require_file, run

_USER = "Debian-exim"
_CONFIGURATION = """\
exim_path = {program}
keep_environment =
primary_hostname = client.test
spool_directory = {directory}/spool
log_file_path = {directory}/spool/%s.log
host_lookup =
untrusted_set_sender = *

begin routers
smart_host:
  driver = manualroute
  route_list = * {host} byname
  self = send
  transport = submission

begin transports
submission:
  driver = smtp
  port = {port}
  hosts_require_tls = *
  tls_verify_certificates = {ca}
  tls_verify_hosts = *
  hosts_require_auth = *
  hosts_try_fastopen =

begin authenticators
given:
  driver = plaintext
  {authenticator}

begin retry
* * F,1h,10m
"""


def exim(target: Target, letter: Letter, directory: Path) -> Finished:
    """Exim; what its user sees is its main log."""
    program = require_file(PEERS / "exim/usr/sbin/exim4", "Exim")
    if target.token:
        # One string goes out along with AUTH; \\001 is the octet that separates the parts.
        bearer = f"user={target.user}\\\\001auth=Bearer {target.token}\\\\001\\\\001"
        authenticator = f'public_name = XOAUTH2\n  client_send = "{bearer}"'
    else:
        authenticator = f"public_name = LOGIN\n  client_send = : {target.user} : {target.password}"
    configuration = directory / "exim.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            program=program,
            directory=directory,
            host=target.host,
            port=target.port,
            ca=target.ca,
            authenticator=authenticator,
        )
    )
    spool = directory / "spool"
    spool.mkdir()
    os.chown(spool, 64000, 64000)
    command: list[str | Path] = [program, "-C", configuration, "-odf", "-oi", "-f", letter.sender, letter.recipient]
    done = run(private_view(directory, command, users=[_USER]), stdin=letter.octets.replace(b"\r\n", b"\n"))
    log = spool / "main.log"
    said = log.read_text() if log.exists() else ""
    return Finished(code=done.code, output=done.output + said)
