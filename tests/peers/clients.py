"""Foreign programs that hand mail in, each behind the same call: ``client(target, letter, directory)``.

Shape: `Target` says where the server is and how to speak to it; every client sends the letter's exact octets and
returns what it printed. `SENDER` and `RECIPIENT` are the envelope.
Failures: a client that is not installed ends the test (`programs.require`); one that could not send has a code not 0.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.peers.certificates import Pair
from tests.peers.letters import Letter
from tests.peers.programs import PEERS, Finished, require, require_file, run

SENDER = "printer@example.com"
RECIPIENT = "office@example.net"
HOST = "127.0.0.1"
NODE_MODULES = PEERS / "nodemailer/usr/share/nodejs"
PHPMAILER = Path("/usr/share/php/libphp-phpmailer/src")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server as a client sees it.

    Attributes:
        ca: Authorities to trust; the server's certificate is checked wherever TLS is spoken.
        login: User and password.
        mechanism: SASL mechanism to use, where the client lets one choose.
        client: Certificate to show.
    """

    port: int
    tls: Literal["none", "starttls", "implicit"] = "none"
    ca: Path | None = None
    login: tuple[str, str] | None = None
    mechanism: str = "PLAIN"
    client: Pair | None = None


Client = Callable[[Target, Letter, Path], Finished]


def _unended(letter: Letter) -> bytes:
    """The octets without the last line end, for clients that add one of their own."""
    return letter.content.removesuffix(b"\r\n")


def swaks(target: Target, letter: Letter, directory: Path) -> Finished:
    """The Swiss army knife for SMTP."""
    message = directory / "swaks.eml"
    message.write_bytes(_unended(letter))
    command: list[str | Path] = [
        require("swaks"),
        "--server",
        HOST,
        "--port",
        str(target.port),
        "--helo",
        "client.test",
    ]
    command += ["--from", SENDER, "--to", RECIPIENT, "--data", f"@{message}"]
    command += {"none": [], "starttls": ["--tls"], "implicit": ["--tlsc"]}[target.tls]
    if target.tls != "none" and target.ca is not None:
        command += ["--tls-verify", "--tls-ca-path", target.ca]
    if target.client is not None:
        command += ["--tls-cert", target.client.certificate, "--tls-key", target.client.key]
    if target.login is not None:
        command += ["--auth", target.mechanism, "--auth-user", target.login[0], "--auth-password", target.login[1]]
    return run(command)


def curl(target: Target, letter: Letter, directory: Path) -> Finished:
    """curl's SMTP side."""
    message = directory / "curl.eml"
    message.write_bytes(letter.content)
    scheme = "smtps" if target.tls == "implicit" else "smtp"
    command: list[str | Path] = [require("curl"), "-sS", "-v", f"{scheme}://{HOST}:{target.port}/client.test"]
    command += ["--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", message]
    if target.tls == "starttls":
        command.append("--ssl-reqd")
    if target.ca is not None:
        command += ["--cacert", target.ca]
    if target.client is not None:
        command += ["--cert", target.client.certificate, "--key", target.client.key]
    if target.login is not None:
        command += ["--user", ":".join(target.login), "--login-options", f"AUTH={target.mechanism}"]
    return run(command)


def msmtp(target: Target, letter: Letter, directory: Path) -> Finished:
    """msmtp, the sendmail of small machines."""
    settings = {
        "host": HOST,
        "port": str(target.port),
        "from": SENDER,
        "domain": "client.test",
        "tls": "off" if target.tls == "none" else "on",
        "tls_starttls": "on" if target.tls == "starttls" else "off",
    }
    if target.ca is not None and target.tls != "none":
        settings["tls_trust_file"] = str(target.ca)
    if target.client is not None:
        settings |= {"tls_cert_file": str(target.client.certificate), "tls_key_file": str(target.client.key)}
    if target.login is not None:
        settings |= {"auth": target.mechanism.lower(), "user": target.login[0], "password": target.login[1]}
    rows = "".join(f"{name} {value}\n" for name, value in settings.items())
    configuration = directory / "msmtprc"
    configuration.write_text("account default\n" + rows)
    configuration.chmod(0o600)
    return run(
        [require("msmtp"), "-C", configuration, "--debug", RECIPIENT], stdin=letter.content.replace(b"\r\n", b"\n")
    )


def smtp_lib(target: Target, letter: Letter, directory: Path) -> Finished:
    """Python's smtplib, in this process."""
    del directory
    context = ssl.create_default_context(cafile=target.ca)
    if target.client is not None:
        context.load_cert_chain(target.client.certificate, target.client.key)
    try:
        session = (
            smtplib.SMTP_SSL(HOST, target.port, local_hostname="client.test", context=context)
            if target.tls == "implicit"
            else smtplib.SMTP(HOST, target.port, local_hostname="client.test")
        )
        with session:
            if target.tls == "starttls":
                session.starttls(context=context)
            if target.login is not None:
                session.user, session.password = target.login
                session.ehlo_or_helo_if_needed()
                session.auth(target.mechanism, getattr(session, f"auth_{target.mechanism.lower().replace('-', '_')}"))
            session.sendmail(SENDER, [RECIPIENT], letter.content, mail_options=["BODY=8BITMIME"])
    except smtplib.SMTPException as error:
        return Finished(code=1, output=repr(error))
    return Finished(code=0, output="")


