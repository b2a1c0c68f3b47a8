"""The program: hands commands what the layers above them can do, and runs what was typed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from posthouse.operate.cli.main import main as run_command

if TYPE_CHECKING:
    from posthouse.operate.configuration import Configuration
    from posthouse.operate.port import Parts
    from posthouse.operate.problem import Problem


class ThisInstallation:
    """Configuration and service of this package, imported when a command needs them."""

    def load(self, directory: Path) -> Configuration:
        """Read both files."""
        from posthouse.config import load

        return load(directory)

    def judge_flow(self, text: str, directory: Path) -> Sequence[Problem]:
        """Problems of a flow's text."""
        from posthouse.config import judge_flow

        return judge_flow(text, directory)

    def offline(self, configuration: Configuration) -> AbstractAsyncContextManager[Parts]:
        """Open the store for a command."""
        from posthouse.service.kept import offline

        return offline(configuration)

    def run(self, configuration: Configuration) -> int:
        """Run the node."""
        from posthouse.service.process import run

        return run(configuration)

    def reference(self) -> str:
        """The reference of both files."""
        from posthouse.operate.reference import configuration_reference

        return configuration_reference()


def main() -> None:
    """Entry point of the ``posthouse`` program."""
    run_command(ThisInstallation())


if __name__ == "__main__":
    main()
