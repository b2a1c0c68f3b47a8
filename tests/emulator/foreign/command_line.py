"""Programs for the command line: swaks, curl and msmtp. Each sends the letter's exact octets.

Source: swaks(1), curl(1), msmtp(1). Failures: a program that is not installed ends the test by name.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.emulator.foreign.letter import Letter
from tests.emulator.foreign.target import Target
from tests.peers.programs import Finished, require, run


def swaks(target: Target, letter: Letter, directory: Path) -> Finished:
    """The Swiss army knife for SMTP. It adds a last line end of its own, and knows no XOAUTH2."""
    message = directory / "swaks.eml"
    message.write_bytes(letter.octets.removesuffix(b"\r\n"))
    return run(
        [
            require("swaks"),
            *("--server", target.host, "--port", str(target.port), "--helo", "client.test"),
            *("--tls", "--tls-verify", "--tls-ca-path", target.ca),
            *("--auth", "LOGIN", "--auth-user", target.user, "--auth-password", target.password),
            *("--from", letter.sender, "--to", letter.recipient, "--data", f"@{message}"),
        ]
    )


def curl(target: Target, letter: Letter, directory: Path) -> Finished:
    """curl's SMTP side; a token makes it choose XOAUTH2 by itself."""
    message, account = directory / "curl.eml", directory / "curlrc"
    message.write_bytes(letter.octets)
    account.write_text(
        f'user = "{target.user}:"\noauth2-bearer = "{target.token}"\n'
        if target.token
        else f'user = "{target.user}:{target.password}"\nlogin-options = "AUTH=LOGIN"\n'
    )
    return run(
        [
            *(require("curl"), "-sS", "-v", "--config", account, "--ssl-reqd", "--cacert", target.ca),
            *("--mail-from", letter.sender, "--mail-rcpt", letter.recipient, "--upload-file", message),
            f"smtp://{target.host}:{target.port}/client.test",
        ]
    )


def msmtp(target: Target, letter: Letter, directory: Path) -> Finished:
    """msmtp, the sendmail of small machines; password or token come from a command, as its manual advises."""
    secret = directory / "secret"
    secret.write_text(target.token or target.password)
    return msmtp_asking(target, letter, directory, command=shlex.join(["cat", str(secret)]))


def msmtp_asking(target: Target, letter: Letter, directory: Path, *, command: str) -> Finished:
    """msmtp with any command that prints the password or the token."""
    configuration = directory / "msmtprc"
    configuration.write_text(
        f"account default\nhost {target.host}\nport {target.port}\ndomain client.test\nfrom {letter.sender}\n"
        f"tls on\ntls_starttls on\ntls_trust_file {target.ca}\n"
        f"auth {'xoauth2' if target.token else 'login'}\nuser {target.user}\npasswordeval {command}\n"
    )
    configuration.chmod(0o600)
    content = letter.octets.replace(b"\r\n", b"\n")
    return run([require("msmtp"), "-C", configuration, letter.recipient], stdin=content)
