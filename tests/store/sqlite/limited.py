"""A process that may not write large files: ``python -m tests.store.sqlite.limited DIRECTORY``."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from pathlib import Path

from tests.store.samples import letter, taken

from posthouse.mail.message import InlineContent
from posthouse.store.port import StoreUnavailable
from posthouse.store.sqlite.store import SqliteStore


async def main() -> None:
    """Accept until the limit, then lift it and go on."""
    store = SqliteStore(Path(sys.argv[1]), node="node")
    await store.open()
    await store.accept(taken(letter(1)))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    number = 1
    try:
        while number < 30:
            await store.accept(taken(letter(number + 1, content=InlineContent(b"y" * 100_000))))
            number += 1
    except StoreUnavailable:
        print("kept", number, "found", await store.open_count())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.accept(taken(letter(99)))
    print("then", await store.open_count(), await store.check())
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
