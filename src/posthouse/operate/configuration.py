"""A configuration that has been read.

Shape: `NodeSettings` is posthouse.toml, put together from the settings that each package owns; `Configuration` is both
files, every path absolute.
Leaves to others: reading (``posthouse.config``), what is wrong with one (``operate.problem``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from posthouse.decide.flow import Flow
from posthouse.mail.settings import Settings
from posthouse.operate.problem import Problem
from posthouse.operate.settings import AlertSettings, ControlSettings, LogSettings
from posthouse.queue.settings import QueueSettings
from posthouse.receive.settings import ListenerSettings, LoginSettings, TlsSettings
from posthouse.store.settings import StoreSettings
from posthouse.trace.settings import ProtocolLogSettings, RetentionSettings


class NodeSettings(Settings):
    """The node: everything in posthouse.toml."""

    hostname: str = Field(
        default="", description="Name given in greetings, EHLO and Received; default the name of the machine."
    )
    listener: tuple[ListenerSettings, ...] = Field(min_length=1, description="Where mail comes in.")
    tls: TlsSettings = TlsSettings()
    login: LoginSettings = LoginSettings()
    store: StoreSettings = StoreSettings()
    queue: QueueSettings = QueueSettings()
    trace: RetentionSettings = RetentionSettings()
    protocol_log: ProtocolLogSettings = ProtocolLogSettings()
    control: ControlSettings = ControlSettings()
    alerts: AlertSettings = AlertSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Both files, read and judged.

    Attributes:
        node: posthouse.toml; paths are absolute, the hostname is filled in.
        flow: flow.toml; paths and ``file:`` references are absolute.
        flow_text: The text of flow.toml as it stands in the file, for the store's revisions.
        directory: Absolute directory of both files.
        warnings: What deserves a second thought.
    """

    node: NodeSettings
    flow: Flow
    flow_text: str = field(repr=False)
    directory: Path
    warnings: tuple[Problem, ...] = ()
