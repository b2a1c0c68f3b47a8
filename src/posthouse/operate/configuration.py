"""A configuration that has been read, and what is wrong with one that cannot be used.

Shape: `Configuration` is both files as settings, every path absolute; `Problem` is one error or warning with all that a
person needs to mend it. Its text is derived from its fields, never stored.
Failures: `ConfigurationRefused` carries all errors at once.
Leaves to others: reading (``posthouse.config``), what only the running system shows (``operate.checks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from posthouse.decide.flow import Flow
from posthouse.mail.settings import Settings
from posthouse.operate.settings import ControlSettings, LogSettings
from posthouse.queue.settings import QueueSettings
from posthouse.receive.settings import ListenerSettings, LoginSettings, TlsSettings
from posthouse.store.settings import StoreSettings

NODE_FILE = "posthouse.toml"
FLOW_FILE = "flow.toml"


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
    control: ControlSettings = ControlSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, or that deserves a second thought.

    Attributes:
        severity: An error keeps the configuration from being used.
        file: Name of the file, or empty for something outside the files (a port in use).
        line: 1 for the first line, or None where it is not known.
        key: ``outbound[0].port``, or empty for the whole file.
        found: The value as written, or None where there is none or it may be a secret.
        expected: What would be right, as the end of "expected ...".
        message: A sentence, for what is not a matter of found and expected.
        hint: What to do.
    """

    severity: Literal["error", "warning"] = "error"
    file: str = ""
    line: int | None = None
    key: str = ""
    found: str | None = None
    expected: str = ""
    message: str = ""
    hint: str = ""

    @property
    def place(self) -> str:
        """``flow.toml:12: outbound[0].port`` without the parts that are not known."""
        position = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return ": ".join(part for part in (position, self.key) if part)

    @property
    def sentence(self) -> str:
        """What is wrong, without place and hint."""
        if not self.expected:
            return self.message
        found = f"found {self.found}, " if self.found is not None else ""
        said = f"{self.message}; " if self.message else ""
        return f"{said}{found}expected {self.expected}"

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.place, self.sentence) if part)
        return f"{text}; hint: {self.hint}" if self.hint else text


class ConfigurationRefused(Exception):
    """The configuration cannot be used.

    Attributes:
        errors: All of them, in the order of the files.
        warnings: What was noticed on the way.
    """

    def __init__(self, errors: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__(f"{len(errors)} errors in the configuration")
        self.errors = tuple(errors)
        self.warnings = tuple(warnings)


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
