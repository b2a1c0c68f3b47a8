"""Failures that people read: what, details, what to do; and the exit codes.

Source: exit codes 75 (EX_TEMPFAIL) of sysexits.h, 2 for wrong usage as click does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from posthouse.operate.desk import Desk
    from posthouse.operate.operations import Operation
    from posthouse.operate.shapes import Refusal

FOUND_WRONG = 1
USED_WRONG = 2
TRY_AGAIN = 75

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class CommandFailed(click.ClickException):
    """A failure with its exit code.

    Attributes:
        details: Further lines, each a fact of its own.
        hint: What to do.
    """

    def __init__(self, message: str, *, details: Sequence[str] = (), hint: str = "", code: int = FOUND_WRONG) -> None:
        super().__init__(message)
        self.details, self.hint = tuple(details), hint
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print to standard error."""
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.message}", err=True, file=file)
        for line in self.details:
            click.echo(f"  {line}", err=True, file=file)
        if self.hint:
            click.echo(f"Hint: {self.hint}", err=True, file=file)


def ask(desk: Desk, operation: Operation[RequestT, AnswerT], request: RequestT) -> AnswerT:
    """The answer to one operation.

    Raises:
        CommandFailed: It was refused.
    """
    answer = desk.call(operation, request)
    return settled(answer)


def settled(answer: AnswerT | Refusal) -> AnswerT:
    """The answer itself.

    Raises:
        CommandFailed: It was a refusal.
    """
    from posthouse.operate.shapes import Refusal

    if isinstance(answer, Refusal):
        code = TRY_AGAIN if answer.code == "unavailable" else FOUND_WRONG
        raise CommandFailed(answer.message, details=answer.details, code=code)
    return answer
