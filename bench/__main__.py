"""``python -m bench [--quick] [--only PEER ...] [--no-write]``: measure, print the goals, write the page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from bench.idle import raise_file_limit
from bench.peers import PEERS, missing
from bench.plan import FULL, QUICK, run_all
from bench.report import as_json, conditions, goal_table, markdown

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> int:
    """Run the bench; exit code 2 where the machine lacks a program."""
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, under two minutes; writes nothing")
    parser.add_argument("--only", action="append", choices=names, help="measure this peer; may be repeated")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/benchmarks.* alone")
    wanted = parser.parse_args()
    lacking = missing()
    if lacking:
        print(f"bench: missing: {', '.join(lacking)}; .ci/install-peers installs what is needed", file=sys.stderr)
        return 2
    raise_file_limit()
    size = QUICK if wanted.quick else FULL
    facts = conditions(size)
    begin = time.monotonic()
    figures = run_all(size, set(wanted.only or names), lambda line: print(line, flush=True))
    print(f"\n{goal_table(figures)}\n\n{time.monotonic() - begin:.0f} s in all")
    if not wanted.quick and not wanted.only and not wanted.no_write:
        (DOCS / "benchmarks.md").write_text(markdown(figures, facts))
        (DOCS / "benchmarks.json").write_text(json.dumps(as_json(figures, facts), indent=1) + "\n")
        print("written: docs/benchmarks.md, docs/benchmarks.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
