"""Fuzz one target until stopped: ``python -m tests.fuzz TARGET [libFuzzer options]``; needs the package atheris.

A target is a module of this folder with a function ``one_input(octets)``. The same functions run under hypothesis in
the ordinary tests.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Run libFuzzer over one target."""
    targets = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        print(f"usage: python -m tests.fuzz {{{','.join(targets)}}} [libFuzzer options]", file=sys.stderr)
        return 2
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports():
        target = importlib.import_module(f"tests.fuzz.{sys.argv[1]}")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
