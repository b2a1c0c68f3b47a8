"""Settings of the operator's side: ``[control]``, ``[alerts]`` and ``[log]`` in posthouse.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from posthouse.decide.patterns import Mailbox
from posthouse.mail.settings import Settings
from posthouse.operate.names import DEFAULT_SOCKET


class ControlSettings(Settings):
    """The socket that commands speak to."""

    socket: Path = Field(default=Path(DEFAULT_SOCKET), description="Unix socket, relative to the file.")
    group: str | None = Field(
        default=None, description="Group whose members may also steer the node; without it only its own user and root."
    )
    submission: Literal["operators", "everyone"] = Field(
        default="operators", description="Who may hand in mail with `posthouse send`: operators, or every local user."
    )
    max_message: int = Field(default=157286400, ge=1, description="Largest message taken here, in octets.")


class AlertSettings(Settings):
    """Mail to the operator: mailboxes that rest, credentials that end."""

    to: tuple[Mailbox, ...] = Field(default=(), description="Who is told; empty means nobody.")
    sender: Mailbox | None = Field(
        default=None, description="In From; an address that the connector may send as. Default: the postmaster."
    )


class LogSettings(Settings):
    """The node's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severity written.")
    format: Literal["text", "json"] = Field(default="text", description="Lines for people or for programs.")
