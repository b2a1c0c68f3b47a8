"""Figures become tables: medians of the rounds, ratios against the goals, docs/benchmarks.md and .json.

Shape: `goals` judges, `markdown` writes the page, `as_json` the same for programs.
Leaves to others: measuring.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.load import Sample
from bench.plan import ACCEPT, RELAY, Figures, Size
from tests.peers.programs import SEARCH_PATH, run

_ANALYSIS = Path(__file__).with_name("analysis.md")
KEPT, NEW, MIDDLE, BIG, BULK = ACCEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One goal of the project: a figure, what it must reach, and whether less is better."""

    text: str
    wanted: float
    reached: float | None
    less_is_better: bool = False

    @property
    def verdict(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        if self.reached is None:
            return "not measured"
        met = self.reached <= self.wanted if self.less_is_better else self.reached >= self.wanted
        return "met" if met else "missed"


def rate(figures: Figures, scenario: str, peer: str) -> float | None:
    """Median of the rounds, messages a second."""
    samples = figures.samples.get(scenario, {}).get(peer)
    return statistics.median(sample.rate for sample in samples) if samples else None


def latency(figures: Figures, scenario: str, peer: str, percent: int) -> float | None:
    """Percentile of all rounds together, milliseconds."""
    samples = figures.samples.get(scenario, {}).get(peer, [])
    times = sorted(time for sample in samples for time in sample.latencies_ms)
    return times[min(len(times) - 1, len(times) * percent // 100)] if times else None


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def goals(figures: Figures) -> list[Goal]:
    """Every goal with the figure of this run."""

    def against(scenario: str, peer: str) -> float | None:
        return _ratio(rate(figures, scenario, "Posthouse"), rate(figures, scenario, peer))

    p99 = [latency(figures, KEPT, name, 99) for name in ("Posthouse", "Postfix")]
    small, big = (peak_memory(figures, scenario, "Posthouse") for scenario in (KEPT, BULK))
    idle = figures.idle.get("Posthouse")
    return [
        Goal(text="accept, 4 KB, against Postfix", wanted=8, reached=against(KEPT, "Postfix")),
        Goal(text="accept, 4 KB, against smtp-sink", wanted=0.3, reached=against(KEPT, "smtp-sink")),
        Goal(text="relay end to end, against Postfix", wanted=6, reached=against(RELAY, "Postfix")),
        Goal(text="p99 to the 250, against Postfix", wanted=1, reached=_ratio(*p99), less_is_better=True),
        Goal(text="accept, 5 MB, against Postfix", wanted=2, reached=against(BULK, "Postfix")),
        Goal(
            text="peak memory at 5 MB against 4 KB (flat)", wanted=1.5, reached=_ratio(big, small), less_is_better=True
        ),
        Goal(text="KiB for an idle connection", wanted=25, reached=idle and idle[1] / 1024, less_is_better=True),
    ]


def peak_memory(figures: Figures, scenario: str, peer: str) -> float | None:
    """Highest of all rounds, octets."""
    samples = figures.samples.get(scenario, {}).get(peer)
    return max(sample.memory_octets for sample in samples) if samples else None


def conditions(size: Size) -> dict[str, str]:
    """Machine, versions, date and load at this moment: what the figures belong to. Ask before the run."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    postconf = shutil.which("postconf", path=SEARCH_PATH)
    postfix = run([postconf, "-d", "-h", "mail_version"]).output.strip() if postconf else "not installed"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), "
        f"{int(memory[1]) / (1 << 20) if memory else 0:.0f} GiB, load before {os.getloadavg()[0]:.1f}",
        "system": platform.platform(),
        "versions": f"Posthouse {version('posthouse')} on CPython {platform.python_version()} with uvloop "
        f"{version('uvloop')}; Postfix and smtp-sink {postfix}; aiosmtpd {version('aiosmtpd')}",
        "run": f"{size.rounds} rounds of about {size.seconds:g} s a measurement, peers in turn, medians",
    }


def _cells(figures: Figures, scenario: str, peer: str, samples: list[Sample]) -> list[str]:
    against = _ratio(rate(figures, scenario, peer), rate(figures, scenario, "Postfix"))
    p50, p99 = (latency(figures, scenario, peer, percent) for percent in (50, 99))
    return [
        peer,
        f"{statistics.median(s.rate for s in samples):,.1f}",
        "-" if against is None else f"{against:.2f}",
        "-" if p50 is None else f"{p50:.1f} / {p99:.1f}",
        f"{max(s.memory_octets for s in samples) / (1 << 20):,.0f}",
        f"{statistics.median(s.cpu_seconds for s in samples) * 1000:.2f}",
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with columns of even width, readable as it stands."""
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def goal_table(figures: Figures) -> str:
    """The goals, what was reached, and the verdict."""
    rows = [
        [
            goal.text,
            f"{'<=' if goal.less_is_better else '>='} {goal.wanted:g}",
            "-" if goal.reached is None else f"{goal.reached:.2f}",
            goal.verdict,
        ]
        for goal in goals(figures)
    ]
    return table(["goal", "wanted", "reached", "verdict"], rows)


_INTRODUCTION = """\
# Benchmarks

Written by `make bench`; run it to have the figures of your own machine. Absolute figures belong to one machine and one
hour. What can be compared are peers of one run. smtp-source sends over 20 sessions; one more client, beside it,
measures the time from the final dot to the 250. Delivery is held back at Posthouse (a paused connector) and Postfix
(its hold queue), both of which put each message on disk before the 250; smtp-sink and aiosmtpd keep nothing and show
what the load generator and plain Python could reach. For 5 MB smtp-source itself is the slowest part, so a sender that
hands its octets to the kernel in one piece (`bench/bulk.py`) sends them a second time, and the goal is judged by that.
Memory is the proportional set size of all processes of a server.
"""


def markdown(figures: Figures, facts: dict[str, str]) -> str:
    """docs/benchmarks.md."""
    parts = [_INTRODUCTION, "## Goals\n", goal_table(figures) + "\n", _ANALYSIS.read_text(), "## Figures\n"]
    head = ["peer", "messages/s", "x Postfix", "ms to the 250, p50 / p99", "peak MiB", "CPU ms a message"]
    for scenario, by_peer in figures.samples.items():
        rows = [_cells(figures, scenario, peer, samples) for peer, samples in by_peer.items()]
        parts += [f"### {scenario[0].upper()}{scenario[1:]}\n", table(head, rows) + "\n"]
    idle = [[peer, f"{count:,}", f"{each / 1024:.1f}"] for peer, (count, each) in figures.idle.items()]
    parts += ["### Idle connections\n", table(["peer", "open", "KiB each"], idle) + "\n"]
    parts += ["## Conditions\n", "\n".join(f"- {name}: {text}" for name, text in facts.items()) + "\n"]
    if figures.notes:
        parts += ["## Not measured\n", "\n".join(f"- {note}" for note in figures.notes) + "\n"]
    return "\n".join(parts)


def as_json(figures: Figures, facts: dict[str, str]) -> dict[str, Any]:
    """Every sample of every round; of the latencies only percentiles."""

    def sample(one: Sample) -> dict[str, Any]:
        times = sorted(one.latencies_ms)
        row = dataclasses.asdict(one) | {"latencies_ms": None}
        if times:
            row["latencies_ms"] = {f"p{p}": times[min(len(times) - 1, len(times) * p // 100)] for p in (50, 90, 99)} | {
                "count": len(times)
            }
        return row

    return {
        "conditions": facts,
        "goals": [dataclasses.asdict(goal) | {"verdict": goal.verdict} for goal in goals(figures)],
        "samples": {
            scenario: {peer: [sample(one) for one in samples] for peer, samples in by_peer.items()}
            for scenario, by_peer in figures.samples.items()
        },
        "idle": {
            peer: {"connections": count, "octets_each": round(each)} for peer, (count, each) in figures.idle.items()
        },
        "notes": figures.notes,
    }
