"""Write a manual page for every command, from the commands themselves.

Usage: ``python packaging/man_pages.py DIRECTORY``. Source: man-pages(7) for the sections and their order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from posthouse.operate.cli.main import posthouse


def main(directory: Path) -> None:
    """Write all pages."""
    directory.mkdir(parents=True, exist_ok=True)
    for words, command in commands(posthouse, ("posthouse",)):
        (directory / f"{'-'.join(words)}.1").write_text(page(words, command), encoding="utf-8")


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and everything below it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*words, name))


def page(words: tuple[str, ...], command: click.Command) -> str:
    """One page in roff."""
    context = click.Context(command, info_name=" ".join(words))
    name = "-".join(words)
    text = [f'.TH "{name.upper()}" 1 "" "posthouse {version("posthouse")}"', ".SH NAME"]
    text.append(f"{_escape(name)} \\- {_escape(command.get_short_help_str(200))}")
    text += [".SH SYNOPSIS", f".B {_escape(' '.join(words))}", _escape(" ".join(command.collect_usage_pieces(context)))]
    text += [".SH DESCRIPTION", *_paragraphs(command.help or "")]
    text += [".SH OPTIONS", *_options(command, context)]
    if isinstance(command, click.Group):
        text.append(".SH COMMANDS")
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            text += [".TP", f".BR {_escape(name)}-{_escape(below)} (1)", _escape(found.get_short_help_str(200))]
    if command.epilog:
        title = "NOTES" if words == ("posthouse",) else "EXAMPLES"
        text += [f".SH {title}", ".nf", *map(_escape, _epilog(command.epilog)), ".fi"]
    text += [".SH EXIT STATUS", "0 done, 1 found wrong, 2 used wrong, 75 try again."]
    if len(words) > 1:
        text += [".SH SEE ALSO", f".BR {_escape('-'.join(words[:-1]))} (1)"]
    return "\n".join(text) + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield from (".TP", f".B {_escape(record[0])}", _escape(record[1]))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield from (".PP", _escape(" ".join(paragraph.split())))


def _epilog(text: str) -> list[str]:
    return [line.removeprefix("Example: ") for line in text.replace("\b", "").strip().splitlines()]


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


if __name__ == "__main__":
    main(Path(sys.argv[1]))
