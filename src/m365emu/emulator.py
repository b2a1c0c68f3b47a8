"""The composition: everything built, connected, started and stopped.

Purpose: run the whole emulator, from the command or inside a test. Shape: `Emulator` is an async context manager;
inside of it the addresses are known and the parts can be reached. Ports may be 0, then free ones are taken.
Failures: `TenantError` for `tenant.toml`, `OSError` for a directory or an address that cannot be used.
Leaves to others: everything else.
"""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import msgspec
from aiohttp import web

from m365emu.authority import Authority
from m365emu.certificates import Certificates, ensure_certificates
from m365emu.client_addresses import ClientAddresses
from m365emu.client_certificates import CLIENT_NAME, ensure_client_certificates
from m365emu.clock import Clock, OffsetClock
from m365emu.directory import Directory
from m365emu.faults import Faults
from m365emu.journal import Journal
from m365emu.limits import Lockout
from m365emu.logon import Logons
from m365emu.mailbox import MessageStore, Record
from m365emu.post import Post
from m365emu.smtp.server import SmtpHost
from m365emu.smtp.tls import ServerTls
from m365emu.statistics import Statistics
from m365emu.submission import SubmissionDesk
from m365emu.tenant import Tenant
from m365emu.tenant_file import read_tenant, tenant_file, write_first_tenant, write_private
from m365emu.tokens import TokenMaker
from m365emu.web.api import InboxApi
from m365emu.web.control import Control, Parts
from m365emu.web.https_journal import journal_middleware
from m365emu.web.pages import InboxPages

LOOPBACK = ("127.0.0.1", 0)


