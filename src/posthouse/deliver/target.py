"""Where a session goes to."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """One address of one host, for one mailbox that logs in there; sessions are kept by it."""

    host: str
    ip: str
    port: int
    mailbox: str = ""

    def __str__(self) -> str:
        return f"{self.host} [{self.ip}]:{self.port}"
