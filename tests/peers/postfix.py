"""A real Postfix of one's own: configuration, queue and data below a private directory, on a free loopback port.

Shape: `Postfix` writes main.cf and master.cf, makes the queue directories and runs ``master`` in the foreground. It
takes mail for every domain and puts it into one maildir (``deliver="maildir"``), hands everything to a relay host
(``"relay"``), keeps it on hold (``"hold"``) or throws it away (``"discard"``). Nothing below /etc or /var is touched
and no DNS is asked.
Source: postconf(5), master(5), maildir(5) by observation.
Failures: `programs.ServerFailed` with the end of Postfix's log.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.peers.certificates import Pair
from tests.peers.programs import Server, free_port, require, require_root, run, wait_until

_QUEUE_DIRECTORIES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace",
)  # fmt: skip
_SERVICES = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one instance is for.

    Attributes:
        deliver: What becomes of accepted mail.
        relay: ``host:port`` for ``deliver="relay"``.
        relay_login: User and password for the relay host.
        relay_tls: postconf's smtp_tls_security_level.
        relay_ca: Authorities the relay host's certificate must come from.
        tls: Certificate and key; offers STARTTLS and an implicit-TLS port.
        require_tls: Refuse mail without TLS.
        logins: Accounts; when there are any, nobody may send without one.
        processes: Limit of smtpd processes.
        extra: Further main.cf settings.
    """

    deliver: Literal["maildir", "relay", "hold", "discard"] = "maildir"
    relay: str = ""
    relay_login: tuple[str, str] | None = None
    relay_tls: str = "none"
    relay_ca: Path | None = None
    tls: Pair | None = None
    require_tls: bool = False
    logins: dict[str, str] = field(default_factory=dict)
    processes: int = 100
    extra: dict[str, str] = field(default_factory=dict)