def prepare(directory: Path, clock: Clock) -> Certificates:
    """Write what the directory lacks: certificates and a first `tenant.toml`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificates = ensure_certificates(directory, clock.now())
    clients = ensure_client_certificates(directory, clock.now())
    if not tenant_file(directory).exists():
        write_first_tenant(directory / "tenant.toml", clients.app.read_text(), CLIENT_NAME)
    return certificates


class Emulator:
    """The offline Microsoft 365.

    Attributes:
        submission: `host:port` of the submission host, once started.
        authority: the URL of the token authority, with the tenant's id.
        inbox: the URL of the inbox.
        ca: the file to trust.
        faults: order faults here; the same as `POST /api/control`.
        store: the messages.
        post: delivers, and keeps the message trace.
        statistics: the counts.
        journal: sessions and requests of late, with the reason of a refusal.
        control: changes while running; the same as the HTTP control.
        host: the submission host; `host.new_session` gives a session without a network.
        tokens: makes and checks access tokens.
    """

    def __init__(
        self,
        dir: Path,
        tenant: Tenant | None = None,
        *,
        submission: tuple[str, int] = LOOPBACK,
        https: tuple[str, int] = LOOPBACK,
        http: tuple[str, int] = LOOPBACK,
        clock: Clock | None = None,
        scenario: str = "",
    ) -> None:
        """Build the emulator on a directory.

        Args:
            dir: where certificates, `tenant.toml` and mail are kept; made when it is missing.
            tenant: the tenant to play instead of the one in `tenant.toml`.
            submission, https, http: addresses to listen on, as host and port.
            clock: the time; the machine's by default, moving ahead on order.
            scenario: the name or file of a scenario to play from the moment it listens.

        Raises:
            TenantError: `tenant.toml` cannot be used.
            OSError: the directory cannot be used.
        """
        clock = clock or OffsetClock()
        certificates = prepare(dir, clock)
        self._dir = dir
        self._wanted = (submission, https, http)
        self.ca = certificates.ca
        self.submission = self.authority = self.inbox = ""
        self.clock, self._scenario = clock, scenario
        self.faults, self.statistics = Faults(), Statistics()
        self.journal, addresses = Journal(), ClientAddresses()
        self.directory = Directory(tenant or read_tenant(tenant_file(dir)))
        self.store = MessageStore(dir / "mail")
        self.post = Post(self.directory, self.store, self.statistics, clock)
        self.tokens = tokens = TokenMaker(dir / "token-key.pem", clock.now)
        lockout = Lockout()
        desk = SubmissionDesk(
            directory=self.directory,
            logons=Logons(self.directory, tokens, lockout, clock),
            store=self.store,
            post=self.post,
            faults=self.faults,
            statistics=self.statistics,
            clock=clock,
        )
        self.host = SmtpHost(
            desk=desk,
            directory=self.directory,
            store=self.store,
            statistics=self.statistics,
            clock=clock,
            tls=ServerTls(certificates),
            addresses=addresses,
            journal=self.journal,
        )
        self.control = Control(
            Parts(
                home=dir,
                directory=self.directory,
                desk=desk,
                store=self.store,
                post=self.post,
                lockout=lockout,
                tokens=tokens,
                faults=self.faults,
                statistics=self.statistics,
                journal=self.journal,
                addresses=addresses,
                connections=(self.host,),
                clock=clock,
            )
        )
        self._build_web(certificates, clock)

    def _build_web(self, certificates: Certificates, clock: Clock) -> None:
        parts = self.control.parts
        self._authority = Authority(
            home=parts.home,
            directory=self.directory,
            tokens=self.tokens,
            lockout=parts.lockout,
            faults=self.faults,
            statistics=self.statistics,
            clock=clock,
        )
        parts.refresh_tokens = self._authority.refresh_tokens
        self._api = InboxApi(self.directory, self.store, self.control)
        self._https_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._https_context.load_cert_chain(certificates.chain, certificates.key)
        self._runners: list[web.AppRunner] = []

    @property
    def tenant(self) -> Tenant:
        """The tenant as it is now."""
        return self.directory.tenant

    @property
    def client_id(self) -> str:
        """The first application's client id."""
        return next(iter(self.tenant.applications))

    @property
    def client_secret(self) -> str:
        """The first application's first secret."""
        return self.tenant.applications[self.client_id].secrets[0].value

    async def __aenter__(self) -> "Emulator":
        """Listen, and write `endpoints.json`; raises `OSError` for an address that cannot be bound."""
        submission, https, http = self._wanted
        try:
            self.submission = _join(await self.host.start(*submission))
            bound = await self._serve(self._authority.application(), https, self._https_context)
            self.authority = f"https://{bound}/{self.tenant.id}"
            inbox = self._api.application()
            InboxPages(self.directory, self.store).add_to(inbox)
            self._authority.add_managed_identity_to(inbox)
            self.inbox = f"http://{await self._serve(inbox, http, None)}"
            self._write_endpoints()
            if self._scenario:
                self.control.play(self._scenario)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening, end all connections, leave the files in order."""
        await self.host.stop()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def wait_for_messages(self, folder: str, at_least: int = 1, seconds: float = 10) -> list[Record]:
        """Return a folder's messages, newest first, once there are so many.

        Args:
            folder: a mailbox's address, `external` or `undeliverable`.
            at_least: how many messages to wait for.
            seconds: how long to wait at most.

        Raises:
            TimeoutError: fewer came.
        """
        async with asyncio.timeout(seconds):
            return await self.store.wait_for(folder, at_least)

    def content(self, record: Record) -> bytes:
        """Return a message's octets as they were received; raises `KeyError` when it was removed."""
        path = self.store.content_file(record.id)
        if path is None:
            raise KeyError(record.id)
        return path.read_bytes()

    async def _serve(self, app: web.Application, where: tuple[str, int], tls: ssl.SSLContext | None) -> str:
        if tls is not None:
            app.middlewares.append(journal_middleware(self.journal, self.clock))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, where[0], where[1], ssl_context=tls).start()
        return _join(runner.addresses[0])

    def _write_endpoints(self) -> None:
        endpoints = {
            "submission": self.submission,
            "authority": self.authority,
            "inbox": self.inbox,
            "ca": str(self.ca.resolve()),
            "tenant": self.tenant.id,
            "domain": self.tenant.domains[0],
        }
        if self.tenant.applications:
            endpoints["client_id"] = self.client_id
            secrets = self.tenant.applications[self.client_id].secrets
            if secrets:
                secret_file = self._dir / "client-secret"
                write_private(secret_file, secrets[0].value.encode())
                endpoints["client_secret_file"] = str(secret_file.resolve())
        (self._dir / "endpoints.json").write_bytes(msgspec.json.format(msgspec.json.encode(endpoints)) + b"\n")

    def ready_line(self) -> str:
        """Return the line that says that everything listens."""
        return f"m365emu ready: submission {self.submission}, authority {self.authority}, inbox {self.inbox}"


def _join(address: Iterable[str | int]) -> str:
    host, port, *_ = address
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
