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

from aiohttp import web

from m365emu.authority import Authority
from m365emu.certificates import Certificates, ensure_certificates
from m365emu.client_addresses import ClientAddresses
from m365emu.client_certificates import CLIENT_NAME, ensure_client_certificates
from m365emu.clock import Clock, OffsetClock
from m365emu.directory import Directory
from m365emu.endpoints import endpoints_of, write_endpoints
from m365emu.faults import Faults
from m365emu.graph.service import Graph
from m365emu.journal import Journal
from m365emu.limits import Lockout
from m365emu.logon import Logons
from m365emu.mailbox import MessageStore, Record
from m365emu.post import Post
from m365emu.smtp_hosts import SmtpHosts
from m365emu.statistics import Statistics
from m365emu.tenant import Tenant
from m365emu.tenant_file import read_tenant, tenant_file, write_first_tenant
from m365emu.tokens import TokenMaker
from m365emu.web.application import inbox_application
from m365emu.web.control import Control, Parts
from m365emu.web.https_journal import journal_middleware

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
        mx: `host:port` of the MX, once started.
        authority: the URL of the token authority, with the tenant's id.
        graph: the URL of Graph, with its version.
        token_authority: Entra: sign-ins, consents, refresh tokens.
        inbox: the URL of the inbox.
        ca: the file to trust.
        faults: order faults here; the same as `POST /api/control`.
        store: the messages.
        post: delivers, and keeps the message trace.
        statistics: the counts.
        journal: sessions and requests of late, with the reason of a refusal.
        control: changes while running; the same as the HTTP control.
        host: the submission host; `host.new_session` gives a session without a network.
        exchanger: the MX; `exchanger.new_session` as well.
        tokens: makes and checks access tokens.
    """

    def __init__(
        self,
        dir: Path,
        tenant: Tenant | None = None,
        *,
        submission: tuple[str, int] = LOOPBACK,
        mx: tuple[str, int] = LOOPBACK,
        https: tuple[str, int] = LOOPBACK,
        http: tuple[str, int] = LOOPBACK,
        clock: Clock | None = None,
        scenario: str = "",
        seed: int | None = None,
    ) -> None:
        """Build the emulator on a directory.

        Args:
            dir: where certificates, `tenant.toml` and mail are kept; made when it is missing.
            tenant: the tenant to play instead of the one in `tenant.toml`.
            submission, mx, https, http: addresses to listen on, as host and port.
            clock: the time; the machine's by default, moving ahead on order.
            scenario: the name or file of a scenario to play from the moment it listens.
            seed: for faults that ask for odds, instead of the scenario's own.

        Raises:
            TenantError: `tenant.toml` cannot be used.
            OSError: the directory cannot be used.
        """
        clock = clock or OffsetClock()
        certificates = prepare(dir, clock)
        self._dir = dir
        self._wanted = (submission, mx, https, http)
        self.ca = certificates.ca
        self.submission = self.mx = self.authority = self.graph = self.inbox = ""
        self.clock, self._scenario, self._seed = clock, scenario, seed
        self.faults, self.statistics = Faults(), Statistics()
        self.journal, self._addresses, self._lockout = Journal(), ClientAddresses(), Lockout()
        self.directory = Directory(tenant or read_tenant(tenant_file(dir)))
        self.store = MessageStore(dir / "mail")
        self.post = Post(self.directory, self.store, self.statistics, clock)
        self.tokens = TokenMaker(dir / "token-key.pem", clock.now)
        self._hosts = self._build_hosts(certificates)
        self.host, self.exchanger = self._hosts.submission, self._hosts.exchanger
        self.control = Control(self._parts())
        self._build_web(certificates, clock)

    def _build_hosts(self, certificates: Certificates) -> SmtpHosts:
        return SmtpHosts(
            home=self._dir,
            certificates=certificates,
            directory=self.directory,
            logons=Logons(self.directory, self.tokens, self._lockout, self.clock),
            store=self.store,
            post=self.post,
            faults=self.faults,
            statistics=self.statistics,
            addresses=self._addresses,
            journal=self.journal,
            clock=self.clock,
        )

    def _parts(self) -> Parts:
        return Parts(
            home=self._dir,
            directory=self.directory,
            desk=self._hosts.submission_desk,
            mx_rate=self._hosts.exchanger_desk.rate,
            store=self.store,
            post=self.post,
            lockout=self._lockout,
            tokens=self.tokens,
            faults=self.faults,
            statistics=self.statistics,
            journal=self.journal,
            addresses=self._addresses,
            connections=(self.host, self.exchanger),
            clock=self.clock,
        )

    def _build_web(self, certificates: Certificates, clock: Clock) -> None:
        parts = self.control.parts
        self.token_authority = Authority(
            home=parts.home,
            directory=self.directory,
            tokens=self.tokens,
            lockout=parts.lockout,
            faults=self.faults,
            statistics=self.statistics,
            clock=clock,
        )
        parts.refresh_tokens = self.token_authority.refresh_tokens
        self._graph = parts.graph = Graph(
            directory=self.directory,
            tokens=self.tokens,
            post=self.post,
            store=self.store,
            quota=parts.desk.quota,
            faults=self.faults,
            statistics=self.statistics,
            clock=clock,
            drafts=parts.home / "graph",
        )
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
        """Listen, write `endpoints.json`, start the scenario.

        Raises:
            OSError: an address cannot be bound.
            ScenarioError, TenantError, ValueError: the scenario cannot be played.
        """
        submission, mx, https, http = self._wanted
        if self._scenario:
            self.control.play(self._scenario, self._seed)
        try:
            self.submission, self.mx = map(_join, await self._hosts.start(submission, mx))
            services = self.token_authority.application()
            self._graph.add_to(services)
            bound = await self._serve(services, https, self._https_context)
            self.authority = f"https://{bound}/{self.tenant.id}"
            self.graph = f"https://{bound}/v1.0"
            inbox = inbox_application(self.control)
            self.token_authority.add_managed_identity_to(inbox)
            self.inbox = f"http://{await self._serve(inbox, http, None)}"
            write_endpoints(self._dir, self.endpoints())
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
        await self._hosts.stop()
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

    def addresses(self) -> dict[str, str]:
        """Return where it listens, by the names of `endpoints.json`."""
        return {
            "submission": self.submission,
            "mx": self.mx,
            "authority": self.authority,
            "graph": self.graph,
            "inbox": self.inbox,
        }

    def endpoints(self) -> dict[str, str]:
        """Return what `endpoints.json` holds."""
        return endpoints_of(self._dir, self.tenant, self.addresses())

    def ready_line(self) -> str:
        """Return the line that says that everything listens."""
        return "m365emu ready: " + ", ".join(f"{name} {address}" for name, address in self.addresses().items())


def _join(address: Iterable[str | int]) -> str:
    host, port, *_ = address
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
