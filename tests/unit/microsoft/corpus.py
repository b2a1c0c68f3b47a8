"""The corpus of replies under ``tests/golden/replies``."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "golden" / "replies"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def corpus(*names: str) -> list[tuple[str, str]]:
    """Label and text of each line of the files named."""
    lines: list[tuple[str, str]] = []
    for name in names:
        for line in (FOLDER / f"{name}.tsv").read_text("utf-8").split("\n"):
            if line and not line.startswith("#"):
                label, _, text = line.partition("\t")
                lines.append((label, unescaped(text)))
    return lines


def unescaped(text: str) -> str:
    """``\\n``, ``\\t``, ``\\r`` and ``\\\\`` as what they stand for; other escapes stay, they belong to the text."""
    parts: list[str] = []
    escaped = False
    for letter in text:
        if escaped:
            parts.append(_ESCAPES.get(letter, "\\" + letter))
        elif letter != "\\":
            parts.append(letter)
        escaped = letter == "\\" and not escaped
    return "".join(parts)
