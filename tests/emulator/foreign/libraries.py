"""Libraries that programs send with, in Python, JavaScript, PHP, Java, Go and Ruby. All but smtplib compose.

Purpose: each is driven by a small program beside this file (``send.js``, ``send.php``, ``Send.java``, ``send.go``,
``send.rb``) as its manual has it. Failures: a library that is not installed ends the test by name.
"""

from __future__ import annotations

import functools
import smtplib
import ssl
import tempfile
from pathlib import Path

from tests.emulator.foreign.letter import Letter, write_options
from tests.emulator.foreign.target import Target
from tests.peers.programs import PEERS, Finished, require, require_file, run

HERE = Path(__file__).parent
NODE_MODULES = PEERS / "npm/node_modules"
GO_PATH = Path("/usr/share/gocode")
PHPMAILER = Path("/usr/share/php/libphp-phpmailer/src")
JARS = [Path("/usr/share/java", name) for name in ("jakarta-mail.jar", "jakarta-activation.jar")]


def account_options(target: Target) -> dict[str, object]:
    """What a program that reads its options as JSON is told of a target."""
    return {
        "host": target.host,
        "port": target.port,
        "ca": str(target.ca),
        "user": target.user,
        "password": target.password,
        "token": target.token,
    }


def smtp_lib(target: Target, letter: Letter, directory: Path) -> Finished:
    """Python's smtplib, in this process."""
    del directory
    try:
        with smtplib.SMTP(target.host, target.port, local_hostname="client.test") as session:
            session.starttls(context=ssl.create_default_context(cafile=target.ca))
            session.ehlo()
            if target.token:
                bearer = f"user={target.user}\x01auth=Bearer {target.token}\x01\x01"
                session.auth("XOAUTH2", lambda challenge=None: bearer)
            else:
                session.login(target.user, target.password)
            session.sendmail(letter.sender, [letter.recipient], letter.octets)
    except smtplib.SMTPException as error:
        return Finished(code=1, output=str(error))
    return Finished(code=0, output="")


def nodemailer(target: Target, letter: Letter, directory: Path) -> Finished:
    """nodemailer, what most JavaScript programs send with."""
    if target.token:
        auth = {"type": "OAuth2", "user": target.user, "accessToken": target.token}
    else:
        auth = {"user": target.user, "pass": target.password}
    return nodemailer_with(target, letter, directory, auth=auth)


def nodemailer_with(target: Target, letter: Letter, directory: Path, *, auth: dict[str, str]) -> Finished:
    """nodemailer with any account; further authorities are named by the environment, as Node wants it."""
    require_file(NODE_MODULES / "nodemailer", "nodemailer")
    options = letter.write_parts(directory) | {
        "host": target.host,
        "port": target.port,
        "ca": str(target.ca),
        "auth": auth,
        "authMethod": "XOAUTH2" if "type" in auth else "LOGIN",
    }
    return run(
        [require("node"), HERE / "send.js", write_options(directory, options)],
        env={"NODE_PATH": str(NODE_MODULES), "NODE_EXTRA_CA_CERTS": str(target.ca)},
    )


def phpmailer(target: Target, letter: Letter, directory: Path) -> Finished:
    """PHPMailer, what WordPress and most PHP programs send with."""
    require_file(PHPMAILER / "PHPMailer.php", "PHPMailer")
    options = letter.write_parts(directory) | account_options(target) | {"library": str(PHPMAILER)}
    return run([require("php"), HERE / "send.php", write_options(directory, options)])


@functools.cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """The class files of ``Send.java``; they go with this process."""
    classes = tempfile.TemporaryDirectory(prefix="send-java")
    path = ":".join(map(str, JARS))
    done = run([require("javac"), "-cp", path, "-d", classes.name, HERE / "Send.java"])
    assert done.code == 0, done.output
    return classes


def jakarta_mail(target: Target, letter: Letter, directory: Path) -> Finished:
    """Jakarta Mail, what Java programs send with."""
    for jar in JARS:
        require_file(jar, "Jakarta Mail")
    settings = letter.write_parts(directory) | {
        # It checks a certificate for names only, never for addresses.
        "mail.smtp.host": "localhost",
        "mail.smtp.port": str(target.port),
        "mail.smtp.localhost": "client.test",
        "mail.smtp.auth": "true",
        "mail.smtp.auth.mechanisms": "XOAUTH2" if target.token else "LOGIN",
        "mail.smtp.starttls.required": "true",
        "mail.smtp.ssl.checkserveridentity": "true",
        "ca": str(target.ca),
        "user": target.user,
        "secret": target.token or target.password,
    }
    options = directory / "options.properties"
    options.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    path = ":".join([_compiled().name, *map(str, JARS)])
    machine = ["-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"]
    return run([require("java"), *machine, "-cp", path, "Send", options])


@functools.cache
def _built() -> tempfile.TemporaryDirectory[str]:
    """The directory of the program made of ``send.go``; it goes with this process."""
    programs = tempfile.TemporaryDirectory(prefix="send-go")
    done = run(
        [require("go"), "build", "-o", f"{programs.name}/send", HERE / "send.go"],
        env={"GO111MODULE": "off", "GOPATH": str(GO_PATH), "GOCACHE": f"{programs.name}/cache"},
    )
    assert done.code == 0, done.output
    return programs


def gomail(target: Target, letter: Letter, directory: Path) -> Finished:
    """Go's gomail, what Grafana and many programs in Go send with; XOAUTH2 is brought along as net/smtp wants it."""
    require_file(GO_PATH / "src/gopkg.in/mail.v2", "gomail")
    options = letter.write_parts(directory) | account_options(target)
    return run([f"{_built().name}/send", write_options(directory, options)])


def ruby_mail(target: Target, letter: Letter, directory: Path) -> Finished:
    """Ruby's mail library, what Rails sends with; it knows no XOAUTH2."""
    options = letter.write_parts(directory) | account_options(target)
    return run([require("ruby"), HERE / "send.rb", write_options(directory, options)])
