"""Programs for the command line: swaks, curl and msmtp. Each sends the letter's exact octets.

Shape: a `Target` without a user is a host where nobody logs on; these three can show a certificate there.

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
    command: list[str | Path] = [
        *(require("swaks"), "--server", target.host, "--port", str(target.port), "--helo", "client.test"),
        *("--tls", "--tls-verify", "--tls-ca-path", target.ca),
        *("--from", letter.sender, "--to", letter.recipient, "--data", f"@{message}"),
    ]
    if target.user:
        command += ["--auth", "LOGIN", "--auth-user", target.user, "--auth-password", target.password]
    if target.certificate and target.key:
        command += ["--tls-cert", target.certificate, "--tls-key", target.key]
    return run(command)


def curl(target: Target, letter: Letter, directory: Path) -> Finished:
    """curl's SMTP side; a token makes it choose XOAUTH2 by itself."""
    message, account = directory / "curl.eml", directory / "curlrc"
    message.write_bytes(letter.octets)
    if target.token:
        account.write_text(f'user = "{target.user}:"\noauth2-bearer = "{target.token}"\n')
    elif target.user:
        account.write_text(f'user = "{target.user}:{target.password}"\nlogin-options = "AUTH=LOGIN"\n')
    elif target.certificate:
        account.write_text(f'cert = "{target.certificate}"\nkey = "{target.key}"\n')
    else:
        account.write_text("")
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
    settings = (
        f"account default\nhost {target.host}\nport {target.port}\ndomain client.test\nfrom {letter.sender}\n"
        f"tls on\ntls_starttls on\ntls_trust_file {target.ca}\n"
    )
    if target.user:
        settings += f"auth {'xoauth2' if target.token else 'login'}\nuser {target.user}\npasswordeval {command}\n"
    if target.certificate:
        settings += f"tls_cert_file {target.certificate}\ntls_key_file {target.key}\n"
    configuration = directory / "msmtprc"
    configuration.write_text(settings)
    configuration.chmod(0o600)
    content = letter.octets.replace(b"\r\n", b"\n")
    return run([require("msmtp"), "-C", configuration, letter.recipient], stdin=content)
