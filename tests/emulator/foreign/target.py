"""Where a client sends to and as whom: the only thing that all clients are told.

Shape: a `Target` carries a password or a token, never both; a client that knows no tokens does not stand among those
that are tested with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.emulator.foreign.letter import Letter
from tests.peers.programs import Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One of the emulator's mail hosts as a client sees it.

    STARTTLS is always asked for, and the server's certificate is always checked.

    Attributes:
        ca: The one authority to trust.
        user: The mailbox to log on to; empty where nobody logs on.
        password: For AUTH LOGIN; empty when there is a token.
        token: An access token for AUTH XOAUTH2.
        certificate, key: What to show in the handshake, for clients that are tested with it.
    """

    host: str
    port: int
    ca: Path
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificate: Path | None = None
    key: Path | None = None


class Client(Protocol):
    """Sends a letter and returns what the program showed to its user."""

    def __call__(self, target: Target, letter: Letter, directory: Path) -> Finished: ...
