"""The programs that are compared, each started afresh in a directory of its own.

Shape: `Peer` is a name with functions that give a `Running` server: one that accepts and keeps (delivery held back),
and, where the program relays at all, one that hands on to a next hop. Every server takes mail from 127.0.0.1 for
everybody. Postfix keeps its defaults (fsync of each message, one process a connection) with changes in its favour only:
as many smtpd processes as there are connections, no DNS, no log file, and while delivery is held back no pause before
it takes mail faster than it delivers (in_flow_delay).
Failures: `missing` names the programs that this machine lacks.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.peers.node import Node
from tests.peers.postfix import Options, Postfix
from tests.peers.programs import SEARCH_PATH, Server, free_port, require

# Nothing listens there; delivery is held back anyway.
NOWHERE = 9
MANY = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server under load."""

    name: str
    port: int
    pid: int
    stop: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One program to compare.

    Attributes:
        keep: Start it so that it takes mail and delivers none.
        relay: Start it so that it hands everything to 127.0.0.1 at a port; None where it cannot.
        idle_connections: How many idle connections are opened to measure what one costs.
    """

    name: str
    keep: Callable[[Path], Running]
    relay: Callable[[Path, int], Running] | None = None
    idle_connections: int = 10_000


def _posthouse(directory: Path, hop: int, *, paused: bool) -> Running:
    node = Node(directory, hop)
    node.edit_outbound(paused=paused)
    node.edit(
        lambda posthouse, flow: posthouse["listener"][0].update(max_connections=MANY, max_connections_per_address=MANY)
    )
    node.start()
    return Running(name="Posthouse", port=node.port, pid=node.pid, stop=node.kill)


def _postfix(directory: Path, options: Options) -> Running:
    server = Postfix(directory, options).start()
    return Running(name="Postfix", port=server.port, pid=server.pid, stop=server.stop)


def _postfix_keep(directory: Path) -> Running:
    return _postfix(directory, Options(deliver="hold", processes=300, extra={"maillog_file": "", "in_flow_delay": "0"}))


def _postfix_relay(directory: Path, hop: int) -> Running:
    return _postfix(directory, Options(deliver="relay", relay=f"127.0.0.1:{hop}", extra={"maillog_file": ""}))


def _smtp_sink(directory: Path) -> Running:
    port = free_port()
    server = Server(
        [require("smtp-sink"), "-u", "nobody", "-m", str(MANY), f"127.0.0.1:{port}", "1000"], directory / "log"
    )
    server.wait_for_port(port)
    return Running(name="smtp-sink", port=port, pid=server.process.pid, stop=server.kill)


def _aiosmtpd(directory: Path) -> Running:
    port = free_port()
    server = Server([sys.executable, "-m", "bench.aiosmtpd_sink", str(port)], directory / "log")
    server.wait_for_port(port)
    return Running(name="aiosmtpd", port=port, pid=server.process.pid, stop=server.kill)


POSTHOUSE = Peer(
    name="Posthouse",
    keep=lambda directory: _posthouse(directory, NOWHERE, paused=True),
    relay=lambda directory, hop: _posthouse(directory, hop, paused=False),
)
# One connection of Postfix is one process, so few are enough to tell.
POSTFIX = Peer(name="Postfix", keep=_postfix_keep, relay=_postfix_relay, idle_connections=200)
SMTP_SINK = Peer(name="smtp-sink", keep=_smtp_sink)
AIOSMTPD = Peer(name="aiosmtpd", keep=_aiosmtpd)
PEERS = (POSTHOUSE, POSTFIX, SMTP_SINK, AIOSMTPD)


def missing() -> list[str]:
    """The programs that this machine lacks."""
    lacking = [name for name in ("postfix", "smtp-source", "smtp-sink") if shutil.which(name, path=SEARCH_PATH) is None]
    return lacking if os.geteuid() == 0 else [*lacking, "root (Postfix is started by root only)"]


def new_directory(parent: Path) -> Path:
    """A directory that servers may pass after they dropped root."""
    directory = Path(tempfile.mkdtemp(dir=parent))
    directory.chmod(0o755)
    return directory
