"""The emulator in a thread of its own, for callers that know no event loop.

Purpose: let any test, synchronous or not, use the emulator as if it were a service elsewhere. Shape: `Background`
starts an `Emulator` in a thread with its own event loop; its methods hand work over and wait for the result.
Failures: what the emulator raises rises here; `TimeoutError` when nothing came. Leaves to others: everything
(`emulator`), the fixture (`pytest`).
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from m365emu.clock import OffsetClock
from m365emu.emulator import Emulator
from m365emu.journal import Entry
from m365emu.mailbox import Record
from m365emu.scenario import Finding
from m365emu.tenant import patched
from m365emu.tenant_file import read_tenant, tenant_file
from m365emu.web.orders import order_from
from m365emu.web.parsed import Parsed, parse

_Result = TypeVar("_Result")
_LONGEST_CALL_SECONDS = 60.0


class Background:
    """A running emulator.

    Attributes:
        submission, mx: `host:port` of the SMTP hosts.
        authority, graph, inbox: URLs of Entra (with the tenant), Graph and the inbox.
        ca: the file to trust.
        directory: where its files lie.
        emulator: the emulator itself; touch it only inside `call`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        tenant: dict[str, Any] | None = None,
        scenario: str = "",
        seed: int | None = None,
        clock_speed: float = 1.0,
    ) -> None:
        """Build an emulator on a directory; `start` or `with` starts it.

        Args:
            tenant: a merge patch over the tenant that the directory describes.
            scenario, seed: as for `Emulator`.
            clock_speed: how many times faster than the machine's time runs.
        """
        self.directory = directory
        clock = OffsetClock(clock_speed)
        self.emulator = Emulator(directory, clock=clock, scenario=scenario, seed=seed)
        if tenant:
            self.emulator.directory.replace(patched(read_tenant(tenant_file(directory)), tenant))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="m365emu", daemon=True)

    def start(self) -> None:
        """Listen; raises what the emulator raises."""
        self._thread.start()
        try:
            self.wait_for(self.emulator.__aenter__())
        except BaseException:
            self._end_thread()
            raise
        emulator = self.emulator
        self.submission, self.mx = emulator.submission, emulator.mx
        self.authority, self.graph, self.inbox = emulator.authority, emulator.graph, emulator.inbox
        self.ca = emulator.ca.resolve()

    def stop(self) -> None:
        """Stop listening and end the thread."""
        try:
            self.wait_for(self.emulator.stop())
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "Background":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for(self, work: Coroutine[Any, Any, _Result], seconds: float = _LONGEST_CALL_SECONDS) -> _Result:
        """Run a coroutine in the emulator's thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Call a function in the emulator's thread and return its result."""

        async def do() -> _Result:
            return work()

        return self.wait_for(do())

    # Who sends, and where to.

    @property
    def endpoints(self) -> dict[str, str]:
        """All that `endpoints.json` holds."""
        return self.emulator.endpoints()

    @property
    def smtp(self) -> tuple[str, int]:
        """Host and port of the submission host."""
        host, _, port = self.submission.rpartition(":")
        return host, int(port)

    @property
    def client_id(self) -> str:
        """The first application's client id."""
        return self.emulator.client_id

    @property
    def client_secret(self) -> str:
        """The first application's secret."""
        return self.emulator.client_secret

    def password(self, mailbox: str) -> str:
        """Return a mailbox's password; raises `KeyError` when there is no such mailbox."""
        return self.emulator.tenant.mailboxes[mailbox].password

    def ssl_context(self) -> ssl.SSLContext:
        """Return TLS settings that trust the emulator and nothing else."""
        return ssl.create_default_context(cafile=self.ca)

    def environment(self) -> dict[str, str]:
        """Return variables for a program under test: where to send, and which certificate authority to trust."""
        trusted = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(self.ca))
        named = {f"M365_{name.upper()}": value for name, value in self.endpoints.items()}
        return {**named, **trusted, "NODE_EXTRA_CA_CERTS": str(self.ca)}

    # What came.

    def messages(self, folder: str | None = None) -> list[Record]:
        """Return the messages of one folder, or all, newest first."""
        return self.call(lambda: self.emulator.store.messages(folder))

    def wait_for_messages(self, folder: str, at_least: int = 1, seconds: float = 10) -> list[Record]:
        """Return a folder's messages, newest first, once there are so many.

        Args:
            folder: a mailbox's address, its Sent Items as `address/sent`, `external` or `undeliverable`.

        Raises:
            TimeoutError: fewer came.
        """
        return self.wait_for(self.emulator.wait_for_messages(folder, at_least, seconds), seconds + 5)

    async def messages_arrived(self, folder: str, at_least: int = 1, seconds: float = 10) -> list[Record]:
        """Do the same as `wait_for_messages` for a test that has an event loop of its own."""
        work = self.emulator.wait_for_messages(folder, at_least, seconds)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def content(self, record: Record) -> bytes:
        """Return a message's octets as they were received."""
        return self.call(lambda: self.emulator.content(record))

    def parsed(self, record: Record) -> Parsed:
        """Return a message taken apart: text, HTML, header fields, parts."""
        return parse(self.content(record))

    def refusals(self, who: str = "") -> list[Entry]:
        """Return sessions and requests that were refused something, newest first: why was I refused?"""
        return self.call(lambda: self.emulator.journal.entries(refused_only=True, who=who))

    def statistics(self) -> dict[str, Any]:
        """Return the counts."""
        return self.call(self.emulator.control.report)

    def findings(self) -> list[Finding]:
        """Return the scenario's expectations beside what is there."""
        return self.call(self.emulator.control.findings)

    # What changes.

    def order(self, action: str, **fields: object) -> dict[str, object]:
        """Give any order of `POST /api/control`; raises `ValueError` for one that cannot be followed."""
        order = order_from({"action": action, **fields})
        return self.call(lambda: self.emulator.control.carry_out(order))

    def fault(self, stage: str, reply: str | None = None, **fields: object) -> None:
        """Let the next commands at a stage go wrong."""
        self.order("fault", stage=stage, reply=reply, **fields)

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> datetime:
        """Move the emulator's clock ahead; return the new moment."""
        total = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
        self.order("advance", seconds=total)
        return self.now()

    def now(self) -> datetime:
        """Return the emulator's present moment."""
        return self.emulator.clock.now()

    def patch(self, **tables: object) -> None:
        """Lay a merge patch over the tenant: `patch(switches={"security_defaults": True})`."""
        self.call(lambda: self.emulator.control.patch(tables))

    def reset(self) -> None:
        """Remove all mail, faults and counts."""
        self.order("reset")