_NODEMAILER = """
const nodemailer = require('nodemailer');
const options = JSON.parse(process.argv[2]);
const read = require('fs').readFileSync;
if (options.caFile) options.tls.ca = read(options.caFile);
if (options.certFile) { options.tls.cert = read(options.certFile); options.tls.key = read(options.keyFile); }
nodemailer.createTransport(options).sendMail(
  {envelope: {from: options.from, to: [options.to]}, raw: read(options.message)},
  (error, info) => { console.log(error || info.response); process.exit(error ? 1 : 0); });
"""


def nodemailer(target: Target, letter: Letter, directory: Path) -> Finished:
    """nodemailer, what most JavaScript programs send with."""
    require_file(NODE_MODULES / "nodemailer", "nodemailer")
    message, script = directory / "nodemailer.eml", directory / "send.js"
    message.write_bytes(letter.content)
    script.write_text(_NODEMAILER)
    options: dict[str, object] = {
        "host": HOST,
        "port": target.port,
        "name": "client.test",
        "secure": target.tls == "implicit",
        "requireTLS": target.tls == "starttls",
        "ignoreTLS": target.tls == "none",
        "tls": {},
        "from": SENDER,
        "to": RECIPIENT,
        "message": str(message),
    }
    if target.ca is not None:
        options["caFile"] = str(target.ca)
    if target.client is not None:
        options |= {"certFile": str(target.client.certificate), "keyFile": str(target.client.key)}
    if target.login is not None:
        options |= {
            "auth": {"user": target.login[0], "pass": target.login[1]},
            "authMethod": target.mechanism,
        }
    return run([require("node"), script, json.dumps(options)], env={"NODE_PATH": str(NODE_MODULES)})


_PHPMAILER = """<?php
require '%s/Exception.php'; require '%s/SMTP.php'; require '%s/PHPMailer.php';
$options = json_decode($argv[1], true);
// PHPMailer composes its own messages; this one is given ready-made.
class ReadyMade extends PHPMailer\\PHPMailer\\PHPMailer {
    public $file;
    public function preSend() {
        [$this->MIMEHeader, $this->MIMEBody] = explode("\\r\\n\\r\\n", file_get_contents($this->file), 2);
        return true;
    }
}
$mail = new ReadyMade(true);
$mail->isSMTP(); $mail->SMTPDebug = 2; $mail->Debugoutput = 'echo';
$mail->Host = $options['host']; $mail->Port = $options['port']; $mail->Hostname = 'client.test';
$mail->SMTPAutoTLS = false; $mail->SMTPSecure = $options['secure'];
$mail->SMTPOptions = ['ssl' => $options['ssl']];
if ($options['user']) {
    $mail->SMTPAuth = true; $mail->AuthType = $options['mechanism'];
    $mail->Username = $options['user']; $mail->Password = $options['password'];
}
$mail->setFrom($options['from'], 'Printer', false); $mail->Sender = $options['from']; $mail->addAddress($options['to']);
$mail->file = $options['message'];
try { $mail->send(); } catch (Exception $error) { echo $error->getMessage(); exit(1); }
"""


def phpmailer(target: Target, letter: Letter, directory: Path) -> Finished:
    """PHPMailer, what WordPress and most PHP programs send with."""
    require_file(PHPMAILER / "PHPMailer.php", "PHPMailer")
    message, script = directory / "phpmailer.eml", directory / "send.php"
    message.write_bytes(_unended(letter))
    script.write_text(_PHPMAILER.replace("%s", str(PHPMAILER)))
    user, password = target.login or ("", "")
    certificate = {"cafile": str(target.ca)} if target.ca is not None else {}
    if target.client is not None:
        certificate |= {"local_cert": str(target.client.certificate), "local_pk": str(target.client.key)}
    options = {
        "host": HOST,
        "port": target.port,
        "secure": {"none": "", "starttls": "tls", "implicit": "ssl"}[target.tls],
        "ssl": certificate,
        "user": user,
        "password": password,
        "mechanism": target.mechanism,
        "from": SENDER,
        "to": RECIPIENT,
        "message": str(message),
    }
    return run([require("php"), script, json.dumps(options)])


CLIENTS: dict[str, Client] = {
    "swaks": swaks,
    "curl": curl,
    "msmtp": msmtp,
    "smtplib": smtp_lib,
    "nodemailer": nodemailer,
    "phpmailer": phpmailer,
}
