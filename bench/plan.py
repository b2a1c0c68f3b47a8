"""What is measured, how often and in which order; the figures of one whole run.

Shape: `run_all` gives `Figures`: samples by scenario and peer. In each round every peer has its turn, so that what the
machine does meanwhile falls on all.
Failures: a scenario that one peer cannot do is noted in `Figures.notes`, and the run goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.idle import octets_per_connection
from bench.load import BenchFailed, Load, Sample, measure_accept
from bench.peers import PEERS, Peer, new_directory
from bench.relay import measure_relay
from tests.peers.programs import ServerFailed

ACCEPT = {
    "4 KB, kept connections": Load(size=4096, kept=True, warm_up=400, most=60_000),
    "4 KB, new connections": Load(size=4096, kept=False, warm_up=400, most=20_000),
    "100 KB, kept connections": Load(size=100_000, kept=True, warm_up=100, most=10_000),
    "5 MB, kept connections": Load(size=5_000_000, kept=True, warm_up=20, most=400),
    "5 MB, bulk sender": Load(size=5_000_000, kept=True, warm_up=20, most=1_000, bulk=True),
}
RELAY = "relay of 4 KB, end to end"
RELAY_LOAD = Load(size=4096, kept=True, warm_up=0, most=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How thorough a run is: rounds, seconds a measurement, messages relayed by name of peer."""

    rounds: int
    seconds: float
    relayed: dict[str, int]
    idle_factor: float = 1.0


FULL = Size(rounds=3, seconds=4, relayed={"Posthouse": 15_000, "Postfix": 3_000})
QUICK = Size(rounds=1, seconds=1.2, relayed={"Posthouse": 4_000, "Postfix": 800}, idle_factor=0.2)


@dataclass(slots=True, kw_only=True)
class Figures:
    """Everything measured: samples by scenario and peer's name, idle connections, and what went wrong."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    idle: dict[str, tuple[int, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, scenario: str, peer: str, sample: Sample) -> None:
        """Keep one sample."""
        self.samples.setdefault(scenario, {}).setdefault(peer, []).append(sample)


def run_all(size: Size, names: set[str], say: Callable[[str], None]) -> Figures:
    """Measure the peers of these names."""
    figures = Figures()
    peers = [peer for peer in PEERS if peer.name in names]
    with tempfile.TemporaryDirectory(prefix="phb") as text:
        room = Path(text)
        room.chmod(0o755)
        for round_number in range(1, size.rounds + 1):
            say(f"round {round_number} of {size.rounds}")
            for scenario, load in ACCEPT.items():
                for peer in peers:
                    _try(figures, scenario, peer, say, partial(_accept, peer, room, load, size.seconds))
            for peer in peers:
                if peer.relay is not None:
                    count = size.relayed[peer.name]
                    work = partial(measure_relay, peer, new_directory(room), RELAY_LOAD, count)
                    _try(figures, RELAY, peer, say, work)
        for peer in peers:
            _idle(figures, peer, room, int(peer.idle_connections * size.idle_factor), say)
    return figures


def _accept(peer: Peer, room: Path, load: Load, seconds: float) -> Sample:
    server = peer.keep(new_directory(room))
    try:
        return measure_accept(server, load, seconds)
    finally:
        server.stop()


def _try(figures: Figures, scenario: str, peer: Peer, say: Callable[[str], None], work: Callable[[], Sample]) -> None:
    try:
        sample = work()
    except (BenchFailed, ServerFailed) as error:
        figures.notes.append(f"{peer.name}, {scenario}: {error}")
        say(f"  {scenario:26} {peer.name:10} failed: {error}")
        return
    figures.add(scenario, peer.name, sample)
    say(f"  {scenario:26} {peer.name:10} {sample.rate:9.1f}/s  {sample.cpu_seconds * 1e3:8.3f} ms CPU")


def _idle(figures: Figures, peer: Peer, room: Path, count: int, say: Callable[[str], None]) -> None:
    server = peer.keep(new_directory(room))
    try:
        figures.idle[peer.name] = octets_per_connection(server, count)
        opened, each = figures.idle[peer.name]
        say(f"  {opened} idle connections       {peer.name:10} {each / 1024:9.1f} KiB each")
    except (BenchFailed, OSError) as error:
        figures.notes.append(f"{peer.name}, idle connections: {error}")
    finally:
        server.stop()