class Postfix:
    """One instance. `start` it, read `port` (and `tls_port`), `stop` it."""

    def __init__(self, directory: Path, options: Options) -> None:
        require("postfix")
        require_root("Postfix")
        self.directory = directory
        self.options = options
        self.port = free_port()
        self.tls_port = free_port()
        self.log = directory / "mail.log"
        self._server: Server | None = None

    def start(self) -> Postfix:
        """Write everything down and serve."""
        self._make_directories()
        (self.directory / "config/main.cf").write_text(self._main_cf())
        (self.directory / "config/master.cf").write_text(self._master_cf())
        if self.options.logins:
            self._make_accounts()
        self._server = Server(
            ["/usr/lib/postfix/sbin/master", "-d", "-c", self.directory / "config"], self.directory / "master.log"
        )
        self._server.wait_for_port(self.port)
        return self

    @property
    def pid(self) -> int:
        """Process id of ``master``; every Postfix process is a child of it."""
        assert self._server is not None
        return self._server.process.pid

    def stop(self) -> None:
        """End all processes of this instance."""
        if self._server is not None:
            self._server.stop()

    def mailbox(self) -> list[bytes]:
        """Every delivered message, with the line ends Postfix gave it, oldest first."""
        folder = self.directory / "mail/inbox/new"
        files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns) if folder.exists() else []
        return [path.read_bytes() for path in files]

    def wait_for_mail(self, count: int = 1, seconds: float = 30) -> list[bytes]:
        """Wait until so many messages are delivered."""
        wait_until(lambda: len(self.mailbox()) >= count, seconds, f"{count} messages in Postfix's maildir")
        return self.mailbox()

    def wait_for_log(self, words: str, seconds: float = 30) -> None:
        """Wait until the mail log contains some words."""
        wait_until(lambda: words in self.log_text(), seconds, f"{words!r} in Postfix's log")

    def log_text(self) -> str:
        """The whole mail log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _make_directories(self) -> None:
        owner, drop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        # Postfix drops root, so every directory above must let others pass.
        for part in (self.directory, *self.directory.parents):
            if part.stat().st_mode & 0o005 != 0o005 and part.owner() == pwd.getpwuid(os.geteuid()).pw_name:
                part.chmod(part.stat().st_mode | 0o055)
        queue = self.directory / "queue"
        for name in ("config", "queue/pid"):
            (self.directory / name).mkdir(parents=True)
        for name in _QUEUE_DIRECTORIES:
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, owner, -1)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            (queue / name).mkdir()
            os.chown(queue / name, owner, drop)
            (queue / name).chmod(mode)
        for name in ("data", "mail"):
            (self.directory / name).mkdir(mode=0o755)
            os.chown(self.directory / name, owner, -1)

    def _main_cf(self) -> str:
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.directory / "queue"),
            "data_directory": str(self.directory / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(self.directory),
            "myhostname": "next-hop.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtpd_peername_lookup": "no",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"
            if self.options.logins
            else "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "message_size_limit": "200000000",
            "virtual_mailbox_limit": "0",
            "mailbox_size_limit": "0",
            **self._delivery(),
            **self._receiving(),
            **self.options.extra,
        }
        return "".join(f"{name} = {value}\n" for name, value in settings.items())

    def _delivery(self) -> dict[str, str]:
        uid, gid = pwd.getpwnam("postfix")[2:4]
        match self.options.deliver:
            case "maildir":
                return {
                    "virtual_mailbox_domains": "static:all",
                    "virtual_mailbox_maps": "static:inbox/",
                    "virtual_mailbox_base": str(self.directory / "mail"),
                    "virtual_minimum_uid": "1",
                    "virtual_uid_maps": f"static:{uid}",
                    "virtual_gid_maps": f"static:{gid}",
                }
            case "relay":
                return self._relaying()
            case "hold":
                return {"smtpd_client_restrictions": "check_client_access static:HOLD", "default_transport": "discard"}
            case "discard":
                return {"default_transport": "discard"}

    def _relaying(self) -> dict[str, str]:
        host, _, port = self.options.relay.rpartition(":")
        hop = f"[{host}]:{port}"
        settings = {"relayhost": hop, "smtp_tls_security_level": self.options.relay_tls}
        if self.options.relay_ca is not None:
            settings["smtp_tls_CAfile"] = str(self.options.relay_ca)
        if self.options.relay_login is not None:
            user, password = self.options.relay_login
            settings |= {
                "smtp_sasl_auth_enable": "yes",
                "smtp_sasl_password_maps": f"inline:{{ {{ {hop} = {user}:{password} }} }}",
                "smtp_sasl_security_options": "noanonymous",
                "smtp_sasl_mechanism_filter": "plain, login",
            }
        return settings

    def _receiving(self) -> dict[str, str]:
        settings: dict[str, str] = {"smtpd_tls_security_level": "none"}
        if self.options.tls is not None:
            settings = {
                "smtpd_tls_cert_file": str(self.options.tls.certificate),
                "smtpd_tls_key_file": str(self.options.tls.key),
                "smtpd_tls_security_level": "encrypt" if self.options.require_tls else "may",
                "smtpd_tls_received_header": "yes",
            }
        if self.options.logins:
            settings |= {
                "smtpd_sasl_auth_enable": "yes",
                "smtpd_sasl_local_domain": "next-hop.test",
                "smtpd_sasl_authenticated_header": "yes",
            }
        return settings

    def _master_cf(self) -> str:
        limit = self.options.processes
        lines = f"{self.port} inet n - n - {limit} smtpd\n"
        if self.options.tls is not None:
            lines += f"{self.tls_port} inet n - n - {limit} smtpd -o smtpd_tls_wrappermode=yes\n"
        return lines + _SERVICES

    def _make_accounts(self) -> None:
        sasl = self.directory / "config/sasl"
        sasl.mkdir()
        database = sasl / "sasldb2"
        (sasl / "smtpd.conf").write_text(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN CRAM-MD5\n"
            f"sasldb_path: {database}\n"
        )
        for user, password in self.options.logins.items():
            made = run(
                [require("saslpasswd2"), "-p", "-c", "-f", database, "-u", "next-hop.test", user],
                stdin=password.encode(),
            )
            assert made.code == 0, made.output
        shutil.chown(database, "postfix")
