"""smtp-source or ``bulk`` drives one server, while a probe measures the time to the 250 and /proc tells what it costs.

Shape: `Load` is what is sent, `Sample` is what one run gave. A run has a short warm-up, whose rate decides how many
messages fill the wanted seconds.
Failures: `BenchFailed` where smtp-source or the probe does, with what it printed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass

from bench.peers import Running
from bench.processes import MemoryWatch, cpu_seconds
from tests.peers.programs import require, run

SESSIONS = 20


class BenchFailed(Exception):
    """A measurement could not be made; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent.

    Attributes:
        bulk: By ``bench.bulk`` instead of smtp-source.
        size: Octets of a message's body.
        kept: One connection for many messages, or a new one for each.
        warm_up: Messages before the clock runs.
        most: Never more messages than this.
    """

    size: int
    kept: bool
    warm_up: int
    most: int
    bulk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: messages a second, peak memory, CPU seconds a message, milliseconds to the 250."""

    messages: int
    rate: float
    memory_octets: int
    cpu_seconds: float
    latencies_ms: tuple[float, ...] = ()


def send(port: int, load: Load, count: int) -> float:
    """Let the generator send; the seconds it took."""
    sessions = min(SESSIONS, count)
    command = _bulk(port, load, sessions, count) if load.bulk else _smtp_source(port, load, sessions, count)
    begin = time.perf_counter()
    done = run(command, seconds=300)
    if done.code != 0:
        raise BenchFailed(f"the load generator ended with {done.code}: {done.output[-500:]}")
    return time.perf_counter() - begin


def _smtp_source(port: int, load: Load, sessions: int, count: int) -> list[str]:
    command = [str(require("smtp-source")), "-s", str(sessions), "-m", str(count), "-l", str(load.size)]
    command += ["-f", "bench@example.com", "-t", "bench@example.net", *(["-d"] if load.kept else [])]
    return [*command, f"127.0.0.1:{port}"]


def _bulk(port: int, load: Load, sessions: int, count: int) -> list[str]:
    return [sys.executable, "-m", "bench.bulk", *(str(number) for number in (port, sessions, count, load.size))]


def measure_accept(server: Running, load: Load, seconds: float) -> Sample:
    """Messages taken a second, with a probe beside."""
    warm = send(server.port, load, load.warm_up)
    count = int(min(load.most, max(load.warm_up, load.warm_up / warm * seconds)))
    probe = subprocess.Popen(
        [sys.executable, "-m", "bench.probe", str(server.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watch, before = MemoryWatch(server.pid), cpu_seconds(server.pid)
    took = send(server.port, load, count)
    used = cpu_seconds(server.pid) - before
    printed, _ = probe.communicate(timeout=60)
    if probe.returncode != 0:
        raise BenchFailed(f"the probe failed at {server.name}")
    times = tuple(float(line) for line in printed.split())
    return Sample(
        messages=count,
        rate=count / took,
        memory_octets=watch.stop(),
        # The probe's messages cost CPU time as well.
        cpu_seconds=used / (count + len(times)),
        latencies_ms=times,
    )
