"""Fixtures: a short private directory, certificates, sinks, real mail servers, the real node."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from tests.peers.certificates import Authority
from tests.peers.node import Node
from tests.peers.postfix import Options, Postfix
from tests.peers.sink import Sink
from tests.peers.smtp_sink import SmtpSink


@pytest.fixture(scope="module")
def shared_room() -> Iterator[Path]:
    """A directory for the module: short, because a Unix socket's path is; open to servers that drop root."""
    yield from _room()


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory for one test, of the same kind."""
    yield from _room()


def _room() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="ph"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _open_directory(room: Path) -> Path:
    """A new directory that servers may pass after they dropped root."""
    directory = Path(tempfile.mkdtemp(dir=room))
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def authority(shared_room: Path) -> Authority:
    """Issues the module's certificates."""
    return Authority(shared_room)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A next hop that takes everything."""
    server = Sink().start()
    yield server
    server.stop()


@pytest.fixture
def make_sink() -> Iterator[Callable[[Sink], Sink]]:
    """Starts a sink made by the test."""
    with ExitStack() as stack:

        def start(made: Sink) -> Sink:
            made.start()
            stack.callback(made.stop)
            return made

        yield start


class NodeMaker(Protocol):
    """Sets up a node; the test edits and starts it."""

    def __call__(self, hop: int) -> Node: ...


@pytest.fixture
def make_node(room: Path) -> Iterator[NodeMaker]:
    """Nodes whose next hop listens on a given loopback port."""
    with ExitStack() as stack:

        def make(hop: int) -> Node:
            node = Node(Path(tempfile.mkdtemp(dir=room)), hop)
            stack.callback(node.kill)
            return node

        yield make


class PostfixMaker(Protocol):
    """Starts a Postfix."""

    def __call__(self, options: Options) -> Postfix: ...


@pytest.fixture
def make_postfix(room: Path) -> Iterator[PostfixMaker]:
    """Postfix instances side by side."""
    with ExitStack() as stack:

        def make(options: Options) -> Postfix:
            server = Postfix(_open_directory(room), options)
            stack.callback(server.stop)
            return server.start()

        yield make


@pytest.fixture
def make_smtp_sink(room: Path) -> Iterator[Callable[..., SmtpSink]]:
    """Starts ``smtp-sink`` with options such as ``"-r", "rcpt"``."""
    with ExitStack() as stack:

        def make(*options: str) -> SmtpSink:
            server = SmtpSink(_open_directory(room), *options)
            stack.callback(server.stop)
            return server

        yield make
