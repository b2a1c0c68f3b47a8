"""End to end: smtp-source hands in, the peer keeps and hands on, and smtp-sink counts until all have arrived."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.load import BenchFailed, Load, Sample, send
from bench.peers import Peer
from bench.processes import MemoryWatch, cpu_seconds
from tests.peers.programs import Server, free_port, require


def measure_relay(peer: Peer, directory: Path, load: Load, count: int) -> Sample:
    """Messages relayed a second: from the first hand-in until the next hop has taken the last."""
    assert peer.relay is not None
    port = free_port()
    # smtp-sink ends by itself after so many messages: that moment is the end of the measurement.
    hop = Server(
        [require("smtp-sink"), "-u", "nobody", "-m", "1000", "-M", str(count), f"127.0.0.1:{port}", "1000"],
        directory / "sink.log",
    )
    hop.wait_for_port(port)
    server = peer.relay(directory, port)
    try:
        watch, before = MemoryWatch(server.pid), cpu_seconds(server.pid)
        begin = time.perf_counter()
        send(server.port, load, count)
        try:
            hop.process.wait(timeout=180)
        except subprocess.TimeoutExpired as late:
            raise BenchFailed(f"{peer.name} did not relay {count} messages within 180 s") from late
        took = time.perf_counter() - begin
        used = cpu_seconds(server.pid) - before
        return Sample(messages=count, rate=count / took, memory_octets=watch.stop(), cpu_seconds=used / count)
    finally:
        server.stop()
        hop.stop()
