"""What is wrong with a configuration, as values that people and programs can read.

Shape: `Problem` is one error or warning with all that a person needs to mend it; its text is derived from its fields,
never stored. `ConfigurationRefused` carries all errors at once.
Leaves to others: finding them (``posthouse.config``, ``operate.findings``, ``operate.meaning``, ``operate.checks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


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


class DeskClosed(Exception):
    """Neither a node nor the store can be asked. The message says why.

    Attributes:
        temporary: Trying again later may help.
    """

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(reason)
        self.temporary = temporary
