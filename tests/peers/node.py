"""The real ``posthouse`` process, set up as an operator would: init, edit the two files, run.

Shape: `Node` owns a directory and at most one process. `Node.edit` changes both files before a start. Commands are run
as processes too, so that what is tested is what a person types.
Failures: `programs.ServerFailed` with the end of the node's log; a command that fails is an AssertionError with its
output.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.peers.programs import Finished, Server, ServerFailed, free_port, run, wait_until

Tree = dict[str, Any]
READY_SECONDS = 30.0


class Node:
    """One node below one directory.

    Attributes:
        port: Of the listener that ``init`` writes.
        hop: Port of the next hop that ``init`` writes.
    """

    def __init__(self, directory: Path, hop: int) -> None:
        self.directory = directory / "node"
        self.port = free_port()
        self.hop = hop
        self._log = directory / "node.log"
        self._server: Server | None = None
        done = self.command(
            "init", "--upstream", f"smtp://127.0.0.1:{hop}", "--listen", f"127.0.0.1:{self.port}",
            "--allow", "127.0.0.0/8", "--yes",
        )  # fmt: skip
        assert done.code == 0, done.output

    def command(self, *words: str, stdin: bytes = b"", seconds: float = 60) -> Finished:
        """Run ``posthouse WORDS --dir ...`` to its end."""
        return run([*_POSTHOUSE, *words, "--dir", self.directory], stdin=stdin, seconds=seconds)

    def ask(self, *words: str) -> Any:
        """Run a command with ``--json`` and read its answer."""
        done = run([*_POSTHOUSE, *words, "--dir", self.directory, "--json"], merge=False)
        assert done.code == 0, done.output
        return json.loads(done.output)

    def edit(self, change: Callable[[Tree, Tree], None]) -> None:
        """Let ``change(posthouse, flow)`` change both files as trees."""
        files = [self.directory / "posthouse.toml", self.directory / "flow.toml"]
        trees = [tomllib.loads(file.read_text()) for file in files]
        change(*trees)
        for file, tree in zip(files, trees, strict=True):
            file.write_text(write_toml(tree))

    def add_listener(self, name: str, **settings: object) -> int:
        """One more listener; its port."""
        port = free_port()
        row = {"name": name, "address": f"127.0.0.1:{port}", **settings}
        self.edit(lambda posthouse, flow: posthouse.setdefault("listener", []).append(row))
        return port

    def edit_outbound(self, **settings: object) -> None:
        """Change the one outbound connector."""
        self.edit(lambda posthouse, flow: flow["outbound"][0].update(settings))

    def edit_queue(self, **settings: object) -> None:
        """Change the ``[queue]`` settings."""
        self.edit(lambda posthouse, flow: posthouse.setdefault("queue", {}).update(settings))

    def add_account(self, name: str, password: str) -> None:
        """An account, with its password handed in on standard input."""
        done = self.command("account", "add", name, "--password-stdin", stdin=password.encode() + b"\n")
        assert done.code == 0, done.output

    def start(self) -> Node:
        """Run the node and wait for its ready line."""
        assert self._server is None, "already running"
        self._server = Server([*_POSTHOUSE, "run", "--dir", self.directory], self._log)
        try:
            self._server.wait_for_line("posthouse ready", READY_SECONDS)
        except ServerFailed:
            self.kill()
            raise
        return self

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        assert self._server is not None
        return self._server.process.pid

    def stop(self) -> int:
        """SIGTERM and drain; the exit code."""
        if self._server is None:
            return 0
        server, self._server = self._server, None
        return server.stop()

    def kill(self) -> None:
        """SIGKILL."""
        if self._server is not None:
            server, self._server = self._server, None
            server.kill()

    def log_text(self) -> str:
        """All that the node logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def queue(self) -> list[Tree]:
        """``queue list --json``."""
        return _rows(self.ask("queue", "list", "--limit", "10000"))

    def trace(self, *filters: str) -> list[Tree]:
        """``trace search --json``."""
        return _rows(self.ask("trace", "search", *filters))

    def wait_for_empty_queue(self, seconds: float = 30) -> None:
        """Wait until nothing is open."""
        wait_until(lambda: not self.queue(), seconds, "an empty queue")


_POSTHOUSE: Sequence[str | Path] = (sys.executable, "-m", "posthouse")


def _rows(answer: Any) -> list[Tree]:
    """A list of objects, whether the answer is that list or an object that holds it."""
    if isinstance(answer, dict):
        lists = [value for value in answer.values() if isinstance(value, list)]
        assert len(lists) == 1, answer
        answer = lists[0]
    assert isinstance(answer, list), answer
    return answer


def write_toml(tree: Tree) -> str:
    """A tree of tables as TOML. Strings, numbers, booleans, lists and tables are all that the two files use."""
    plain = {key: value for key, value in tree.items() if not _is_table(value)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_value(item)}" for name, item in value.items())]
        elif _is_table(value):
            for row in value:
                lines += ["", f"[[{key}]]", *(f"{name} = {_value(item)}" for name, item in row.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(value)
