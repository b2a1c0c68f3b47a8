"""The process around a node: event loop, signals, log, lock, ready line.

Shape: `run` works until SIGTERM or SIGINT and returns an exit code: 0 stopped in order, 1 could not start, 75 the
store cannot be used just now. SIGHUP reads the flow and the certificates again. Under systemd it tells its readiness
(sd_notify of systemd's ``Type=notify``).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from typing import Any

import structlog

from posthouse import __version__
from posthouse.operate.configuration import Configuration
from posthouse.operate.control import SocketInUse
from posthouse.operate.settings import LogSettings
from posthouse.receive.server import ReceiveProblem
from posthouse.service.kept import NodeLock
from posthouse.service.node import Node
from posthouse.store.port import StoreUnavailable

log = structlog.get_logger()

LOCK_SECONDS = 5.0
SWITCH_INTERVAL_SECONDS = 0.0005
"""How long the event loop may keep the interpreter while the store's thread waits for it; a tenth of the default."""


def run(configuration: Configuration) -> int:
    """Run a node until it is told to stop.

    Returns:
        Exit code: 0, 1 or 75 (EX_TEMPFAIL).
    """
    configure_log(configuration.node.log)
    for warning in configuration.warnings:
        log.warning("configuration", warning=str(warning))
    lock = NodeLock(configuration.node.store.directory)
    try:
        taken = _take_patiently(lock)
    except OSError as error:
        return _refuse(f"{configuration.node.store.directory} cannot be used: {error.strerror}", 1)
    if not taken:
        return _refuse(f"another node runs on {configuration.node.store.directory}; stop it first", 1)
    try:
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(configuration))
    except StoreUnavailable as error:
        return _refuse(f"the store cannot be used: {error}", 75)
    except ReceiveProblem as error:
        return _refuse("\n".join(error.problems), 1)
    except (SocketInUse, OSError) as error:
        return _refuse(str(error), 1)
    finally:
        lock.release()


async def _serve(configuration: Configuration) -> int:
    node = Node(configuration)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[Any]] = set()

    def reload() -> None:
        task = loop.create_task(node.reload(by="SIGHUP"))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await node.start()
    # What lives as long as the process need not be looked at by every collection.
    gc.collect()
    gc.freeze()
    print(f"posthouse ready {__version__} {configuration.node.hostname} {node.addresses}", flush=True)
    notify_systemd("READY=1")
    await stop.wait()
    notify_systemd("STOPPING=1")
    log.info("node.stopping")
    await node.drain()
    return 0


def configure_log(settings: LogSettings) -> None:
    """Write log lines to standard error, for people or as JSON."""
    level = getattr(logging, settings.level.upper())
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.format == "text":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def notify_systemd(state: str) -> None:
    """Tell systemd, where it started us and asked for it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect("\0" + path[1:] if path.startswith("@") else path)
        channel.sendall(state.encode())


def _take_patiently(lock: NodeLock) -> bool:
    """Take the lock; a command that works on the store for a moment does not keep a node from starting."""
    deadline = time.monotonic() + LOCK_SECONDS
    while not lock.take():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _refuse(sentence: str, code: int) -> int:
    print(f"posthouse: {sentence}", file=sys.stderr)
    return code
