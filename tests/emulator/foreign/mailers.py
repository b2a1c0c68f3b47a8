"""Programs that people and scheduled jobs write mail with: s-nail, which is ``mailx`` on many machines, and mutt.

Purpose: mail composed from a text and an attachment on a command line. Source: s-nail(1), muttrc(5).
Shape: passwords and tokens stand in a configuration file that only the owner reads.
Failures: a program that is not installed ends the test by name.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from tests.emulator.foreign.letter import TEXT, Letter
from tests.emulator.foreign.target import Target
from tests.peers.programs import Finished, require, run


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def s_nail(target: Target, letter: Letter, directory: Path) -> Finished:
    """s-nail, which calls XOAUTH2 ``oauthbearer`` and checks a certificate for names only, never for addresses."""
    account = f"{quote(target.user, safe='')}:{target.token or quote(target.password, safe='')}"
    configuration = _write(
        directory / "mailrc",
        f"set v15-compat\nset mta=submission://{account}@localhost:{target.port}\n"
        f"set smtp-auth={'oauthbearer' if target.token else 'login'}\n"
        f"set smtp-use-starttls tls-verify=strict tls-ca-file={target.ca} tls-ca-no-defaults\n"
        f"set hostname=client.test from={letter.sender} sendwait nosave sendcharsets=utf-8\n",
    )
    files = letter.write_parts(directory)
    return run(
        [require("s-nail"), "-:u", "-s", letter.subject, "-a", files["attachment"], letter.recipient],
        stdin=TEXT.encode(),
        env={"MAILRC": str(configuration), "HOME": str(directory), "LC_ALL": "C.UTF-8"},
    )


def mutt(target: Target, letter: Letter, directory: Path) -> Finished:
    """mutt, sending without its screen; a token comes from a command."""
    secret = _write(directory / "secret", target.token)
    account = (
        f"set smtp_authenticators=xoauth2 smtp_oauth_refresh_command='cat {secret}'\n"
        if target.token
        else f"set smtp_authenticators=login smtp_pass='{target.password}'\n"
    )
    configuration = _write(
        directory / "muttrc",
        f"set smtp_url=smtp://{quote(target.user, safe='')}@{target.host}:{target.port}/\n{account}"
        f"set ssl_starttls=yes ssl_force_tls=yes ssl_ca_certificates_file={target.ca}\n"
        f"set hostname=client.test from={letter.sender} use_envelope_from=yes copy=no send_charset=utf-8\n",
    )
    files = letter.write_parts(directory)
    return run(
        [
            *(require("mutt"), "-n", "-F", configuration),
            *("-s", letter.subject, "-a", files["attachment"], "--", letter.recipient),
        ],
        stdin=TEXT.encode(),
        env={"HOME": str(directory), "LC_ALL": "C.UTF-8"},
    )
