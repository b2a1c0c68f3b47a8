"""aiosmtpd as it comes, answering 250 and keeping nothing: ``python -m bench.aiosmtpd_sink PORT``."""

from __future__ import annotations

import asyncio
import sys

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP


async def main() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Sink(), hostname="aiosmtpd.test", data_size_limit=200_000_000, enable_SMTPUTF8=True),
        "127.0.0.1",
        int(sys.argv[1]),
        backlog=1000,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
